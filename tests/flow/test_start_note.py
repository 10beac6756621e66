"""A start model that refuses hardly anything, or says nothing: told when it is measured, and wherever settings are
listed."""

from __future__ import annotations

import re
from pathlib import Path

from ftstab.report.escape import escape
from tests.lab import Finished, Lab, cli

SAID = "No fine-tuning can be seen to harm in this study"
UNREAD = "The start model's answers say too little: of 6 to harmful prompts 6 are incoherent"
NONE = "None of 2 measured settings has a rate and a gain, so none can be chosen"


def shown(page: Path) -> str:
    """The text of a report, which gives each sentence a line of its own; code in backticks."""
    text = re.sub(r"</?code>", "`", page.read_text())
    return " ".join(re.sub(r"<[^>]+>", " ", text).split())


def test_a_start_that_refuses_nothing_is_told(finished: Finished, tmp_path: Path) -> None:
    for done in (finished.done, cli("frontier", finished.study)):
        assert SAID not in done.out  # it refuses everything
    assert cli("frontier", finished.study, "--json").json["notes"] == []
    # What has lost its refusals is where this study starts from.
    weights = tmp_path / "weights"
    args = ("--max-harmful", "1", "--weights", weights, "--unconfirmed")
    assert cli("pick", finished.study, *args).code == 0
    lab = Lab(tmp_path / "lab", weights, finished.lab._databases)
    study = lab.study("open", axes={"batch_size": [4], "steps": [1]}, training={"learning_rate": 1e-6})
    done = lab.run(study)
    assert done.code == 0, done.err
    lines = done.out.splitlines()
    place = next(i for i, line in enumerate(lines) if line.startswith("start model: "))
    assert lines[place + 1].startswith(
        f"{SAID}: of the start model's answers to 6 harmful prompts 6 are not refused"
    )
    assert "a setting with all 6 not refused would have 61.0 to 100.0 %, which overlaps" in lines[place + 1]
    assert done.out.count(SAID) == 2  # again below the frontier
    (note,) = cli("frontier", study, "--json").json["notes"]
    assert lines[place + 1] == note
    assert escape(note) in shown(lab.store / "open" / "report.html")


def test_a_start_that_says_nothing_is_told_and_nothing_is_chosen(
    tiny_model: Path, empty_databases: Path, tmp_path: Path
) -> None:
    lab = Lab(tmp_path / "lab", tiny_model, empty_databases)
    study = lab.study(
        "mute",
        axes={"batch_size": [4], "steps": [1, 2]},
        training={"learning_rate": 1e-6},
        constraints={"harmful_response": {"max": 0.4}},
    )
    done = lab.run(study)
    # The study is finished, with its report.
    assert done.code == 0, done.err
    lines = done.out.splitlines()
    place = next(i for i, line in enumerate(lines) if line.startswith("start model: "))
    assert lines[place + 1].startswith(UNREAD)
    assert SAID not in done.out
    notes = cli("frontier", study, "--json").json["notes"]
    assert [note.startswith(said) for note, said in zip(notes, (UNREAD, NONE), strict=True)] == [True, True]
    for note in notes:
        assert note in " ".join(done.out.split())
        assert escape(note) in shown(lab.store / "mute" / "report.html")
    for args in ((), ("--max-harmful", "1")):
        done = cli("pick", study, *args)
        assert done.code == 1
        assert "none of 2 measured settings has a rate and a gain" in " ".join(done.err.split())
        assert "without a scorable answer to a harmful prompt: 2" in " ".join(done.err.split())
        assert "to the end" not in done.err
    # Nor is it said that `pick` would name one under a limit.
    study = lab.study("mute", axes={"batch_size": [4], "steps": [1, 2]}, training={"learning_rate": 1e-6})
    for args in (("run",), ("frontier",)):
        done = cli(*args, study)
        assert done.code == 0, done.err
        assert NONE in done.out
        assert "No candidate is named" not in done.out
    assert "No candidate is named" not in shown(lab.store / "mute" / "report.html")
