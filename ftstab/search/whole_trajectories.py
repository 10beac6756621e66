"""Which trajectory is worth its training most: all its settings together, by what Gaussian processes expect of them.

Samplers of settings ask where one setting would be good.  A training answers every step and average of its trajectory
at once, so the question here is by how much all of them together would make the hypervolume grow.  Pure: a proposal
depends on nothing but its arguments.

Source: expected hypervolume improvement over noisy observations, by draws of the posterior (Daulton, Balandat, Bakshy
2021, arXiv 2105.08195), taken over the settings of a trajectory; Gaussian processes by scikit-learn.
"""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from ftstab.dominance import hypervolume, non_dominated
from ftstab.plan import Point, read_steps
from ftstab.search.dimensions import Dimension
from ftstab.search.proposals import Told
from ftstab.spec import Study
from ftstab.stats import Floats

DRAWS = 48
"""Draws of the posterior that an expectation is taken over."""
FITTED = 120
"""Settings that the kernels' scales are fitted to, drawn from all: fitting costs the cube of them ..."""
KNOWN = 600
"""... and settings that the processes are conditioned on."""
ENOUGH = 0.95
"""Share of the growth for which more steps aren't asked."""


def best_trajectory(
    study: Study,
    space: Sequence[Dimension],
    told: Sequence[Told],
    candidates: Collection[Mapping[str, Any]],
    asked: Sequence[Point],
    running: Sequence[Point],
    reference: tuple[float, float],
    seed: int,
) -> Point | None:
    """Return the point whose settings are expected to make the hypervolume grow most.

    It is asked for the fewest steps that are expected to bring `ENOUGH` of what the most steps would.

    Args:
        study: the study, for its steps and schedules.
        space: the dimensions of its search.
        told: every setting that came to an end.
        candidates: choices of the trained dimensions.
        asked: every point so far; settings that these have read already promise nothing.
        running: points that are being trained; what is expected of them counts as told.
        reference: of the hypervolume.
        seed: of the draws.

    Returns:
        None if no candidate promises any growth, or nothing that was told has numbers.
    """
    if all(t.objectives is None for t in told):
        return None
    rng = np.random.default_rng(seed)
    expected = _Expected(space, told, rng)
    expected.believe(
        [
            place
            for point in running
            for place in _places(space, point.choices, _read(study, point.choices, point.steps))
            # The axes may have been narrowed since it was asked.
            if all(d.holds(place[d.name]) for d in space if d.name in place)
        ]
    )
    front = expected.front()
    best: tuple[float, Point] | None = None
    for choices in candidates:
        known = {s for p in asked if dict(p.choices) == dict(choices) for s in _read(study, choices, p.steps)}
        read = {last: new for last in study.axes.steps if (new := _read(study, choices, last) - known)}
        if not read:
            continue
        every = set().union(*read.values())
        places = _places(space, choices, every)
        at = np.array([place.get("steps", max(every)) for place in places])
        drawn = expected.draw(places, rng)
        growth = {
            last: _growth(drawn[:, np.isin(at, [*new])], front, reference) for last, new in read.items()
        }
        most = max(growth.values())
        if most > (0.0 if best is None else best[0]):
            fewest = min(last for last, grown in growth.items() if grown >= ENOUGH * most)
            best = most, Point(dict(choices), fewest, "sampler")
    return None if best is None else best[1]


def _read(study: Study, choices: Mapping[str, Any], steps: int) -> set[int]:
    return set(read_steps(study, choices, steps))


def _places(
    space: Sequence[Dimension], choices: Mapping[str, Any], steps: Iterable[int]
) -> list[dict[str, Any]]:
    """Where the settings lie that are read off a trajectory of ``choices`` at ``steps``."""
    free = [d for d in space if not d.trained]
    values = [sorted(steps) if d.name == "steps" else d.values for d in free]
    return [
        {**choices, **dict(zip((d.name for d in free), v, strict=True))} for v in itertools.product(*values)
    ]


def _growth(drawn: Floats, front: Floats, reference: tuple[float, float]) -> float:
    """Mean growth of the hypervolume over ``front`` [n, 2] by settings ``drawn`` [draws, settings, 2]."""
    held = hypervolume(front, reference)
    return float(np.mean([hypervolume(np.concatenate([front, one]), reference) - held for one in drawn]))


class _Expected:
    """What is expected of settings: a process for each objective and for each limit that was ever broken."""

    def __init__(self, space: Sequence[Dimension], told: Sequence[Told], rng: np.random.Generator) -> None:
        self._space = space
        # The front is that of all, whichever settings the processes are conditioned on.
        whole = [t for t in told if t.objectives is not None]
        self._able = self._coordinates(t.values for t in whole)[
            [all(excess <= 0 for excess in t.constraints.values()) for t in whole]
        ]
        if len(told) > KNOWN:
            told = [told[i] for i in np.sort(rng.permutation(len(told))[:KNOWN])]
        scored = [t for t in told if t.objectives is not None]
        worst = np.max(np.array([t.objectives for t in scored]), axis=0)
        # What has no numbers is taken for as bad as the worst that has some: nothing else would tell the processes
        # that what is good near a cliff doesn't go on beyond it.
        harm, loss = np.array([worst if t.objectives is None else t.objectives for t in told]).T
        every, places = self._coordinates(t.values for t in told), self._coordinates(t.values for t in scored)
        self._objectives = [
            _Process(every, np.arcsin(np.sqrt(np.clip(harm, 0.0, 1.0))), rng),
            _Process(every, loss, rng),
        ]
        self._limits: list[_Process] = []
        if len(scored) < len(told):
            without = np.array([1.0 if t.objectives is None else -1.0 for t in told])
            self._limits.append(_Process(every, without, rng, centred=False))
        for name in sorted({n for t in scored for n, excess in t.constraints.items() if excess > 0}):
            excess = np.array([t.constraints.get(name, 0.0) for t in scored])
            self._limits.append(_Process(places, excess, rng, centred=False))

    def believe(self, values: Sequence[Mapping[str, Any]]) -> None:
        """Take what is expected of settings that are being trained for what they will be (kriging believer)."""
        if not values:
            return
        places = self._coordinates(values)
        able = np.all([limit.mean(places) <= 0 for limit in self._limits], axis=0)
        for process in (*self._objectives, *self._limits):
            process.add(places, process.mean(places))
        self._able = np.concatenate([self._able, places[np.broadcast_to(able, len(places))]])

    def front(self) -> Floats:
        """Expected harm and loss [n, 2] of the settings that no other is expected to beat, within the limits."""
        if not len(self._able):
            return np.empty((0, 2))
        harm, loss = (process.mean(self._able) for process in self._objectives)
        found = np.column_stack([_share(harm), loss])
        return found[non_dominated(found)]

    def draw(self, values: Sequence[Mapping[str, Any]], rng: np.random.Generator) -> Floats:
        """Draw harm and loss [draws, settings, 2]; infinite where a limit is broken."""
        places = self._coordinates(values)
        harm, loss = (process.draw(places, rng) for process in self._objectives)
        found = np.stack([_share(harm), loss], axis=-1)
        for limit in self._limits:
            found[limit.draw(places, rng) > 0] = np.inf
        return found

    def _coordinates(self, values: Iterable[Mapping[str, Any]]) -> Floats:
        """Coordinates [settings, coordinates] between 0 and 1; a category has one for each of its values."""
        return np.array([[c for d in self._space for c in _unit(d, place)] for place in values])


class _Process:
    """A Gaussian process of one number, told in its own unit.

    Args:
        places: [n, coordinates].
        values: [n].
        rng: draws the settings that its scales are fitted to.
        centred: whether the mean of ``values`` is what is expected far from them; 0 otherwise.
    """

    def __init__(
        self, places: Floats, values: Floats, rng: np.random.Generator, centred: bool = True
    ) -> None:
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.gaussian_process import GaussianProcessRegressor
        from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel

        self._middle = float(values.mean()) if centred else 0.0
        self._scale = float(np.sqrt(np.mean((values - self._middle) ** 2))) or 1.0
        lengths = np.full(places.shape[1], 0.5)
        kernel = ConstantKernel(1.0, (1e-2, 1e2)) * Matern(lengths, (0.05, 20.0), nu=2.5) + WhiteKernel(
            0.05, (1e-4, 1.0)
        )
        some = rng.permutation(len(values))[:FITTED]
        with warnings.catch_warnings():
            # A dimension that doesn't matter, or values without noise, end at a bound, as they should.
            warnings.simplefilter("ignore", ConvergenceWarning)
            fitted = GaussianProcessRegressor(kernel).fit(places[some], self._told(values[some]))
        self._noise = float(fitted.kernel_.k2.noise_level)
        self._process = GaussianProcessRegressor(fitted.kernel_, optimizer=None)
        self._places, self._values = places, values
        self.add(places[:0], values[:0])

    def add(self, places: Floats, values: Floats) -> None:
        """Condition on ``values`` [n] at ``places`` too."""
        self._places = np.concatenate([self._places, places])
        self._values = np.concatenate([self._values, values])
        self._process.fit(self._places, self._told(self._values))

    def mean(self, places: Floats) -> Floats:
        """What is expected at ``places``: [n]."""
        found: Floats = self._process.predict(places) * self._scale + self._middle
        return found

    def draw(self, places: Floats, rng: np.random.Generator) -> Floats:
        """Draws [draws, n] of the truth at ``places``, without the noise of measuring it."""
        mean, spread = self._process.predict(places, return_cov=True)
        spread = spread - self._noise * np.eye(len(places))
        # Eigenvalues of what is known exactly come out a little below 0.
        found: Floats = rng.multivariate_normal(mean, spread, DRAWS, method="eigh", check_valid="ignore")
        return found * self._scale + self._middle

    def _told(self, values: Floats) -> Floats:
        return (values - self._middle) / self._scale


def _unit(dimension: Dimension, place: Mapping[str, Any]) -> tuple[float, ...]:
    """Coordinates of ``place`` in one dimension; always the same where it means nothing there (a rank without LoRA)."""
    return dimension.unit(place.get(dimension.name, dimension.at(0.5)))


def _share(angle: Floats) -> Floats:
    """The share whose root is the sine of ``angle``; binomial noise is about even on that scale."""
    found: Floats = np.sin(np.clip(angle, 0.0, np.pi / 2)) ** 2
    return found
