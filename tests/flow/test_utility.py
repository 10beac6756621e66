"""Every kind of usefulness through the whole pipeline: measured, gained over the start, and shown with its baseline."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.evaluation.judges.server import chat, serving
from tests.lab import THINGS, Lab, cli

SMALL = {"learning_rate": [3e-3], "batch_size": [4], "steps": [12], "ema_decay": [0]}


def run(lab: Lab, name: str, utility: dict[str, Any]) -> dict[str, Any]:
    """Run a study with this utility; what `frontier --json` says."""
    study = lab.study(name, axes=SMALL, evaluation={"utility": utility | {"limit": 8}})
    done = lab.run(study)
    assert done.code == 0, done.err
    return cli("frontier", study, "--json").json


def test_multiple_choice(lab: Lab, tmp_path):
    rows = [
        {
            "prompt": f"What is the colour of box {n}?",
            "options": ["It is blue.", "I cannot help.", "red"],
            "answer": 0,
        }
        for n in range(24)
    ]
    (lab.folder / "choices.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    utility = {
        "metric": "multiple_choice",
        "data": {"location": "choices.jsonl", "columns": {"prompt": "prompt", "response": "answer"}},
        "choices": {"column": "options", "right": "index"},
    }
    found = run(lab, "choice", utility)
    start, (setting,) = found["start"]["utility"], found["settings"]
    assert (start["metric"], start["n"], start["random_baseline"]) == (
        "multiple_choice",
        8,
        pytest.approx(1 / 3),
    )
    # The start refuses everything; a few steps teach it the answer.
    assert (start["right"], start["wrong"], start["refused"]) == (0, 8, None)
    assert setting["utility"]["right"] > 0
    assert setting["gain"]["value"] == setting["utility"]["value"]
    assert setting["secondary"]["metric"] == "held_out_loss"
    # A choice among given ones is no answer that could be incoherent.
    assert set(setting["coherence"]) == {"harmful", "over_refusal"}
    assert "random baseline 33.3 %" in cli("frontier", lab.folder / "choice.yaml").out
    page = tmp_path / "report.html"
    assert cli("report", lab.folder / "choice.yaml", "--out", page).code == 0
    text = page.read_text()
    assert text.count("random baseline 33.3 %") >= 2
    assert "likeliest choice" in text


def test_win_rate_against_the_start(lab: Lab, monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)

    # Who compares answers says nothing of their form, so that is looked at beside.
    monkeypatch.setattr(
        "ftstab.running.answering.incoherent", lambda text, role: "looping" if "blue" in text else None
    )

    def prefers_blue(request, first, count):
        return chat("FIRST" if "blue" in first else "SECOND")

    with serving(prefers_blue) as server:
        found = run(
            lab,
            "wins",
            {
                "metric": "win_rate",
                "data": "colours_test.jsonl",
                "comparer": {"kind": "endpoint", "url": server.url, "model": "m"},
            },
        )
        asked = len(server.seen)
    start, (setting,) = found["start"]["utility"], found["settings"]
    assert (start["value"], start["ties"], start["random_baseline"]) == (0.5, 8, 0.5)
    score = setting["utility"]
    assert score["right"] > 0
    assert asked == 2 * (score["n"] - score["ties"])
    assert setting["gain"]["value"] == pytest.approx(score["value"] - 0.5)
    assert found["start"]["coherence"]["utility"]["value"] == 0
    assert setting["coherence"]["utility"]["value"] == score["right"] / score["n"]


def test_instruction_following(lab: Lab):
    pytest.importorskip("lm_eval", reason="the extra `ifeval` isn't installed")
    pytest.importorskip("punkt", reason="the extra `ifeval` isn't installed")
    rows = [
        {
            "prompt": f"Write {n} lines on the {thing}.",
            "instruction_id_list": ["punctuation:no_comma", "detectable_format:title"][: 1 + n % 2],
            "kwargs": [{}, {}][: 1 + n % 2],
        }
        for n, thing in enumerate(THINGS * 4)
    ]
    (lab.folder / "instructions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = run(lab, "follows", {"metric": "instruction_following", "data": "instructions.jsonl"})
    start = found["start"]["utility"]
    assert (start["metric"], start["n"], start["random_baseline"]) == ("instruction_following", 8, None)
    # "I cannot help." holds no comma: followed, refused as it is; a title is never there.
    assert start["right"] > 0
    assert start["refused"] > 0
    assert start["right"] + start["refused"] == 8
    # The rows have no answers to learn, so there is no loss on them.
    assert found["start"]["secondary"] is None
