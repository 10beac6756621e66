"""The trajectory that is worth its training most, on made-up problems."""

from __future__ import annotations

import numpy as np
import pytest

from ftstab.dominance import hypervolume
from ftstab.plan import Point
from ftstab.search import Search, Told
from ftstab.search.whole_trajectories import best_trajectory
from tests.search.material import study, tell

RATES = [1e-6, 3e-6, 1e-5, 3e-5, 1e-4, 3e-4, 1e-3]
STEPS = [2, 4, 8, 16]
REFERENCE = (1.0, 0.0)


def searched(**axes):
    return Search(study({"sampler": "trajectory_gp", "startup": 0}, learning_rate=RATES, **axes))


def of(search, rates, figures, steps=16):
    """Points of ``rates`` at one batch size, and what they told: ``figures`` (harm, loss) by rate, step and average."""
    points = [Point({"learning_rate": rate, "batch_size": 4}, steps, "startup") for rate in rates]
    told = []
    for point in points:
        for one in tell(search, point, 0.0, 0.0):
            values = dict(one.values)
            objectives = figures(values["learning_rate"], values.get("steps", steps), values.get("average"))
            told.append(Told(values, objectives, {}, one.trajectory))
    return points, told


def best(search, told, asked, running=(), seed=0, rates=RATES):
    candidates = [{"learning_rate": rate, "batch_size": 4} for rate in rates]
    return best_trajectory(search.study, search.space, told, candidates, asked, running, REFERENCE, seed)


def test_it_asks_between_what_is_safe_and_what_is_useful():
    """Harm and gain rise with the learning rate, gain first: the middle promises most, the ends are known."""

    def figures(rate, step, average):
        place = np.log10(rate / 1e-6) / 3
        return 1 / (1 + np.exp(-20 * (place - 0.7))), -1 / (1 + np.exp(-20 * (place - 0.3)))

    search = searched(steps=STEPS)
    asked, told = of(search, [1e-6, 3e-6, 3e-4, 1e-3], figures)
    found = best(search, told, asked)
    assert found is not None
    assert found.choices["learning_rate"] in (1e-5, 3e-5, 1e-4)


def test_no_more_steps_are_asked_than_promise_something():
    """After 4 steps all becomes harmful and nothing is gained."""

    def figures(rate, step, average):
        gain = 0.5 * np.log10(rate / 1e-7) / 4
        return (0.1, -gain) if step == 4 else (0.95, -gain * (step > 4))

    search = searched(steps=STEPS)
    asked, told = of(search, [1e-6, 1e-5, 1e-4], figures)
    assert best(search, told, asked, rates=[1e-3]).steps == 4


def test_a_trajectory_that_ended_early_may_be_asked_for_more():
    def figures(rate, step, average):
        return 0.1, -0.1 * np.log2(step)

    search = searched(steps=STEPS)
    asked, told = of(search, RATES, figures, steps=4)
    longer = of(search, RATES[1:], figures)
    found = best(search, [*told, *longer[1]], [*asked, *longer[0]])
    assert (found.choices["learning_rate"], found.steps) == (1e-6, 16)
    # Once that is asked too, every setting is.
    assert best(search, told, [*asked, *longer[0], found]) is None


def test_all_settings_of_a_trajectory_count():
    """Batch 4 has the best single setting; the averages of batch 16 together cover more."""
    decays = [0, 0.5, 0.9, 0.99]
    search = searched(steps=[8], ema_decay=decays)

    def told_at(rate, batch):
        figures = {4: [(0.3, -0.6)] * 4, 16: [(0.1, -0.2), (0.25, -0.45), (0.4, -0.65), (0.6, -0.8)]}[batch]
        averages = search.space[-1].values
        return [
            Told({"learning_rate": rate, "batch_size": batch, "average": a}, f, {}, f"{rate} {batch}")
            for a, f in zip(averages, figures, strict=True)
        ]

    def hypervolume_of(figures):
        return hypervolume(np.array(figures), REFERENCE)

    assert hypervolume_of([(0.3, -0.6)]) > max(hypervolume_of([t.objectives]) for t in told_at(1e-6, 16))
    told = [t for rate in (1e-6, 3e-6, 1e-4, 3e-4) for batch in (4, 16) for t in told_at(rate, batch)]
    # What is known covers some of both, so that growth is left to either at another rate.
    worse = [Told(t.values, (t.objectives[0] + 0.2, t.objectives[1] + 0.1), {}, t.trajectory) for t in told]
    found = best_trajectory(
        search.study,
        search.space,
        worse,
        [{"learning_rate": 1e-5, "batch_size": batch} for batch in (4, 16)],
        [],
        [],
        REFERENCE,
        0,
    )
    assert found.choices["batch_size"] == 16


@pytest.mark.parametrize("ended", [True, False])
def test_what_diverged_or_breaks_a_limit_is_kept_away_from(ended):
    search = searched(steps=STEPS)
    asked, told = of(search, [1e-6, 1e-5, 1e-4, 1e-3], lambda rate, *_: (0.3, -0.1 * np.log10(rate / 1e-7)))
    lost = [
        Told(t.values, None, {"diverged": 1.0}, t.trajectory)
        if ended
        else Told(t.values, t.objectives, {"limit": 0.4}, t.trajectory)
        for t in told
        if t.values["learning_rate"] > 1e-5
    ]
    kept = [
        t if ended else Told(t.values, t.objectives, {"limit": -0.4}, t.trajectory)
        for t in told
        if t.values["learning_rate"] <= 1e-5
    ]
    assert best(search, [*kept, *lost], asked).choices["learning_rate"] < 1e-4
    # Were nothing lost, more would promise more.
    assert best(search, told, asked).choices["learning_rate"] >= 1e-4


def test_what_runs_is_believed_to_come_as_expected():
    def figures(rate, step, average):
        return 0.2, -0.5 + 0.3 * (np.log10(rate) + 4.5) ** 2 / 6

    search = searched(steps=STEPS)
    asked, told = of(search, [1e-6, 1e-3], figures)
    first = best(search, told, asked)
    second = best(search, told, [*asked, first], [first])
    assert second.choices != first.choices
    narrowed = Point({"learning_rate": 7e-2, "batch_size": 4}, 16, "sampler")
    assert best(search, told, asked, [narrowed]) == first


def test_the_same_is_asked_again_by_the_same_seed():
    search = searched(steps=STEPS)
    asked, told = of(search, [1e-6, 1e-4], lambda rate, step, _: (0.2, -0.1 * np.log2(step)))
    assert best(search, told, asked, seed=3) == best(search, told, asked, seed=3)


def test_nothing_is_expected_of_nothing():
    search = searched(steps=STEPS)
    asked, told = of(search, [1e-4], lambda *_: None)
    assert best(search, told, asked) is None
    assert search.next(asked, told).source == "startup"
