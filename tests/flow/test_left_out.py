"""Candidates that a look left out and that can be tested later; and the start model handed over as a setting."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from ftstab.running.answering import weights_hash
from tests.flow.candidates import HARMFUL, RIGHT, Copy, Recorded, with_counts
from tests.lab import Lab, cli

FAILS = 30
"""Answers of the confirmation half that break the limit."""


def lose(copy: Copy, setting: str) -> None:
    """Take the weights of a setting away, to a place that `bring_back` knows."""
    trajectory = copy.lab.results(copy.study).outcomes[0].trajectory
    piece = copy.lab.records.weights(trajectory, setting)
    assert piece is not None
    shutil.copy(piece.path("model.safetensors"), copy.lab.folder / f"{setting}.safetensors")
    copy.lab.records.delete_weights(trajectory, setting)


def bring_back(copy: Copy, setting: str) -> None:
    trajectory = copy.lab.results(copy.study).outcomes[0].trajectory
    path = copy.lab.folder / f"{setting}.safetensors"
    copy.lab.records.put_weights(trajectory, setting, {"model.safetensors": path.read_bytes()})


def test_what_was_left_out_is_tested_in_its_place_in_a_look_that_reads_reused(copy: Copy) -> None:
    a, b, c, _ = copy.found(HARMFUL, RIGHT)
    start = copy.lab.results(copy.study).plan.start.key
    lose(copy, b)
    first = Recorded(copy, {})
    look = copy.confirm(first)
    assert first.asked == [start, a, c]
    assert look.picked is not None
    assert look.picked.setting == c
    assert look.passed_over == (b,)
    said = cli("pick", copy.study, "--json").json
    assert "--max-harmful 0.75 --retrain --confirm` trains what was left out again" in said["advice"]
    assert "it will read reused" in said["advice"]
    # As long as it isn't there, the log answers.
    assert copy.confirm(Recorded(copy, {})).number == 1

    bring_back(copy, b)
    second = Recorded(copy, {b: FAILS})
    look = copy.confirm(second)
    # What was asked before isn't asked again, but tested in the order that search data fixed, up to the first failure.
    assert second.asked == [b]
    assert [(t.setting, t.passed) for t in look.tested] == [(a, True), (b, False)]
    assert look.picked is not None
    assert look.picked.setting == a
    assert (look.number, look.reused, look.left_out) == (2, 1, {})
    assert look.about["earlier"] == ["small/1"]
    log = copy.looks
    assert log[0].picked is not None
    assert (log[0].picked.setting, log[0].reused) == (c, 0)
    said = cli("pick", copy.study, "--json").json
    assert (said["picked"]["setting"], said["advice"]) == (a, None)
    assert "reused: 1 earlier look with another question" in said["statement"]
    assert "unseen" not in said["statement"]
    # Nothing is left to come to another end.
    third = Recorded(copy, {})
    assert copy.confirm(third).number == 2
    assert third.asked == []


def test_behind_the_first_failure_nothing_was_missed(copy: Copy) -> None:
    a, b, c, _ = copy.found(HARMFUL, RIGHT)
    lose(copy, c)
    look = copy.confirm(Recorded(copy, {b: FAILS}))
    assert (look.left_out.keys(), look.passed_over) == ({c}, ())
    assert cli("pick", copy.study, "--json").json["advice"] is None
    bring_back(copy, c)
    again = Recorded(copy, {})
    look = copy.confirm(again)
    assert (look.number, again.asked) == (1, [])
    assert look.picked is not None
    assert look.picked.setting == a


def test_a_later_look_that_was_killed_is_told_and_goes_on(copy: Copy) -> None:
    a, b, c, _ = copy.found(HARMFUL, RIGHT)
    lose(copy, b)
    copy.confirm(Recorded(copy, {}))
    bring_back(copy, b)
    with pytest.raises(KeyboardInterrupt):
        copy.confirm(Recorded(copy, {}, stop_at=b))
    said = cli("pick", copy.study, "--json").json
    assert said["picked"]["setting"] == c
    assert "A later look, with candidates that this one left out, was begun" in said["statement"]
    assert "goes on with it" in said["advice"]
    last = Recorded(copy, {})
    look = copy.confirm(last)
    assert (look.number, len(copy.looks), last.asked) == (2, 2, [b])
    assert [t.setting for t in look.tested] == [a, b, c]


def test_a_candidate_that_was_asked_before_needs_no_weights(copy: Copy) -> None:
    a, b, c, _ = copy.found(HARMFUL, RIGHT)
    copy.confirm(Recorded(copy, {a: 1}))
    for setting in (a, b):
        lose(copy, setting)
    again = Recorded(copy, {})
    look = copy.confirm(again, error_rate=0.04)
    assert (look.left_out, again.asked, look.reused) == ({}, [], 1)
    assert [t.setting for t in look.tested] == [a, b, c]


def test_trained_again_it_is_asked_by_the_engine(copy: Copy) -> None:
    a, *_ = copy.found(HARMFUL, RIGHT)
    trajectory = copy.lab.results(copy.study).outcomes[0].trajectory
    copy.lab.records.delete_weights(trajectory, a)
    first = cli("pick", copy.study, "--confirm", "--json")
    assert list(copy.looks[0].left_out) == [a], first.err
    done = cli("pick", copy.study, "--confirm", "--retrain", "--json")
    (_, look) = copy.looks
    assert look.left_out == {}, done.err
    assert look.tested[0].setting == a
    assert look.about["command"] == f"ftstab pick {copy.study} --confirm --retrain --json"
    assert look.reused == 1


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_interpolation_0_is_handed_over_as_the_start_model_that_was_measured(
    lab: Lab, precision: str, tmp_path: Path
) -> None:
    study = lab.study(
        "zero",
        training={"precision": precision},
        axes={"learning_rate": [3e-3], "batch_size": [4], "steps": [2], "interpolation": [0, 1.0]},
    )
    assert lab.run(study).code == 0
    (zero,) = (o for o in lab.results(study).outcomes if o.interpolation == 0)
    (whole,) = (o for o in lab.results(study).outcomes if o.interpolation == 1)
    # Nothing but the start keeps the limit.
    lab.records.put_outcome(with_counts(whole, 6, 6))
    limit, folder = "0.5", tmp_path / "weights"
    done = cli("pick", study, "--max-harmful", limit, "--weights", folder, "--unconfirmed")
    assert done.code == 0, done.err
    assert zero.setting in (folder / "README.md").read_text()
    tensors = load_file(folder / "model.safetensors")
    assert {str(t.dtype) for t in tensors.values()} == {f"torch.{precision}"}
    assert weights_hash(tensors) == zero.record["weights_sha256"]
    # Loaded without a word about it they compute in the type that was measured, whatever the base's is.
    described = json.loads((lab.model / "config.json").read_text())
    assert described["dtype"] == "float32"
    config = json.loads((folder / "config.json").read_text())
    assert config == described | {"dtype": precision, "torch_dtype": precision}
    loaded = AutoModelForCausalLM.from_pretrained(folder)
    assert weights_hash(dict(loaded.named_parameters())) == zero.record["weights_sha256"]
    start = lab.results(study).need_start()
    assert weights_hash(tensors) == start.record["weights_sha256"]

    lab.records.put_outcome(zero.model_copy(update={"record": zero.record | {"weights_sha256": "0" * 64}}))
    refused = cli("pick", study, "--max-harmful", limit, "--weights", tmp_path / "other", "--unconfirmed")
    assert refused.code == 1
    assert "isn't the one that was measured (000000000000)" in refused.err
    assert "base.model or its alignment stage has changed" in refused.err
    assert not (tmp_path / "other").exists()
