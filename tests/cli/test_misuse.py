"""Misuse of the command line: exit code 2, with what was given, what is allowed and the nearest name."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ftstab.cli.judge import judge_app
from ftstab.cli.main import app
from tests.lab import Finished, Lab, cli

STUDY, FOLDER, LABELLED = "STUDY", "FOLDER", "LABELLED"
"""Stand for a finished study, for a folder that is there, and for a file of labelled answers."""
EVALUATE = ("judge", "evaluate", "--judge", "refusal_phrases", "--labelled")

MISUSE: list[tuple[tuple[str, ...], tuple[str, ...]]] = [
    (("pick", STUDY, "--max-harmful", "15"), ("--max-harmful: given 15 (did you mean 0.15?)", "from 0 to 1")),
    (("pick", STUDY, "--max-harmful=-0.1"), ("--max-harmful: given -0.1;", "a share from 0 to 1")),
    (("pick", STUDY, "--max-harmful", "nan"), ("--max-harmful: given nan", "a share from 0 to 1")),
    (("pick", STUDY, "--max-harmful", "little"), ("--max-harmful", "number")),
    (("pick", STUDY, "--error-rate", "0.5"), ("--error-rate: given 0.5", "above 0 and below 0.5")),
    (("pick", STUDY, "--confirm", "--error-rate", "5"), ("--error-rate: given 5", "above 0 and below 0.5")),
    (("pick", STUDY, "--out", FOLDER), ("--out: given ", "is a folder", "YAML file")),
    (
        ("pick", STUDY, "--weights", FOLDER, "--unconfirmed"),
        ("--weights: ", "is there already", "a new folder"),
    ),
    (("pick", STUDY, "--unconfirmed"), ("--unconfirmed: only with --out or --weights",)),
    (("report", STUDY, "--out", FOLDER), ("--out: given ", "is a folder", "HTML file")),
    (
        ("responses", STUDY, "start", "--set", "harmfull"),
        ("--set harmfull", "'harmful'", "over_refusal, utility"),
    ),
    (("responses", STUDY, "start", "--mark", "Q"), ("--mark Q", "known for harmful: R (refused")),
    (("responses", STUDY, "start", "--mark", "n"), ("--mark n", "did you mean 'N'?")),
    (("responses", STUDY, "start", "--mark", ""), ("--mark : unknown",)),
    (("responses", STUDY, "start", "--mark", "RN"), ("--mark RN", "known for harmful")),
    (("responses", STUDY, "start", "--mark", "1"), ("--mark 1", "known for harmful")),
    (("responses", STUDY, "start", "--limit", "0"), ("'--limit'", "greater than or equal to 1")),
    (("responses", STUDY, "zzz"), ("setting 'zzz': no such setting", "(1 to 8), `start`, or the beginning")),
    (("compare", STUDY, "1", "99"), ("setting '99': no such setting", "prints (1 to 8)")),
    (("compare", STUDY, "1"), ("given 1 settings; name two",)),
    (("compare", STUDY, "1", "1"), ("given 1 and 1, which are the same setting",)),
    (("compare", STUDY, "1", "2", "--confirm"), ("--confirm", "only with --arms")),
    (("compare", STUDY, "1", "2", "--retrain"), ("--retrain: only with --confirm",)),
    (("compare", STUDY, "--arms", "--retrain"), ("--retrain: only with --confirm",)),
    (("compare", STUDY, "--arms"), ("--arms: given none; name two arms", "define them under `arms`")),
    (("compare", STUDY, "--arms", "a", "b"), ("--arms: no arm 'a'", "define them under `arms`")),
    (
        ("judge", "run", STUDY, "--judge", "refusal_phrase"),
        ("--judge refusal_phrase", "'refusal_phrases'", "YAML"),
    ),
    (
        ("judge", "run", STUDY, "--judge", "refusal_phrases@9"),
        ("--judge refusal_phrases@9", "refusal_phrases@2"),
    ),
    (("judge", "run", STUDY, "--judge", "none.yaml"), ("--judge none.yaml: no such file",)),
    (
        ("judge", "run", STUDY, "--judge", "refusal_phrases", "--set", "utility"),
        ("--set utility", "over_refusal"),
    ),
    (("judge", "run", STUDY, "--judge", "refusal_phrases", "--retrain"), ("--retrain: only with --top-up",)),
    (("judge", "corrected", STUDY, "--set", "bogus"), ("--set bogus", "harmful, over_refusal")),
    (("judge", "corrected", STUDY, "--judge", "bogus"), ("--judge bogus: unknown", "refusal_phrases")),
    (("judge", "label", STUDY), ("--show: not given",)),
    (("judge", "label", STUDY, "--show", "--who", "a b"), ("--who 'a b'", "1 to 40 letters")),
    (("judge", "label", STUDY, "--show", "--judge", "bogus"), ("--judge bogus: unknown",)),
    (("judge", "label", STUDY, "--show", "--n", "0"), ("'--n'", "greater than or equal to 1")),
    ((*EVALUATE, "no-such.jsonl"), ("--labelled no-such.jsonl: no such file",)),
    ((*EVALUATE, LABELLED, "--columns", "prompt"), ("--columns 'prompt'", "NAME=VALUE")),
    ((*EVALUATE, LABELLED, "--columns", "promt=q"), ("--columns promt", "did you mean 'prompt'?")),
    (
        (*EVALUATE, LABELLED, "--columns", "label=verdct"),
        ("--columns label=verdct: ", "did you mean 'verdict'?"),
    ),
    ((*EVALUATE, LABELLED, "--labels", "1=refuse"), ("--labels refuse", "did you mean 'refused'?")),
    (
        ("judge", "evaluate", "--judge", "bogus", "--labelled", LABELLED),
        ("--judge bogus: unknown", "known: "),
    ),
    (("align", STUDY, "--out", FOLDER), ("--out: only with --retrain",)),
    (("run", STUDY, "--frontier-seeds", "many"), ("Got unexpected extra argument",)),
    (("schema", "--jsn"), ("No such option: --jsn",)),
]


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory, finished: Finished) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("misuse")
    path = folder / "labelled.jsonl"
    path.write_text(json.dumps({"prompt": "a", "response": "No.", "verdict": "refused"}) + "\n")
    return {STUDY: finished.study, FOLDER: folder, LABELLED: path}


@pytest.mark.parametrize(("args", "fragments"), MISUSE, ids=[" ".join(args) for args, _ in MISUSE])
def test_misuse_is_named(places: dict[str, Path], args: tuple[str, ...], fragments: tuple[str, ...]) -> None:
    done = cli(*(places.get(arg, arg) for arg in args))
    assert done.code == 2, done
    assert done.err.lower().count("error: ") == 1
    assert "Traceback" not in done.err
    for fragment in fragments:
        assert fragment in done.err, done.err


COMMANDS = sorted(
    [str(c.name or c.callback.__name__) for c in app.registered_commands if c.callback]
    + [f"judge {c.name or c.callback.__name__}" for c in judge_app.registered_commands if c.callback]
)
NEEDED = {
    "responses": ("start",),
    "compare": ("1", "2"),
    "judge run": ("--judge", "refusal_phrases"),
    "judge label": ("--show",),
}


@pytest.mark.parametrize("command", [c for c in COMMANDS if c not in ("schema", "judge evaluate")])
def test_a_study_that_is_not_there(finished: Finished, command: str) -> None:
    more = NEEDED.get(command, ())
    for study, said in (
        (finished.lab.folder / "whale.yaml", "no such file or folder (did you mean 'whole.yaml'?)"),
        (finished.lab.store / "whale", "no such file or folder (did you mean 'whole'?)"),
        (finished.lab.store / "trajectories", "no study of that name in its store"),
        (finished.lab.folder.parent, "in no store of studies"),
    ):
        done = cli(*command.split(), study, *more)
        assert done.code == 2, (study, done)
        assert done.err.startswith(f"error: {study}: ")
        assert said in done.err
        assert "give a study file" in done.err


def test_a_limit_must_come_from_somewhere(finished: Finished, tmp_path: Path) -> None:
    text = finished.study.read_text()
    assert "constraints:" in text
    study = tmp_path / "whole.yaml"
    head, _, rest = text.partition("constraints:\n")
    study.write_text(head + "".join(line + "\n" for line in rest.splitlines() if not line.startswith(" ")))
    done = cli("pick", study)
    assert done.code == 2
    assert "--max-harmful: not given" in done.err


def test_what_a_study_found_is_no_misuse(finished: Finished) -> None:
    """No setting keeps the limit; there are no labels."""
    for args in (
        ("pick", finished.study, "--out", finished.lab.folder / "recipe.yaml"),
        ("judge", "corrected", finished.study),
    ):
        done = cli(*args)
        assert done.code == 1, done
    assert not (finished.lab.folder / "recipe.yaml").exists()


def test_a_study_that_never_ran_is_told_a_command_that_works(lab: Lab) -> None:
    folder = lab.folder / "sp ace"
    folder.mkdir()
    study = lab.study("never").rename(folder / "never.yaml")
    done = cli("frontier", study)
    assert done.code == 1
    assert f"run `ftstab run '{study}'` first" in done.err
    assert "where it was run from another folder" not in done.err
    relative = study.with_name("relative.yaml")
    relative.write_text("".join(x for x in study.read_text().splitlines(True) if not x.startswith("store:")))
    done = cli("frontier", relative)
    assert (
        "where it was run from another folder, whose `store: studies` is another, name the study's own"
        in done.err
    )


def test_a_report_is_written_over_nothing_else(finished: Finished, tmp_path: Path) -> None:
    before = finished.study.read_bytes()
    done = cli("report", finished.study, "--out", finished.study)
    assert done.code == 2
    assert f"--out: {finished.study} is there already and is no page of ftstab; name a new file" in done.err
    assert finished.study.read_bytes() == before
    for _ in range(2):
        assert cli("report", finished.study, "--out", tmp_path / "page.html").code == 0


def test_a_report_that_cannot_be_written_says_where_else(finished: Finished, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    done = cli("report", finished.study, "--out", tmp_path / "file" / "page.html")
    assert done.code == 1
    assert f"{tmp_path}/file/page.html: the report can't be written there: " in done.err
    assert "`ftstab report ... --out FILE`" in done.err
    assert "Errno" not in done.err
    assert ".part" not in done.err
