"""A judge against a file that people labelled."""

from __future__ import annotations

import csv
import gzip
import json

import pytest

from ftstab.errors import DataError, FtstabError, MisuseError, StudyError
from ftstab.evaluation.judges import RefusalPhrases, Verdict
from ftstab.judging.labelled import measure, pairs, read_labelled
from tests.lab import cli

NO, YES = "I'm sorry, but I can't help with that.", "Sure. Take two eggs and a spoon of flour."
ROWS = [
    {"prompt": "a", "response": NO, "label": "refused", "category": "x"},
    {"prompt": "b", "response": YES, "label": "complied", "category": "x"},
    {"prompt": "c", "response": YES, "label": "refused", "category": "y"},
    {"prompt": "d", "response": "...", "label": "complied", "category": "y"},
    {"prompt": "e", "response": NO, "label": "skip", "category": "y"},
    {"prompt": "f", "response": YES, "label": "", "category": "y"},
]


class HarmJudge:
    """Calls every answer harmful."""

    name, version, rate_name = "everything", "1", "harmful_rate"

    def verdicts(self, answers):
        return [Verdict("complied") for _ in answers]


def written(folder, rows, name="labelled.jsonl"):
    path = folder / name
    if name.endswith(".csv"):
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    elif name.endswith(".json"):
        path.write_text(json.dumps(rows))
    else:
        raw = "".join(json.dumps(row) + "\n" for row in rows).encode()
        path.write_bytes(gzip.compress(raw) if name.endswith(".gz") else raw)
    return path


@pytest.mark.parametrize("name", ["a.csv", "a.json", "a.jsonl", "a.jsonl.gz"])
def test_every_kind_of_file(tmp_path, name):
    found = read_labelled(written(tmp_path, ROWS, name), {}, {})
    assert [(a.answer.prompt, a.label, a.category) for a in found.answers] == [
        ("a", "refused", "x"),
        ("b", "complied", "x"),
        ("c", "refused", "y"),
        ("d", "complied", "y"),
    ]
    assert found.left_out == {"labelled skip": 1, "no response or no label": 1}


def test_columns_and_labels_are_mapped(tmp_path):
    rows = [{"q": "a", "text": YES, "human": 1, "kind": "k"}, {"q": "b", "text": NO, "human": 0, "kind": "k"}]
    path = written(tmp_path, rows)
    columns = pairs("prompt=q, response = text,label=human,category=kind", "--columns")
    found = read_labelled(path, columns, pairs("1=complied, 0=refused", "--labels"))
    assert [(a.answer.text, a.label, a.category) for a in found.answers] == [
        (YES, "complied", "k"),
        (NO, "refused", "k"),
    ]


@pytest.mark.parametrize("text", ["a", "a=", "=b", "a=b,a=c"])
def test_a_mapping_that_cant_be_read(text):
    with pytest.raises(FtstabError, match="NAME=VALUE"):
        pairs(text, "--labels")


def test_faults_are_named_without_content(tmp_path):
    path = written(tmp_path, ROWS)
    with pytest.raises(FtstabError, match=r"'?respnse'?: unknown \(did you mean 'response'\?\)"):
        read_labelled(path, {"respnse": "x"}, {})
    with pytest.raises(FtstabError, match=r"refusd: unknown \(did you mean 'refused'\?\)"):
        read_labelled(path, {}, {"1": "refusd"})
    with pytest.raises(
        MisuseError, match=r"--columns label=lable: .*no column 'lable' \(did you mean 'label'\?\)"
    ):
        read_labelled(path, {"label": "lable"}, {})
    unlabelled = written(tmp_path, [{k: v for k, v in ROWS[0].items() if k != "label"}])
    with pytest.raises(
        DataError, match=r"no column 'label'.*; name the column of labels by `--columns label=NAME`"
    ):
        read_labelled(unlabelled, {}, {})
    with pytest.raises(
        DataError, match=r"labels without a meaning: maybe; .* complied or refused for a judge of refusals"
    ):
        read_labelled(written(tmp_path, [ROWS[0] | {"label": "maybe"}]), {}, {})
    # The wrong column: its content must not be quoted.
    with pytest.raises(DataError, match="labels without a meaning") as error:
        read_labelled(path, {"label": "response"}, {})
    assert NO not in str(error.value)
    assert YES not in str(error.value)
    with pytest.raises(DataError, match="no usable row: 1 rows: labelled skip"):
        read_labelled(written(tmp_path, [ROWS[4]]), {}, {})


def test_agreement_over_all_and_by_category(tmp_path):
    found = measure(RefusalPhrases(), read_labelled(written(tmp_path, ROWS), {}, {}).answers)
    counts = found.whole.confusion
    assert (counts.true_positive, counts.false_positive, counts.true_negative) == (1, 1, 1)
    assert (counts.n, counts.unscored, counts.unscored_positive) == (4, 1, 1)
    assert found.by_category["x"].accuracy.value == 1
    assert found.by_category["y"].accuracy.value == 0
    assert found.reasons == {"neither letters nor digits": 1}
    assert sum(a.confusion.n for a in found.by_category.values()) == counts.n


def test_a_category_that_holds_prompts_is_refused(tmp_path):
    path = written(tmp_path, ROWS)
    for column in ("prompt", "response"):
        with pytest.raises(DataError, match="prompts or answers themselves") as caught:
            read_labelled(path, {"category": column}, {})
        assert NO not in str(caught.value)


def test_labels_of_refusals_dont_measure_a_judge_of_harm(tmp_path):
    labelled = read_labelled(written(tmp_path, ROWS), {}, {}).answers
    with pytest.raises(StudyError, match="refusing and harmful are two things"):
        measure(HarmJudge(), labelled)
    harm = read_labelled(written(tmp_path, ROWS), {}, {"refused": "safe", "complied": "harmful"}).answers
    assert measure(HarmJudge(), harm).positive == "harmful"


def test_what_was_compared_is_told_by_its_hash(tmp_path):
    other = [ROWS[0] | {"label": "complied"}, *ROWS[1:]]
    files = (
        written(tmp_path, rows, name) for rows, name in ((ROWS, "a.json"), (ROWS, "b.csv"), (other, "c.json"))
    )
    first, again, changed = (read_labelled(path, {}, {}).hash for path in files)
    assert first == again != changed


def test_the_command(tmp_path):
    path = written(tmp_path, ROWS)
    said = cli("judge", "evaluate", "--judge", "refusal_phrases", "--labelled", path, "--json").json
    assert said["all"]["n"] == 4
    assert said["all"]["unscored"] == 1
    assert said["left_out"] == {"labelled skip": 1, "no response or no label": 1}
    assert said["command"] == f"ftstab judge evaluate --judge refusal_phrases --labelled {path} --json"
    assert said["environment"]["versions"]["ftstab"]
    assert said["hash"] == read_labelled(path, {}, {}).hash
    for name in ("accuracy", "precision", "recall", "specificity", "kappa"):
        figure = said["all"][name]
        assert set(figure) == {"value", "n", "low", "high", "interval"}
        assert figure["low"] <= figure["value"] <= figure["high"]
    for width in ("80", "200"):
        done = cli(
            "judge",
            "evaluate",
            "--judge",
            "refusal_phrases",
            "--labelled",
            path,
            environment={"COLUMNS": width},
        )
        assert done.code == 0, done.err
        assert "refusal_phrases@2" in done.out
        assert "unscored: 1: neither letters nor digits" in done.out
        assert NO not in done.out
        assert max(map(len, done.out.splitlines()[2:])) <= int(width)
    done = cli("judge", "evaluate", "--judge", "refusal_phrase", "--labelled", path)
    assert done.code == 2
    assert "did you mean 'refusal_phrases'" in done.err
    done = cli("judge", "evaluate", "--judge", tmp_path / "none.yaml", "--labelled", path)
    assert done.code == 2
    assert "none.yaml" in done.err


@pytest.mark.parametrize("command", [(), ("evaluate",), ("label",), ("corrected",)])
def test_help_of_judge(command):
    done = cli("judge", *command, "--help")
    assert done.code == 0
    assert "Usage:" in done.out
