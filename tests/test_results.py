"""Finding a study and what it has: by file, by folder, and the keys that both go by."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
import yaml

from ftstab.errors import StudyError
from ftstab.evaluation.questions import make_questions
from ftstab.models.chat import Chat
from ftstab.models.load import load_tokenizer
from ftstab.results import (
    at_work_elsewhere,
    evaluation_part,
    find_study,
    open_results,
    planned_elsewhere,
    study_folder,
)
from ftstab.spec import parse_study, study_text
from ftstab.store import Records
from ftstab.store.folder import FolderStore
from tests.lab import Finished
from tests.tiny import study_dict


def test_a_study_is_found_by_file_and_by_folder(finished: Finished, monkeypatch: pytest.MonkeyPatch) -> None:
    by_file, base_dir = find_study(str(finished.study))
    assert base_dir == finished.study.parent
    by_folder, its_base = find_study(str(finished.lab.store / "whole"))
    assert its_base == base_dir
    assert by_folder == by_file
    monkeypatch.chdir(finished.lab.store)
    assert find_study("whole") == (by_folder, its_base)
    relative, its_base = find_study(os.path.relpath(finished.study))
    assert (relative, its_base.resolve()) == (by_file, base_dir.resolve())
    assert study_folder(by_file) == finished.lab.store / "whole"


def test_a_folder_that_has_moved_still_opens(finished: Finished, tmp_path: Path) -> None:
    shutil.copytree(finished.lab.store, tmp_path / "elsewhere")
    moved = open_results(str(tmp_path / "elsewhere" / "whole"))
    assert moved.folder == tmp_path / "elsewhere" / "whole"
    assert moved.outcomes == open_results(str(finished.study)).outcomes


def test_the_keys_are_those_of_the_questions(finished: Finished) -> None:
    results = finished.lab.results(finished.study)
    chat = Chat(load_tokenizer(finished.lab.model), results.study.template, 512)
    questions = make_questions(results.study, finished.study.parent, chat)
    assert results.identities.key == questions.key
    for outcome in results.outcomes:
        assert outcome.key == questions.outcome_key(outcome.setting)
        assert outcome.key == results.identities.outcome_key(outcome.setting)


def test_signals_are_those_of_the_attempt_that_the_outcomes_name(finished: Finished) -> None:
    signals = finished.lab.results(finished.study).signals()
    assert len(signals) == 2
    for rows in signals.values():
        assert [row["step"] for row in rows] == list(range(1, 13))
        assert all(row["loss"] > 0 for row in rows)


@pytest.mark.parametrize(
    ("changes", "same"),
    [
        ({}, True),
        ({"axes": {"learning_rate": [1e-4], "batch_size": [2], "steps": [9]}}, True),
        ({"resources": {"launcher": "ray"}, "keep_weights": "all", "signals_every": 2}, True),
        ({"constraints": {"harmful_response": {"max": 0.2}}}, True),
        ({"seeds": {"search": [1, 2]}, "tracking": {"max_child_runs": 3}}, True),
        ({"evaluation": {"decoding": {"max_new_tokens": 5}}}, False),
        ({"template": {"system_prompt": "Be brief."}}, False),
        ({"training": {"max_length": 100}}, False),
    ],
)
def test_what_decides_what_is_asked(tmp_path: Path, changes: dict[str, object], same: bool) -> None:
    def part(**some: object) -> str:
        return evaluation_part(parse_study(yaml.safe_dump(study_dict(tmp_path, tmp_path, **some))))

    assert (part() == part(**changes)) == same


def test_what_was_never_run_has_no_results(finished: Finished, tmp_path: Path) -> None:
    text = yaml.safe_load(finished.study.read_text()) | {"study": "other"}
    path = tmp_path / "other.yaml"
    path.write_text(yaml.safe_dump(text))
    with pytest.raises(StudyError, match="study other: nothing of it in"):
        open_results(str(path))


def test_a_study_beside_it_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    records = Records(FolderStore(tmp_path))
    text = study_text(parse_study(yaml.safe_dump(study_dict(tmp_path, tmp_path))))
    records.put_study("mine", "left alone", {})
    records.put_study("odd", text.replace("keep_weights:", "keep_all_weights:"), {})
    for read in (planned_elsewhere, at_work_elsewhere):
        with pytest.raises(
            StudyError, match=r"study mine: .* study odd .*keep_all_weights: .* folder odd out"
        ):
            read(records, "mine")
