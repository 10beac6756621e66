"""What a search asks next, and when it is over."""

from __future__ import annotations

import pytest

from ftstab.plan import Point
from ftstab.search import Search, Told, expected_points, stalled
from tests.search.material import study, tell

LOG = {"low": 1e-6, "high": 1e-2, "scale": "log"}


def run(search: Search, count: int, harm=lambda choices: 0.5, gain=lambda choices: 0.5):
    asked: list[Point] = []
    told: list[Told] = []
    for _ in range(count):
        point = search.next(asked, told)
        if point is None:
            break
        asked.append(point)
        told += tell(search, point, harm(point.choices), -gain(point.choices))
    return asked


@pytest.mark.parametrize("sampler", ["tpe", "gp", "quasi_random", "random"])
def test_nothing_is_asked_twice_until_everything_is_known(sampler):
    search = Search(study({"sampler": sampler, "startup": 2}))
    asked = run(search, 20)
    choices = [tuple(sorted(p.choices.items())) for p in asked if p.steps == 10]
    assert len(choices) == len(set(choices)) == 6
    # What was asked with fewer steps is asked once more at most, to go on with it.
    assert len(asked) <= 12


def test_presets_come_first_and_what_they_leave_open_is_drawn():
    options = {"presets": ["qi2023", {"batch_size": 16}], "startup": 3}
    search = Search(study(options, learning_rate=LOG, batch_size=[16, 128]))
    asked = run(search, 3)
    assert asked[0].choices == {"learning_rate": 2e-5, "batch_size": 128}
    assert asked[0].source == "preset qi2023"
    assert asked[1].choices["batch_size"] == 16
    assert asked[1].choices["learning_rate"] != 2e-5
    assert asked[2].source == "startup"


def test_a_search_goes_on_alike_after_a_restart():
    options = {"startup": 3, "seed": 7}
    whole = run(Search(study(options, learning_rate=LOG)), 6)
    first, told = whole[:4], []
    again = Search(study(options, learning_rate=LOG))
    for point in first:
        told += tell(again, point, 0.5, -0.5)
    assert again.next(first, told) == whole[4]
    assert run(Search(study({**options, "seed": 8}, learning_rate=LOG)), 6) != whole


@pytest.mark.parametrize("sampler", ["tpe", "gp"])
def test_a_sampler_learns_where_it_is_good(sampler):
    """Harm rises with the learning rate and nothing else matters, so small ones are to be asked."""
    search = Search(study({"sampler": sampler, "startup": 4}, learning_rate=LOG))
    asked = run(search, 12, harm=lambda c: min(1.0, c["learning_rate"] / 1e-3), gain=lambda c: 0.5)
    rates = sorted(p.choices["learning_rate"] for p in asked if p.source == "sampler")
    assert rates[len(rates) // 2] < 1e-4


def test_a_point_that_runs_is_kept_away_from():
    search = Search(study({"startup": 1}, learning_rate=LOG))
    asked = run(search, 1)
    told = tell(search, asked[0], 0.5, -0.5)
    second = search.next(asked, told)
    third = search.next([*asked, second], told, [second])
    assert third.choices != second.choices


def test_diverged_settings_are_told_as_what_they_are():
    search = Search(study({"startup": 1}))
    asked = run(search, 1)
    told = [Told(t.values, None, {"diverged": 1.0}, t.trajectory) for t in tell(search, asked[0], 0, 0)]
    assert search.next(asked, told) is not None


def test_a_search_that_finds_nothing_more_has_stalled():
    options = {"stall": {"trajectories": 2, "growth": 0.01}, "startup": 6}
    search = Search(study(options))
    asked = run(search, 4)
    told = [t for i, p in enumerate(asked) for t in tell(search, p, [0.5, 0.2, 0.6, 0.7][i], -0.5)]
    assert stalled(search.study, told)
    better = [t for i, p in enumerate(asked) for t in tell(search, p, [0.5, 0.4, 0.3, 0.2][i], -0.5)]
    assert not stalled(search.study, better)
    assert not stalled(search.study, told[:8])
    assert not stalled(study(), told)


def test_as_many_points_are_expected_as_the_budget_allows():
    found = expected_points(study({"budget": {"trajectories": 4}, "presets": [{"batch_size": 16}]}))
    assert len(found) == 4
    assert found[0].source == "preset"
    asked = [Point({"learning_rate": 1e-3, "batch_size": 4}, 10, "sampler")]
    assert expected_points(study({"budget": {"trajectories": 2}}), asked)[0] == asked[0]


def test_startup_points_may_follow_the_square_root_rule():
    def drawn(prior: str) -> list[Point]:
        options = {"sampler": "quasi_random", "batch_prior": prior, "seed": 1}
        return run(Search(study(options, learning_rate=LOG, batch_size=[1, 16, 256])), 12)

    for free, tied in zip(drawn("none"), drawn("sqrt"), strict=True):
        batch = free.choices["batch_size"]
        assert tied.choices["batch_size"] == batch
        wanted = min(max(free.choices["learning_rate"] * (batch / 16) ** 0.5, 1e-6), 1e-2)
        assert tied.choices["learning_rate"] == pytest.approx(wanted, rel=0.01)
