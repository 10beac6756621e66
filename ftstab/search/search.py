"""Which point of the space is trained next, and when there is no next one."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ftstab.dominance import hypervolume
from ftstab.frontier import REFERENCE
from ftstab.identity import digest
from ftstab.plan import Point
from ftstab.search.dimensions import dimensions
from ftstab.search.proposals import Told, propose
from ftstab.spec import Study
from ftstab.spec.search import PRESETS

REPEATS = 20
"""Proposals that may name what is known already, before the nearest unknown point is taken instead."""


class Search:
    """The search of a study; a function of what was asked and told, so that it goes on alike after a restart.

    Args:
        study: a study whose `search.method` is `optuna`.
    """

    def __init__(self, study: Study) -> None:
        self.study, self.options = study, study.search
        self.space = dimensions(study)
        self.trained = tuple(d for d in self.space if d.trained)
        self.longest = max(study.axes.steps)

    def next(
        self, asked: Sequence[Point], told: Sequence[Told], running: Sequence[Point] = ()
    ) -> Point | None:
        """Return the next point, or None if every point of the space is known.

        Args:
            asked: every point so far, those that run among them, in their order.
            told: every setting that came to an end.
            running: points that are being trained.
        """
        presets = self.options.presets
        if len(asked) < len(presets):
            given = presets[len(asked)]
            name = f"preset {given}" if isinstance(given, str) else "preset"
            drawn = self._quasi_random(len(asked))
            return self._new(Point({**drawn, **self.preset(given)}, self.longest, name), asked)
        if len(asked) < self.options.startup or self.options.sampler in ("random", "quasi_random"):
            drawn = self._drawn(len(asked))
            return self._new(Point(drawn, self.longest, "startup"), asked)
        return self._proposed(asked, told, running)

    def preset(self, given: str | Mapping[str, Any]) -> dict[str, Any]:
        """The values of a preset on the axes that the study searches."""
        values = PRESETS[given] if isinstance(given, str) else given
        return {d.name: values[d.name] for d in self.trained if d.name in values}

    def _proposed(
        self, asked: Sequence[Point], told: Sequence[Told], running: Sequence[Point]
    ) -> Point | None:
        sampler = self.options.sampler
        assert sampler in ("tpe", "gp")
        busy = [{**p.choices, **({"steps": p.steps} if self._has("steps") else {})} for p in running]
        # The seed moves with what was asked: the same again would propose the same again.
        found = propose(self.space, told, busy, sampler, _seed(self.options.seed, len(asked)))
        for values in itertools.islice(found, REPEATS):
            choices = {d.name: values[d.name] for d in self.trained}
            point = Point(choices, values.get("steps", self.longest), "sampler")
            if not known(point, asked):
                return point
        return self._new(point, asked)

    def _has(self, name: str) -> bool:
        return any(d.name == name for d in self.space)

    def _drawn(self, index: int) -> dict[str, Any]:
        if self.options.sampler != "random":
            return self._quasi_random(index)
        generator = np.random.default_rng(_seed(self.options.seed, index))
        return {d.name: d.at(float(generator.random())) for d in self.trained}

    def _quasi_random(self, index: int) -> dict[str, Any]:
        """Point ``index`` of a scrambled Sobol sequence (Owen 1998) over the trained dimensions."""
        if not self.trained:
            return {}
        from scipy.stats import qmc

        sobol = qmc.Sobol(len(self.trained), rng=_seed(self.options.seed, 0))
        shares = sobol.random(2 ** math.ceil(math.log2(index + 1)) if index else 1)[index]
        drawn = {d.name: d.at(float(s)) for d, s in zip(self.trained, shares, strict=True)}
        return self._scaled(drawn) if self.options.batch_prior == "sqrt" else drawn

    def _scaled(self, drawn: dict[str, Any]) -> dict[str, Any]:
        """``drawn`` with a learning rate that goes with its batch size by the square-root rule."""
        dims = {d.name: d for d in self.trained}
        if not {"learning_rate", "batch_size"} <= dims.keys():
            return drawn
        scale = math.sqrt(drawn["batch_size"] / dims["batch_size"].middle)
        return drawn | {"learning_rate": dims["learning_rate"].nearest(drawn["learning_rate"] * scale)}

    def _new(self, point: Point, asked: Sequence[Point]) -> Point | None:
        """``point``, or the one nearest to it that isn't known; None if all are."""
        if not known(point, asked):
            return point
        if any(d.range is not None for d in self.trained):
            # A range hardly ever gives a value twice; where it does, its neighbour is another.
            return self._moved(point, asked)
        here = [d.coordinate(point.choices[d.name]) for d in self.trained]

        def far(place: tuple[int, ...]) -> float:
            return sum(
                abs(a - b) / max(len(d.values) - 1, 1) if d.ordered else float(a != b)
                for d, a, b in zip(self.trained, place, here, strict=True)
            )

        places = sorted(np.ndindex(*(len(d.values) for d in self.trained)), key=lambda p: (far(p), p))
        # What was trained too short for what is still unknown comes last.
        for steps in dict.fromkeys((point.steps, self.longest)):
            for place in places:
                candidate = self._at(place, steps, point.source)
                if not known(candidate, asked):
                    return candidate
        return None

    def _at(self, place: Sequence[int], steps: int, source: str) -> Point:
        choices = {d.name: d.value(c) for d, c in zip(self.trained, place, strict=True)}
        return Point(choices, steps, source)

    def _moved(self, point: Point, asked: Sequence[Point]) -> Point | None:
        for index in range(len(asked), len(asked) + 1000):
            drawn = Point(self._quasi_random(index), point.steps, point.source)
            if not known(drawn, asked):
                return drawn
        return None


def known(point: Point, asked: Sequence[Point]) -> bool:
    """Whether ``asked`` holds the choices of ``point`` already, trained at least as far."""
    return any(dict(p.choices) == dict(point.choices) and p.steps >= point.steps for p in asked)


def stalled(study: Study, told: Sequence[Told]) -> bool:
    """Whether the hypervolume grew by less than `search.stall.growth` over the last trajectories that it names.

    Args:
        study: the study.
        told: every setting that came to an end, in order of trajectories.
    """
    stall = study.search.stall
    trajectories = list(dict.fromkeys(t.trajectory for t in told))
    if stall is None or len(trajectories) <= stall.trajectories:
        return False
    before = set(trajectories[: -stall.trajectories])
    earlier = _volume([t for t in told if t.trajectory in before])
    return earlier > 0 and _volume(told) < earlier * (1 + stall.growth)


def _volume(told: Sequence[Told]) -> float:
    able = [t.objectives for t in told if t.objectives and all(c <= 0 for c in t.constraints.values())]
    return hypervolume(np.array(able).reshape(-1, 2), (REFERENCE["rate"], -REFERENCE["gain"]))


def _seed(seed: int, index: int) -> int:
    return int(digest({"seed": seed, "index": index})[:8], 16)
