"""A worker whose study rebuilds averages: what it stores, what it says of them, and how it goes on."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ftstab.identity import digest
from ftstab.models.align import start_key
from ftstab.outcome import Outcome, Profile, StoredShadows
from ftstab.plan import Job, study_plan
from ftstab.running.launcher import Context, Event
from ftstab.running.worker import run_job
from ftstab.spec import parse_study
from ftstab.store import Records, open_store
from ftstab.training.posthoc import rebuilt
from tests.lab import measured
from tests.tiny import study_yaml

POSTHOC = {"decays": [0.6, 0.9], "every": 3}
STORED = StoredShadows(decays=(0.6, 0.9), every=3)
TRACKED = [{"kind": "exponential", "decay": 0.8}]
AXES: dict[str, Any] = {
    "learning_rate": [1e-2],
    "batch_size": [2],
    "steps": [5, 10],
    "ema_decay": [0, 0.8],
}


class KilledError(Exception):
    """Stands for a worker that is killed."""


class Bench:
    """One store, and jobs of a study that are run in it by this process."""

    def __init__(self, folder: Path, model: Path) -> None:
        self.folder, self.model = folder, model
        self.records = Records(open_store(folder / "store", create=True))
        self.events: list[Event] = []

    def job(self, posthoc: dict[str, Any] | None = None, **axes: Any) -> tuple[Context, Job]:
        whole = {
            "axes": AXES | axes,
            "evaluation": {
                "harmful": {"benchmark": "builtin:harmful", "limit": 4},
                "over_refusal": None,
                "utility": {"limit": 4},
                "decoding": {"max_new_tokens": 3, "batch_size": 4},
            },
            "resources": {"launcher": "inprocess", "save_every": 4},
            "keep_weights": "none",
        }
        if posthoc is not None:
            whole["posthoc"] = posthoc
        study = parse_study(study_yaml(self.model, self.folder / "store", **whole))
        plan = study_plan(study, start_key(study.base, Path()), digest("data"))
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

    def run(
        self, given: tuple[Context, Job], on_event: Callable[[Event], None] = lambda _: None
    ) -> dict[str, Outcome]:
        """Outcomes of the job by setting."""
        self.events = []

        def heard(event: Event) -> None:
            self.events.append(event)
            on_event(event)

        run_job(*given, heard)
        assert not [e.message for e in self.events if e.kind == "failed"]
        settings = {s.key for s in given[1].settings}
        return {o.setting: o for o in self.records.outcomes(given[1].key) if o.setting in settings}

    @property
    def updates(self) -> int:
        return sum(e.kind == "update" for e in self.events)

    def copies(self) -> list[str]:
        keys = [k.split("/") for k in self.records.store.list("trajectories")]
        return ["/".join(k[4:]) for k in keys if k[2] == "copies"]


@pytest.fixture
def bench(tmp_path: Path, tiny_model: Path) -> Bench:
    return Bench(tmp_path, tiny_model)


def by_name(outcomes: dict[str, Outcome]) -> dict[tuple[int, str], Outcome]:
    return {(o.step, o.profile.label): o for o in outcomes.values()}


def killed_at(step: int) -> Callable[[Event], None]:
    def heard(event: Event) -> None:
        if event.kind == "update" and event.step == step:
            raise KilledError

    return heard


def test_a_rebuilt_average_is_measured_and_says_how_it_was_made(bench: Bench) -> None:
    seen: list[list[str]] = []
    outcomes = bench.run(
        bench.job(POSTHOC, averaging=TRACKED),
        lambda e: seen.append(bench.copies()) if e.kind == "outcome" else None,
    )
    found = by_name(outcomes)
    assert set(found) == {(s, n) for s in (5, 10) for n in ("last", "ema 0.8", "post-hoc ema 0.8")}
    for step in (5, 10):
        tracked, made = found[step, "ema 0.8"], found[step, "post-hoc ema 0.8"]
        assert made.profile == Profile(kind="posthoc_exponential", value=0.8, stored=STORED)
        wanted = rebuilt(made.profile, step)
        said = made.diagnostics
        assert (said["posthoc_residual"], said["posthoc_size"]) == (wanted.residual, wanted.size)
        assert 0 < said["posthoc_apart"] < wanted.residual < 0.05
        assert said["retained_weight"] == pytest.approx(0.8**step, abs=0.01)
        assert said["half_life"] == tracked.diagnostics["half_life"]
        places = [c[:2] for c in made.record["posthoc"]["coefficients"]]
        assert places[-1] == [step, 0.0]
        assert [3, 0.6] in places
        assert not {k for k in tracked.diagnostics if k.startswith("posthoc")} | (
            {"posthoc"} & set(tracked.record)
        )
        # Near each other, and never the same thing.
        assert made.setting != tracked.setting
        assert made.record["weights_sha256"] != tracked.record["weights_sha256"]
        assert made.losses == pytest.approx(tracked.losses, rel=1e-2)
    # Stored as it was trained, gone when it ended.
    assert [len(s) for s in seen] == [1, 1, 1, 3, 3, 3]
    assert bench.copies() == []


def test_nothing_else_changes_by_it(bench: Bench, tmp_path: Path) -> None:
    with_it = by_name(bench.run(bench.job(POSTHOC, averaging=TRACKED)))
    other = Bench(tmp_path / "other", bench.model)
    plain = by_name(other.run(other.job()))
    assert set(plain) == {(s, n) for s in (5, 10) for n in ("last", "ema 0.8")}
    for name, outcome in plain.items():
        assert with_it[name].setting == outcome.setting
        assert measured({"": with_it[name]}) == measured({"": outcome})


def test_killed_and_gone_on_gives_the_same_bits(bench: Bench, tmp_path: Path) -> None:
    other = Bench(tmp_path / "other", bench.model)
    wanted = other.run(other.job(POSTHOC))
    given = bench.job(POSTHOC)
    with pytest.raises(KilledError):
        bench.run(given, killed_at(7))
    assert len(bench.copies()) == 2
    assert measured(bench.run(given)) == measured(wanted)
    assert bench.updates == 6  # from the state of step 4
    assert bench.copies() == []


def killed_at_last(given: tuple[Context, Job]) -> Callable[[Event], None]:
    """Kills a worker that has stored its last outcome and nothing after it."""
    left = [s.key for s in given[1].settings]

    def heard(event: Event) -> None:
        if event.kind == "outcome":
            left.pop()
            if not left:
                raise KilledError

    return heard


def test_what_was_killed_at_its_very_end_is_ended_and_not_begun_again(bench: Bench) -> None:
    given = bench.job(POSTHOC | {"keep": True})
    with pytest.raises(KilledError):
        bench.run(given, killed_at_last(given))
    records, key = bench.records, given[1].key
    attempts = set(records.attempts(key))
    whole = bench.copies()
    assert records.latest_state(key) is not None
    found = bench.run(given)
    assert bench.updates == 0
    assert set(records.attempts(key)) == attempts == {o.attempt for o in found.values()}
    assert set(records.kept_copies(key)) == attempts
    assert set(whole) < set(bench.copies())
    assert records.latest_state(key) is None
    # Nor where a worker is started again that had only to say that it was done.
    bench.run(given)
    assert set(records.kept_copies(key)) == set(records.attempts(key)) == attempts
    assert set(whole) < set(bench.copies())


@pytest.mark.parametrize("method", ["full", "lora"])
def test_a_state_that_lacks_an_average_is_not_continued(bench: Bench, tmp_path: Path, method: str) -> None:
    """Averages are taken out of a study, and put back, while an attempt goes on from its states."""
    few, many = [0], [0, 0.8, 0.9]
    axes = {"steps": [10], "method": [method]}
    other = Bench(tmp_path / "other", bench.model)
    wanted = other.run(other.job(ema_decay=many, **axes))
    given = bench.job(ema_decay=many, **axes)
    with pytest.raises(KilledError):
        bench.run(given, killed_at(5))
    with pytest.raises(KilledError):
        bench.run(bench.job(ema_decay=few, **axes), killed_at(9))
    assert bench.updates == 5  # from the state of step 4, which has more than is needed
    state = bench.records.latest_state(given[1].key)
    assert state is not None
    assert state.step == 8
    assert measured(bench.run(given)) == measured(wanted)
    assert bench.updates == 10


def test_a_state_whose_copies_are_gone_is_not_continued(bench: Bench, tmp_path: Path) -> None:
    other = Bench(tmp_path / "other", bench.model)
    wanted = other.run(other.job(POSTHOC))
    given = bench.job(POSTHOC)
    with pytest.raises(KilledError):
        bench.run(given, killed_at(7))
    bench.records.drop_copies(given[1].key)
    assert measured(bench.run(given)) == measured(wanted)
    assert bench.updates == 10
    assert bench.copies() == []


def test_decays_asked_later_are_read_off_kept_copies(bench: Bench, tmp_path: Path) -> None:
    keep = POSTHOC | {"keep": True}
    first = bench.run(bench.job(keep, ema_decay=[0, 0.8]))
    assert len(bench.copies()) == 6  # 3, 5, 6, 9, 10 and what says that they stay
    later = bench.job(keep, ema_decay=[0, 0.7, 0.75, 0.8, 0.9])
    found = bench.run(later)
    assert bench.updates == 0
    assert set(first) < set(found)
    assert measured({k: o for k, o in found.items() if k in first}) == measured(first)
    assert {o.attempt for o in found.values()} == {next(iter(first.values())).attempt}
    # Bit by bit what a training that had asked for all of them finds.
    other = Bench(tmp_path / "other", bench.model)
    whole = other.run(other.job(POSTHOC, ema_decay=[0, 0.7, 0.75, 0.8, 0.9]))
    assert measured(found) == measured(whole)
    for key, outcome in whole.items():
        # What was sketched on the way is known to the training alone.
        same = {k: v for k, v in outcome.diagnostics.items() if not k.startswith("nearest_snapshot")}
        assert found[key].diagnostics == pytest.approx(same) if key not in first else True


def test_what_kept_copies_dont_hold_is_trained(bench: Bench) -> None:
    keep = POSTHOC | {"keep": True}
    bench.run(bench.job(keep))
    for changed, updates in (
        ({"steps": [5, 7, 10]}, 7),  # no copy of step 7
        ({"averaging": [{"kind": "power", "gamma": 2.0}]}, 10),
        ({"steps": [5, 10, 12]}, 12),
    ):
        bench.run(bench.job(keep, **changed))
        assert bench.updates == updates, changed
    # Other shadows make other averages, which have keys of their own.
    coarse, fine = bench.job(POSTHOC), bench.job(POSTHOC | {"every": 2})
    keys = [{s.key for s in job.settings if s.profile.stored} for _, job in (coarse, fine)]
    assert not keys[0] & keys[1]
    bench.run(fine)
    assert bench.updates == 10


def test_a_copy_that_is_lost_while_it_trains_is_named(bench: Bench) -> None:
    context, job = bench.job(POSTHOC)

    def heard(event: Event) -> None:
        if event.kind == "update" and event.step == 4:
            bench.records.drop_copies(job.key)

    from ftstab.errors import StoreError

    with pytest.raises(StoreError, match=re.escape("shadows stored at step 3 are no longer in the store")):
        bench.run((context, job), heard)


def test_settings_that_were_rebuilt_can_be_trained_again(bench: Bench) -> None:
    context, job = bench.job(POSTHOC)
    outcomes = bench.run((context, job))
    context = replace(context, study=context.study.model_copy(update={"keep_weights": "all"}))
    bench.run((context, replace(job, restores=True)))
    assert set(bench.records.weight_settings(job.key)) == set(outcomes)
    assert bench.copies() == []
