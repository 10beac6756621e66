"""A search on a tiny model: it trains what it asks for, learns from every setting, and goes on after any end."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import optuna
import pytest

from ftstab.errors import TrackingError
from ftstab.extent import extent
from ftstab.plan import Point
from ftstab.results import ASKED, OVER
from ftstab.running.trackers import Trackers
from tests.lab import Lab, cli, until

AXES = {
    "learning_rate": {"low": 1e-4, "high": 1e-2, "scale": "log"},
    "batch_size": [2, 4],
    "steps": [2, 4],
    "ema_decay": [0, 0.5],
}
SEARCH = {
    "method": "optuna",
    "budget": {"trajectories": 4},
    "startup": 2,
    "presets": [{"learning_rate": 1e-3}],
}


def trials(lab: Lab, name: str) -> list[optuna.trial.FrozenTrial]:
    storage = f"sqlite:///{lab.store / name / 'state' / 'optuna.db'}"
    (summary,) = optuna.get_all_study_summaries(storage)
    return optuna.load_study(study_name=summary.study_name, storage=storage).get_trials(deepcopy=False)


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory, refusing_model: Path, empty_databases: Path):
    lab = Lab(tmp_path_factory.mktemp("searched"), refusing_model, empty_databases)
    study = lab.study("searched", axes=AXES, search=SEARCH)
    return lab, study, lab.run(study)


def test_a_search_spends_its_budget_and_no_more(searched):
    lab, study, done = searched
    assert done.code == 0, done.err
    assert "the search is over: the budget of 4 trajectories is spent" in " ".join(done.out.split())
    results = lab.results(study)
    assert len(results.plan.trajectories) == 4
    assert {o.trajectory for o in results.outcomes} == {t.key for t in results.plan.trajectories}
    assert results.plan.trajectories[0].training.learning_rate == 1e-3
    rates = [t.training.learning_rate for t in results.plan.trajectories]
    assert all(1e-4 <= rate <= 1e-2 for rate in rates)
    assert len(set(rates)) == 4
    assert extent(results).whole
    killed = replace(results, about=results.about | {OVER: None})
    assert not extent(killed).whole


def test_a_search_that_is_over_stays_over_where_a_later_run_fails_early(searched, monkeypatch):
    lab, study, _ = searched

    def unreachable(self, results):
        raise TrackingError("no MLflow")

    with monkeypatch.context() as patch:
        patch.setattr(Trackers, "begin", unreachable)
        assert cli("run", study).code == 1
    assert lab.results(study).about[OVER] is not None
    assert extent(lab.results(study)).whole


def test_every_setting_is_one_complete_trial(searched):
    lab, study, _ = searched
    told = trials(lab, "searched")
    states = {t.state for t in told}
    assert states == {optuna.trial.TrialState.COMPLETE}
    assert {t.user_attrs["setting"] for t in told} == {o.setting for o in lab.results(study).outcomes}
    assert {"learning_rate", "batch_size", "step", "ema_decay"} == set(told[0].params)


def test_frontier_report_and_sync_read_a_search(searched):
    lab, study, _ = searched
    found = cli("frontier", study, "--json").json
    assert len(found["settings"]) == len(lab.results(study).outcomes)
    assert cli("sync", study, "--json").json["trials_added"] == 0

    search = found["search"]
    assert search["over"] == "the budget of 4 trajectories is spent"
    assert [a["source"] for a in search["asked"]] == ["preset", "startup", "sampler", "sampler"]
    assert sum(a["settings"] for a in search["asked"]) == len(found["settings"])
    volumes = [a["hypervolume"] for a in search["asked"]]
    assert volumes == sorted(volumes)
    assert volumes[-1] == pytest.approx(found["summary"]["hypervolume"])
    page = lab.folder / "searched.html"
    assert cli("report", study, "--out", page).code == 0
    told = "4 points asked (1 by preset, 1 by start-up, 2 by sampler). It ended because the budget of 4 trajectories"
    assert told in page.read_text()
    assert told in " ".join(cli("frontier", study).out.split())


def test_nothing_is_trained_by_the_same_command_again(searched):
    lab, study, _ = searched
    before = lab.pieces("attempts")
    again = lab.run(study)
    assert again.code == 0, again.err
    assert lab.pieces("attempts") == before


def test_a_larger_budget_goes_on(searched, tmp_path):
    lab, study, _ = searched
    folder = tmp_path / "more"
    shutil.copytree(lab.folder, folder)
    more = Lab(folder, lab.model, lab._databases)
    path = more.study("searched", axes=AXES, search=SEARCH | {"budget": {"trajectories": 5}})
    # What was over by the file that was run isn't by this one.
    assert cli("frontier", path, "--json").json["search"]["over"] is None
    assert cli("pick", path, "--max-harmful", "1", "--json").json["extent"]["searching"] is True
    before = set(more.pieces("attempts"))
    assert more.run(path).code == 0
    assert cli("frontier", path, "--json").json["search"]["over"] is not None
    plan = more.results(path).plan
    assert len(plan.trajectories) == 5
    assert [t.key for t in plan.trajectories][:4] == [t.key for t in lab.results(study).plan.trajectories]
    assert len(set(more.pieces("attempts")) - before) == 1


def test_a_state_that_waited_for_more_steps_is_dropped_when_the_search_is_over(searched, tmp_path):
    lab = searched[0]
    folder = tmp_path / "short"
    shutil.copytree(lab.folder, folder)
    short = Lab(folder, lab.model, lab._databases)
    # Lists, because nothing waits where values don't come twice.
    axes = AXES | {"learning_rate": [1e-3, 3e-3]}
    path = short.study("searched", axes=axes, search=SEARCH | {"budget": {"trajectories": 5}})
    # As a driver that was killed leaves it: a point of fewer steps than the largest was asked and isn't trained.
    text, about = short.records.study("searched")
    point = Point({"learning_rate": 3e-3, "batch_size": 2}, 2, "sampler")
    about[ASKED].append(point.as_dict())
    short.records.put_study("searched", text, about)
    assert short.run(path).code == 0
    trajectory = short.results(path).plan.trajectories[4]
    assert (trajectory.training.learning_rate, trajectory.last) == (3e-3, 2)
    assert {o.step for o in short.results(path).outcomes if o.trajectory == trajectory.key} == {2}
    assert short.pieces("states") == {}


def test_what_another_study_has_trained_costs_nothing(searched, tmp_path):
    lab = searched[0]
    folder = tmp_path / "shared"
    shutil.copytree(lab.folder, folder)
    other = Lab(folder, lab.model, lab._databases)
    path = other.study("other", axes=AXES, search=SEARCH | {"budget": {"trajectories": 1}, "startup": 4})
    before = set(other.pieces("attempts"))
    done = other.run(path)
    assert done.code == 0, done.err
    # The preset and the quasi-random point that follows are in the store, so the budget pays for another.
    assert len(set(other.pieces("attempts")) - before) == 1
    assert len(other.results(path).plan.trajectories) >= 2


def test_a_killed_search_goes_on_with_what_it_had_asked(lab: Lab):
    study = lab.study(
        "killed",
        axes=AXES | {"steps": [4, 60]},
        search=SEARCH | {"budget": {"trajectories": 2}},
        resources={"launcher": "inprocess", "save_every": 10},
    )
    lab.with_databases("killed")
    process = lab.start("run", study)
    until(lambda: len(lab.pieces("outcomes")) >= 2, process)
    process.kill()
    process.communicate()
    asked = lab.results(study).plan.trajectories[0].key
    assert lab.results(study).about[OVER] is None
    kept = lab.pieces("outcomes")
    done = lab.run(study)
    assert done.code == 0, done.err
    plan = lab.results(study).plan
    assert plan.trajectories[0].key == asked
    assert len(plan.trajectories) == 2
    assert kept.items() <= lab.pieces("outcomes").items()


def test_a_search_is_planned_before_anything_is_asked(lab: Lab):
    study = lab.study("planned", axes=AXES, search=SEARCH)
    plan = cli("plan", study, "--json").json
    assert plan["trajectories"] == 4
    assert plan["settings"] == 16
    text = cli("plan", study).out
    assert "optuna, trajectory_gp, at most 4 trajectories" in text
    assert "range" in text
    state = plan["cost"]["state_bytes"]
    assert 0 < 2 * state <= plan["cost"]["disk_bytes"]
    assert f"disk while searching  {state / 1e9:.1f} GB" in text
    unkept = lab.study("unkept", axes=AXES, search=SEARCH | {"keep_states": False})
    assert "disk while searching" not in cli("plan", unkept).out


def test_a_hopeless_trajectory_is_left_and_told_as_what_it_is(lab: Lab):
    # No gain can be above 2, so every trajectory is left after its first step of the grid.
    study = lab.study(
        "hopeless",
        axes=AXES,
        search=SEARCH | {"budget": {"trajectories": 2}, "hopeless": {"gain_below": 2.0}},
    )
    done = lab.run(study)
    assert done.code == 0, done.err
    found = {o.setting: o for o in lab.results(study).outcomes}
    assert {(o.step, o.status) for o in found.values()} == {(2, "scored"), (4, "hopeless")}
    left = next(o for o in found.values() if o.status == "hopeless")
    assert left.reason == "hopeless at step 2: the gain of every average is surely below 2"
    told = {t.user_attrs["setting"]: t for t in trials(lab, "hopeless")}
    for key, outcome in found.items():
        pruned = told[key].state == optuna.trial.TrialState.PRUNED
        assert pruned == (outcome.status == "hopeless")
    asked = cli("frontier", study, "--json").json["search"]["asked"]
    assert [a["lost"] for a in asked] == [{"hopeless": 2}] * 2
    assert cli("report", study).code == 0
