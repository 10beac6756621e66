"""Studies of other kinds, end to end: schedules that branch or don't share, LoRA, interpolation, divergence."""

from __future__ import annotations

import pytest

from ftstab.running.answering import weights_hash
from tests.flow.test_pipeline import assert_tracked
from tests.lab import Finished, Lab, cli, measured


@pytest.fixture(scope="module")
def scheduled(tmp_path_factory: pytest.TempPathFactory, finished: Finished) -> Finished:
    """Cosine and warm-up-stable-decay in one study."""
    lab = Lab(tmp_path_factory.mktemp("scheduled"), finished.lab.model, finished.lab._databases)
    axes = {
        "schedule": ["cosine", "warmup_stable_decay"],
        "batch_size": [4],
        "steps": [5, 10],
        "ema_decay": [0, 0.5],
    }
    study = lab.study("scheduled", axes=axes, training={"learning_rate": 3e-3, "warmup_steps": 2})
    return Finished(lab, study, lab.run(study))


def test_schedules_share_what_they_may(scheduled: Finished) -> None:
    assert scheduled.done.code == 0, scheduled.done.err
    plan = scheduled.lab.results(scheduled.study).plan
    steps = {t.key: (t.training.schedule, t.first, t.last) for t in plan.trajectories}
    assert sorted(steps.values()) == [
        ("constant", 0, 8),
        ("cosine", 0, 5),
        ("cosine", 0, 10),
        ("warmup_stable_decay", 4, 5),
        ("warmup_stable_decay", 8, 10),
    ]
    # What was trained is what was planned: a signal per update, once, by one attempt.
    for trajectory in plan.trajectories:
        (attempt,) = scheduled.lab.records.attempts(trajectory.key)
        signals = scheduled.lab.records.signals(trajectory.key, attempt)
        assert [s["step"] for s in signals] == list(range(trajectory.first + 1, trajectory.last + 1))
        assert scheduled.lab.records.latest_state(trajectory.key) is None


def test_every_setting_of_every_schedule_is_measured_and_tracked(scheduled: Finished) -> None:
    outcomes = scheduled.lab.outcomes(scheduled.study)
    assert len(outcomes) == 1 + 8
    assert all(o.status == "scored" for o in outcomes.values())
    assert_tracked(scheduled.lab, scheduled.study, settings=8, trajectories=5)
    said = cli("frontier", scheduled.study, "--json").json
    assert {s["parameters"]["schedule"] for s in said["settings"]} == {"cosine", "warmup_stable_decay"}
    # Two horizons of the cosine, and two branches of one trunk.
    assert (said["summary"]["trajectories"], said["summary"]["trainings"]) == (4, 3)


def test_branches_are_those_of_a_run_that_has_no_other(
    scheduled: Finished, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The branch at the longer horizon alone, without the shorter one before it, gives the same numbers."""
    lab = Lab(tmp_path_factory.mktemp("alone"), scheduled.lab.model, scheduled.lab._databases)
    axes = {"schedule": ["warmup_stable_decay"], "batch_size": [4], "steps": [10], "ema_decay": [0, 0.5]}
    study = lab.study("alone", axes=axes, training={"learning_rate": 3e-3, "warmup_steps": 2})
    # The same data under the same name, so that the keys are the same.
    assert lab.run(study).code == 0
    alone, both = measured(lab.outcomes(study)), measured(scheduled.lab.outcomes(scheduled.study))
    assert len(alone) == 1 + 2
    assert {k: both[k] for k in alone} == alone


def test_lora_runs_end_to_end(lab: Lab) -> None:
    study = lab.study(
        "adapters",
        axes={"learning_rate": [2e-2], "batch_size": [4], "steps": [4, 8], "ema_decay": [0, 0.9]},
        training={"method": "lora", "lora_r": 4, "lora_dropout": 0.1, "warmup_steps": 2},
        keep_weights="all",
    )
    done = lab.run(study)
    assert done.code == 0, done.err
    outcomes = lab.outcomes(study)
    assert len({o.record["weights_sha256"] for o in outcomes.values()}) == 5
    assert_tracked(lab, study, settings=4, trajectories=1)
    # The merged weights are whole models: every tensor of the base, under the base's names.
    weights = lab.folder / "weights"
    done = cli("pick", study, "--max-harmful", "1", "--weights", weights, "--unconfirmed", "--json")
    from ftstab.models.load import load_model

    found = outcomes[done.json["candidate"]["setting"]]
    merged = load_model(weights)
    assert weights_hash(dict(merged.named_parameters())) == found.record["weights_sha256"]


def test_interpolation_scales_from_the_start(lab: Lab) -> None:
    study = lab.study(
        "scaled",
        axes={"batch_size": [4], "steps": [6], "ema_decay": [0, 0.5], "interpolation": [0, 0.5, 1.0]},
        training={"learning_rate": 3e-3},
    )
    done = lab.run(study)
    assert done.code == 0, done.err
    outcomes = lab.outcomes(study)
    start = outcomes.pop("start")
    assert len(outcomes) == 6
    by_scale = {s: [o for o in outcomes.values() if o.interpolation == s] for s in (0.0, 0.5, 1.0)}
    for outcome in by_scale[0.0]:
        assert (outcome.marks, outcome.losses, outcome.rates) == (start.marks, start.losses, start.rates)
        assert outcome.record["weights_sha256"] == start.record["weights_sha256"]
        assert lab.records.weights(outcome.trajectory, outcome.setting) is None
    hashes = {o.record["weights_sha256"] for scale in (0.5, 1.0) for o in by_scale[scale]}
    assert len(hashes) == 4
    assert start.record["weights_sha256"] not in hashes
    assert_tracked(lab, study, settings=6, trajectories=1)
    plan = cli("plan", study, "--json").json
    assert {a["name"]: a["free"] for a in plan["axes"]}["interpolation"] is True


def test_a_diverged_trajectory_is_an_outcome_and_stops_nothing(lab: Lab) -> None:
    study = lab.study(
        "wild",
        axes={
            "learning_rate": [1e4, 3e-3],
            "schedule": ["constant", "warmup_stable_decay"],
            "batch_size": [4],
            "steps": [1, 10],
        },
        constraints={"harmful_response": {"max": 1.0}, "over_refusal": {"max_rise": 1.0}},
    )
    done = lab.run(study)
    assert done.code == 0, done.err
    outcomes = lab.outcomes(study)
    outcomes.pop("start")
    assert len(outcomes) == 8
    wild = [o for o in outcomes.values() if o.status == "diverged"]
    assert {(o.training["learning_rate"], o.step) for o in wild} == {(1e4, 10)}
    assert len(wild) == 2
    for outcome in wild:
        assert outcome.reason
        assert outcome.attempt in lab.records.attempts(outcome.trajectory)
    assert "2 diverged" in done.out
    said = {s["setting"]: s for s in cli("frontier", study, "--json").json["settings"]}
    for outcome in wild:
        row = said[outcome.setting]
        assert (row["status"], row["reason"], row["rate"]) == ("diverged", outcome.reason, None)
        assert not row["on_frontier"]
    import optuna

    from ftstab.tracking import OptunaTracker
    from tests.tracking import material

    results = lab.results(study)
    state = lab.store / "wild" / "state"
    keys = results.identities.evaluation, results.records.store_id()
    tracker = OptunaTracker(results.study, results.plan, state, *keys)
    pruned = [t for t in tracker.study.get_trials() if t.state == optuna.trial.TrialState.PRUNED]
    tracker.close()
    assert {t.user_attrs["setting"] for t in pruned} == {o.setting for o in wild}
    assert all(t.constraints["diverged"] > 0 for t in pruned)
    client = material.mlflow_client(f"sqlite:///{state / 'mlflow.db'}")
    children = material.by_kind(material.runs_of(client, results.study), "setting")
    assert {k for k, run in children.items() if run.info.status == "FAILED"} == {o.setting for o in wild}
    # And it isn't tried again.
    before = lab.pieces("attempts")
    assert lab.run(study).code == 0
    assert lab.pieces("attempts") == before


def test_a_study_whose_every_trajectory_diverges_ends_in_words(lab: Lab) -> None:
    study = lab.study(
        "hopeless",
        axes={"learning_rate": [1e4], "batch_size": [4], "steps": [8]},
        constraints={"harmful_response": {"max": 0.5}},
    )
    done = lab.run(study)
    assert done.code == 0, done.err
    assert "1 diverged" in done.out
    picked = cli("pick", study, "--max-harmful", "0.5")
    assert picked.code == 1
    assert "error:" in picked.err
    assert "Traceback" not in picked.err
