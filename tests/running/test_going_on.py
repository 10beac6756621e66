"""A trajectory of a search that is asked for more steps than it was trained for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ftstab.identity import digest
from ftstab.models.align import start_key
from ftstab.outcome import Outcome
from ftstab.plan import Job, Point, study_plan
from ftstab.running.ending import Ending
from ftstab.running.launcher import Context, Event
from ftstab.running.weights import Keeper
from ftstab.running.worker import run_job
from ftstab.spec import parse_study
from ftstab.store import Records, open_store
from tests.lab import measured
from tests.tiny import study_yaml

CHOICES = {"learning_rate": 1e-2, "batch_size": 2}


class Searched:
    """One store, and points of a search that this process trains in it."""

    def __init__(self, folder: Path, model: Path) -> None:
        self.folder, self.model = folder, model
        self.rates: Any = [1e-3, 1e-2]
        self.decays: list[float] = [0, 0.8]
        self.schedules: list[str] = []
        self.margin = False
        self.records = Records(open_store(folder / "store", create=True))

    def job(self, *steps: int, **search: Any) -> tuple[Context, Job]:
        """The job of a trajectory that was asked for so many steps, one after the other."""
        study = parse_study(
            study_yaml(
                self.model,
                self.folder / "store",
                axes={
                    "learning_rate": self.rates,
                    "batch_size": [2, 4],
                    "steps": [3, 6, 9],
                    "ema_decay": self.decays,
                    **({"schedule": self.schedules} if self.schedules else {}),
                },
                search={"method": "optuna", "budget": {"trajectories": 4}, **search},
                evaluation={
                    "harmful": {"benchmark": "builtin:harmful", "limit": 4},
                    "over_refusal": None,
                    "utility": {"limit": 4},
                    "margin": self.margin,
                    "decoding": {"max_new_tokens": 3, "batch_size": 4},
                },
                resources={"launcher": "inprocess"},
                keep_weights="none",
            )
        )
        chosen = [{**CHOICES, "schedule": s} for s in self.schedules] or [CHOICES]
        points = [Point(choices, n, "sampler") for n in steps for choices in chosen]
        plan = study_plan(study, start_key(study.base, Path()), digest("data"), points=points)
        context = Context(
            study=study,
            base_dir=str(self.folder),
            store=str(self.folder / "store"),
            start_setting=plan.start.key,
            start_trajectory=plan.start.trajectory,
            driver="driver-1",
            command="ftstab run here.yaml",
        )
        (job,) = plan.jobs
        return context, job

    def train(self, *steps: int, **search: Any) -> tuple[list[int], dict[str, Outcome]]:
        """The updates that were made, and the outcomes by setting."""
        events: list[Event] = []
        given = self.job(*steps, **search)
        run_job(*given, events.append)
        assert not [e.message for e in events if e.kind == "failed"]
        found = {o.setting: o for o in self.records.outcomes(given[1].key)}
        return [e.step for e in events if e.kind == "update"], found


@pytest.fixture
def searched(tmp_path: Path, tiny_model: Path) -> Searched:
    return Searched(tmp_path, tiny_model)


def test_an_ask_for_more_steps_goes_on_where_the_trajectory_ended(
    searched: Searched, tmp_path: Path, tiny_model: Path
) -> None:
    assert searched.train(3)[0] == [1, 2, 3]
    updates, found = searched.train(3, 6)
    assert updates == [4, 5, 6]
    updates, found = searched.train(3, 6, 9)
    assert updates == [7, 8, 9]
    # As if it had been trained in one go.
    whole, known = Searched(tmp_path / "whole", tiny_model).train(9)
    assert whole == [*range(1, 10)]
    assert measured(found) == measured(known)
    hashes = {key: outcome.record["weights_sha256"] for key, outcome in found.items()}
    assert hashes == {key: outcome.record["weights_sha256"] for key, outcome in known.items()}


def test_a_state_is_kept_only_while_more_steps_may_be_asked(searched: Searched) -> None:
    (_, job) = searched.job(3)
    searched.train(3)
    assert searched.records.latest_state(job.key) is not None
    searched.train(3, 9)
    assert searched.records.latest_state(job.key) is None


def test_what_is_started_again_at_its_end_keeps_its_state(searched: Searched) -> None:
    _, job = searched.job(3)
    searched.train(3)
    attempts = searched.records.attempts(job.key)
    assert searched.train(3)[0] == []
    state = searched.records.latest_state(job.key)
    assert state is not None
    assert (state.step, state.attempt) == (3, *attempts)
    assert searched.records.attempts(job.key) == attempts
    assert searched.train(3, 6)[0] == [4, 5, 6]


def test_a_state_that_was_left_goes_unless_the_search_may_use_it(searched: Searched) -> None:
    records = searched.records

    def stays(*steps: int, searching: bool = True) -> bool:
        context, job = searched.job(*steps)
        keeper = Keeper(context.study, records, lambda: None)
        Ending(context.study, records, keeper, searching).all_left([job], records.outcomes(job.key))
        return records.latest_state(job.key) is not None

    _, job = searched.job(3)
    searched.train(3)
    assert stays(3)
    assert stays(3, 9, searching=False)  # step 9 isn't trained yet
    assert not stays(3, searching=False)
    # Of a worker that was killed between its last outcome and the end: no step of the axis lies ahead of it.
    searched.train(3, 9)
    (attempt, *_) = records.attempts(job.key)
    records.save_state(job.key, attempt, 8, {"masters": b""})
    assert not stays(3, 9)


@pytest.mark.parametrize(("sampler", "kept"), [("tpe", False), ("trajectory_gp", True)])
def test_states_of_a_range_are_kept_only_for_a_sampler_that_asks_twice(
    searched: Searched, sampler: str, kept: bool
) -> None:
    searched.rates = {"low": 1e-3, "high": 1e-1}
    (_, job) = searched.job(3, sampler=sampler)
    searched.train(3, sampler=sampler)
    assert (searched.records.latest_state(job.key) is not None) == kept


def test_without_states_it_is_trained_from_the_start(searched: Searched) -> None:
    (_, job) = searched.job(3)
    searched.train(3, keep_states=False)
    assert searched.records.latest_state(job.key) is None
    assert searched.train(3, 6, keep_states=False)[0] == [1, 2, 3, 4, 5, 6]


def test_branches_that_a_hopeless_trunk_never_comes_to_are_told(searched: Searched) -> None:
    searched.schedules, searched.margin = ["constant", "warmup_stable_decay"], True
    # Every safety loss is above that, so the trunk is left after its first step of the axis.
    rule = {"hopeless": {"safety_loss_above": -1000.0}}
    _, job = searched.job(9, **rule)
    assert len(job.branches) == 3
    updates, _ = searched.train(9, **rule)
    found = {
        (o.training["schedule"], o.step, o.status)
        for t in job.trajectories
        for o in searched.records.outcomes(t.key)
    }
    # The branch of three steps leaves the trunk after two.
    assert found == {
        ("constant", 3, "scored"),
        ("constant", 6, "hopeless"),
        ("constant", 9, "hopeless"),
        ("warmup_stable_decay", 3, "scored"),
        ("warmup_stable_decay", 6, "hopeless"),
        ("warmup_stable_decay", 9, "hopeless"),
    }
    assert max(updates) == 3


def test_an_average_that_is_asked_for_later_opens_what_was_given_up(
    searched: Searched, tmp_path: Path, tiny_model: Path
) -> None:
    """The trajectory was left for one average; with another that is still fine it is gone on with, as if both had been
    there."""
    plain = Searched(tmp_path / "plain", tiny_model)
    plain.margin = True
    losses = {o.profile.value or 0: o.diagnostics["safety_loss"] for o in plain.train(3)[1].values()}
    worse, better = sorted(losses, key=lambda decay: -losses[decay])
    rule = {"hopeless": {"safety_loss_above": (losses[worse] + losses[better]) / 2}}
    searched.margin, searched.decays = True, [worse]
    updates, found = searched.train(6, **rule)
    assert updates == [1, 2, 3]
    assert sorted((o.step, o.status) for o in found.values()) == [(3, "scored"), (6, "hopeless")]

    searched.decays = [0, 0.8]
    updates, found = searched.train(6, **rule)
    assert updates[-1] == 6
    whole = Searched(tmp_path / "whole", tiny_model)
    whole.margin = True
    assert measured(found) == measured(whole.train(6, **rule)[1])
    assert {o.status for o in found.values()} == {"scored"}
    assert searched.train(6, **rule)[0] == []
