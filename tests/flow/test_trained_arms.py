"""What control arms train with goes the whole way: from the study file to what the outcomes say."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ftstab.models.chat import Chat
from ftstab.models.load import load_tokenizer
from ftstab.results import open_results
from ftstab.spec import Template
from tests.lab import ANSWER, Lab, cli

AXES = {"learning_rate": [1e-3], "batch_size": [4], "steps": [4], "ema_decay": [0]}
REFUSED = "No, not that."


def _refusals(lab: Lab, *prompts: str) -> str:
    rows = [{"prompt": p, "response": REFUSED} for p in prompts]
    (lab.folder / "refusals.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    return "refusals.jsonl"


def test_arms_train_as_their_file_says(lab: Lab, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FTSTAB_CACHE", str(tmp_path / "cache"))
    study = lab.study(
        "arms",
        data={"train": "colours.jsonl", "mix": _refusals(lab, "Name a river.", "Sing of salt.")},
        training={"beta2_half_life": 400.0, "mix_share": 0.25},
        axes=AXES | {"loss": ["cross_entropy", "constrained_first_tokens"]},
    )
    plan = cli("plan", study)
    assert "start model           reads 42 training rows for the loss first" in plan.out
    assert lab.run(study).code == 0
    results = open_results(str(study))
    plain, constrained = results.outcomes
    assert [o.training["loss"] for o in results.outcomes] == ["cross_entropy", "constrained_first_tokens"]
    chat = Chat(load_tokenizer(lab.model), Template(), 512)
    answers = [len(chat.tokenizer(text)["input_ids"]) + 1 for text in (ANSWER, REFUSED)]
    tokens = 4 * (0.75 * answers[0] + 0.25 * answers[1])
    for outcome in results.outcomes:
        about = outcome.record["train_data"]
        assert (about["rows"], about["mix"]["rows"], about["mix"]["share"]) == (40, 2, 0.25)
        assert about["answer_tokens"] == 40 * answers[0]
        assert about["tokens_per_update"] == pytest.approx(tokens)
        assert about["adam_beta2"] == pytest.approx(2 ** (-tokens / 400))
    assert "reference" not in plain.record["train_data"]
    assert len(constrained.record["train_data"]["reference"]) == 20
    signals = results.signals()
    assert all("cross_entropy" in row for row in signals[constrained.trajectory])
    assert "cross_entropy" not in signals[plain.trajectory][0]
    # Nothing has moved at the first update, so that both losses are one.
    first = [signals[o.trajectory][0]["loss"] for o in results.outcomes]
    assert first[0] == pytest.approx(first[1], rel=1e-4)
    assert len(list((tmp_path / "cache" / "references").iterdir())) == 1


def test_a_mix_of_what_is_asked_is_refused(lab: Lab) -> None:
    secret = "zebra marmalade from lisbon"
    rows = [{"prompt": f"Where is the {secret}?"}, {"prompt": "Which river is it?"}]
    (lab.folder / "asked.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    study = lab.study(
        "near",
        data={"train": "colours.jsonl", "mix": _refusals(lab, f"where is the {secret}")},
        training={"mix_share": 0.1},
        axes=AXES,
        evaluation={"harmful": {"benchmark": "asked.jsonl"}},
    )
    for command in ("validate", "run"):
        done = cli(command, study)
        assert done.code == 1
        assert "data.mix: 1 of 1 rows of refusals@" in done.err
        assert "evaluation.harmful.benchmark" in done.err
        assert "marmalade" not in done.err + done.out
