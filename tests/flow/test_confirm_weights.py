"""Weights of candidates: those that are kept, dropped, damaged, and trained again."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

from ftstab.running.weights import Keeper
from tests.flow.candidates import Copy
from tests.lab import Lab, cli, measured


def test_weights_that_other_studies_plan_are_not_dropped(copy: Copy) -> None:
    mine = copy.lab.records.study("small")
    assert mine is not None
    copy.lab.records.put_study("other", mine[0].replace("study: small", "study: other"), mine[1])
    before = copy.lab.pieces("weights")
    said = cli("pick", copy.study, "--confirm", "--drop-weights", "--json").json
    assert said["weights"]["needless"] == []
    assert said["weights"]["kept_for_other_studies"] == len(before) - 1
    assert copy.lab.pieces("weights") == before


def test_weights_stay_while_a_candidate_is_untested_and_go_where_there_is_none(copy: Copy) -> None:
    before = copy.lab.pieces("weights")
    refused = cli("pick", copy.study, "--drop-weights")
    assert refused.code == 1
    assert "candidates that no confirmation has tested" in refused.err
    none = cli("pick", copy.study, "--max-harmful", "0")
    assert none.code == 1
    assert "--drop-weights" not in none.out
    assert copy.lab.pieces("weights") == before != {}
    other = cli("pick", copy.study, "--max-harmful", "0", "--drop-weights")
    assert other.code == 1
    assert "nothing can be picked under 0, but the study's own limit is" in other.err
    assert copy.lab.pieces("weights") == before
    text = yaml.safe_load(copy.study.read_text())
    text["constraints"]["harmful_response"]["max"] = 0.0
    copy.study.write_text(yaml.safe_dump(text))
    dropped = cli("pick", copy.study, "--drop-weights", "--json")
    assert dropped.code == 1, dropped.err
    said = json.loads(dropped.out)
    assert (said["status"], len(said["weights"]["needless"])) == ("none", len(before))
    assert copy.lab.pieces("weights") == {}


def test_weights_that_are_not_those_measured_confirm_nothing(copy: Copy) -> None:
    from safetensors.torch import load_file, save_file

    results = copy.lab.results(copy.study)
    for outcome in results.outcomes:
        piece = copy.lab.records.weights(outcome.trajectory, outcome.setting)
        assert piece is not None
        tensors = load_file(piece.path("model.safetensors"))
        tensors["model.norm.weight"][0] += 1
        path = copy.lab.folder / "changed.safetensors"
        save_file(tensors, path, metadata={"format": "pt"})
        copy.lab.records.put_weights(
            outcome.trajectory, outcome.setting, {"model.safetensors": path.read_bytes()}
        )
    done = cli("pick", copy.study, "--confirm")
    assert done.code == 1
    assert "its weights aren't those measured" in done.err
    assert "isn't finished" in done.err
    assert cli("pick", copy.study, "--json").json["status"] == "candidate"


def test_weights_of_another_training_are_replaced_by_those_measured(copy: Copy) -> None:
    """Another study may have trained the trajectory again, with another outcome, and kept its weights."""
    from safetensors.torch import load_file, save_file

    before = copy.lab.results(copy.study).outcomes
    path = copy.lab.folder / "changed.safetensors"
    for outcome in before:
        piece = copy.lab.records.weights(outcome.trajectory, outcome.setting)
        assert piece is not None
        tensors = load_file(piece.path("model.safetensors"))
        tensors["model.norm.weight"][0] += 1
        save_file(tensors, path, metadata={"format": "pt"})
        copy.lab.records.put_weights(
            outcome.trajectory, outcome.setting, {"model.safetensors": path.read_bytes()}
        )
    export = cli("pick", copy.study, "--weights", copy.lab.folder / "w", "--unconfirmed")
    assert export.code == 1
    assert "--retrain` trains them again" in export.err
    again = cli(
        "pick", copy.study, "--retrain", "--weights", copy.lab.folder / "w", "--unconfirmed", "--json"
    )
    assert again.code == 0, again.err
    assert copy.lab.results(copy.study).outcomes == before
    # What is there already isn't trained again.
    kept = copy.lab.pieces("weights")
    assert cli("pick", copy.study, "--confirm", "--retrain", "--json").json["status"] == "picked"
    assert copy.lab.pieces("weights") == kept


def test_weights_that_were_dropped_come_back_bit_by_bit(copy: Copy) -> None:
    before = {o.setting: o for o in copy.lab.results(copy.study).outcomes}
    order = cli("pick", copy.study, "--json").json["order"]
    for outcome in before.values():
        copy.lab.records.delete_weights(outcome.trajectory, outcome.setting)
    lost = cli("pick", copy.study, "--confirm")
    assert lost.code == 1
    assert f"ftstab pick {copy.study} --confirm --retrain" in lost.err
    assert copy.looks == []  # nothing was looked at
    export = cli("pick", copy.study, "--weights", copy.lab.folder / "w", "--unconfirmed")
    assert export.code == 1
    assert "--retrain" in export.err

    done = cli("pick", copy.study, "--confirm", "--retrain", "--json")
    assert done.json["status"] == "picked"
    kept = {k.rsplit("/", 1)[1] for k in copy.lab.pieces("weights")}
    assert kept == set(order)
    assert measured({o.setting: o for o in copy.lab.results(copy.study).outcomes}) == measured(before)


def test_weights_that_come_back_all_stay_whichever_is_beaten(
    copy: Copy, monkeypatch: pytest.MonkeyPatch
) -> None:
    for outcome in copy.lab.results(copy.study).outcomes:
        copy.lab.records.delete_weights(outcome.trajectory, outcome.setting)
    monkeypatch.setattr(Keeper, "_needless", lambda *_: True)
    order = cli("pick", copy.study, "--json").json["order"]
    for _ in range(2):  # and where the worker was killed at the very end
        assert cli("pick", copy.study, "--confirm", "--retrain", "--json").json["status"] == "picked"
        assert {k.rsplit("/", 1)[1] for k in copy.lab.pieces("weights")} == set(order)


def test_weights_that_come_back_otherwise_are_refused(copy: Copy) -> None:
    for outcome in copy.lab.results(copy.study).outcomes:
        changed = outcome.model_copy(update={"record": outcome.record | {"weights_sha256": "0" * 64}})
        copy.lab.records.put_outcome(changed)
        copy.lab.records.delete_weights(outcome.trajectory, outcome.setting)
    done = cli("pick", copy.study, "--confirm", "--retrain")
    assert done.code == 1
    assert "training it again gave other weights" in done.out
    assert copy.lab.pieces("weights") == {}


@pytest.mark.parametrize("kind", ["lora", "branches"])
def test_weights_of_every_kind_come_back_and_are_asked(kind: str, lab: Lab) -> None:
    how: dict[str, Any] = {
        "lora": {"method": "lora", "precision": "bfloat16", "learning_rate": 1e-2},
        "branches": {"schedule": "warmup_stable_decay", "learning_rate": 3e-3},
    }[kind]
    judges = ["refusal_phrases", "refusal_phrases_advbench"]
    study = lab.study(
        kind,
        keep_weights="none",
        training=how,
        axes={"batch_size": [4], "steps": [5], "ema_decay": [0.5]},
        evaluation={
            "harmful": {
                "benchmark": {"location": "builtin:harmful", "limit": 20},
                "limit": 8,
                "judges": judges,
            },
            "over_refusal": {"benchmark": {"location": "builtin:safe_lookalikes", "limit": 20}, "limit": 4},
        },
    )
    assert lab.run(study).code == 0
    said = cli("pick", study, "--max-harmful", "1", "--confirm", "--retrain", "--json").json
    assert said["status"] == "picked"
    tests = said["confirmation"]["result"]["tested"][0]["tests"]
    # Both judges must pass; the first one's rate is the one that is named.
    assert [t["judge"].split("@")[0] for t in tests] == judges
    assert all(t["passed"] for t in tests)
    assert "judge refusal_phrases@" in said["statement"]
    assert "Non-refusal rate by refusal_phrases_advbench@" in said["statement"]
