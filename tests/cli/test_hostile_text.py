"""Names and categories that try to be something else: terminal codes, markup, HTML."""

from __future__ import annotations

import json
import random

import pytest

from ftstab.report.escape import escape
from tests.lab import Done, Lab, cli

NASTY = [
    "[bold red]loud[/bold red]",
    "[/nothing]",
    "[link=http://x]y",
    "\x1b[31mred\x1b[0m",
    "\x1b]0;title\x07",
    "<script>alert(1)</script>",
    "line\nbreak\r",
    "\u202eright to left",
    "a" * 300,
]
WORDS = "amber birch copper delta ember fjord grove harbor island jungle kettle lantern".split()  # noqa: SIM905


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory, finished: object) -> tuple[Lab, Done]:
    """A study on prompts whose categories and file names are nasty."""
    from tests.lab import Finished

    assert isinstance(finished, Finished)
    lab = Lab(tmp_path_factory.mktemp("hostile"), finished.lab.model, finished.lab._databases)
    pick = random.Random(0)
    some = [
        {"prompt": " ".join(pick.sample(WORDS, 6)) + f" {i}", "category": NASTY[i % len(NASTY)]}
        for i in range(54)
    ]
    # A slash can't be part of a file's name, and everything else can.
    name = "[red]odd[" + NASTY[3] + ".jsonl"
    (lab.folder / name).write_text("".join(json.dumps(row) + "\n" for row in some))
    study = lab.study(
        "hostile",
        axes={"batch_size": [4], "steps": [2, 12], "ema_decay": [0, 0.5]},
        training={"learning_rate": 3e-3},
        evaluation={"harmful": {"benchmark": name}},
        constraints={"harmful_response": {"max": 1.0}},
    )
    return lab, lab.run(study)


def test_the_terminal_is_left_alone(hostile: tuple[Lab, Done]) -> None:
    lab, done = hostile
    assert done.code == 0, done.err
    study = lab.folder / "hostile.yaml"
    said = [
        done,
        cli("frontier", study),
        cli("frontier", study, "--json"),
        cli("plan", study),
        cli("pick", study, "--max-harmful", "1"),
        cli("sync", study),
        cli("validate", study),
    ]
    for one in said:
        assert one.code == 0, one.err
        assert "\x1b" not in one.out + one.err
        assert "\x07" not in one.out + one.err
    # Markup is shown as it stands, not obeyed.
    assert "[red]odd[" in said[1].out
    assert "[red]odd[" in said[4].out


def test_the_report_shows_names_as_text(hostile: tuple[Lab, Done]) -> None:
    lab, _ = hostile
    page = (lab.store / "hostile" / "report.html").read_text()
    assert NASTY[5] not in page
    assert escape("[bold red]loud[/bold red]") in page


def test_errors_show_names_as_text(hostile: tuple[Lab, Done]) -> None:
    lab, _ = hostile
    study = lab.study("gone", data={"train": "[red]\x1b[31mgone.jsonl"})
    for command in ("validate", "run"):
        done = cli(command, study)
        assert done.code == 1
        assert "\x1b" not in done.err
        assert "[red]" in done.err
    done = cli("run", lab.folder / "[bold]\x1b[31mnone[/bold].yaml")
    assert done.code == 2
    assert "\x1b" not in done.err
    assert "[bold]" in done.err
