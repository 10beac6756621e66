"""Which point of the space is trained next, and when there is no next one."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ftstab.dominance import hypervolume
from ftstab.frontier import REFERENCE
from ftstab.identity import digest
from ftstab.plan import Point, point_choices, reads_horizon
from ftstab.search.dimensions import dimensions
from ftstab.search.proposals import Told, propose
from ftstab.search.whole_trajectories import best_trajectory
from ftstab.spec import Study
from ftstab.spec.search import PRESETS

_REFERENCE = (REFERENCE["rate"], -REFERENCE["gain"])
MANY = 256
"""Choices among which the trajectory worth most is sought, where there are more or they are drawn from ranges."""
REPEATS = 20
"""Proposals that may name what is known already, before the nearest unknown point is taken instead."""
MOVES = 1000
"""Quasi-random points that are looked at for one that isn't known."""


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
        schedules = study.axes.of("schedule") or [study.training.schedule]
        # Where a trajectory answers its last step alone, how far it is trained is drawn like any other choice.
        horizons = any(reads_horizon(study, {"schedule": schedule}) for schedule in schedules)
        self.drawn = tuple(d for d in self.space if d.trained or (horizons and d.name == "steps"))

    def next(
        self, asked: Sequence[Point], told: Sequence[Told], running: Sequence[Point] = ()
    ) -> Point | None:
        """Return the next point, or None if every point of the space is known.

        Args:
            asked: every point so far, those that run among them, in their order.
            told: every setting that came to an end.
            running: points that are being trained.
        """
        preset = self._preset(asked)
        if preset is not None:
            return preset
        if len(asked) < self.options.startup or self.options.sampler in ("random", "quasi_random"):
            drawn = self._scaled(self._drawn(len(asked)), {})
            point = self._point(drawn, self.longest, "startup")
            if reads_horizon(self.study, point.choices):
                point = replace(point, steps=drawn.get("steps", self.longest))
            return self._new(point, asked)
        return self._proposed(asked, told, running)

    def begun(self, asked: Sequence[Point]) -> bool:
        """Whether presets and start-up are behind it, so that a sampler has had its say."""
        return len(asked) >= self.options.startup and self._preset(asked) is None

    def _preset(self, asked: Sequence[Point]) -> Point | None:
        """The first preset that wasn't asked yet, also where the study file came to hold it after the first run."""
        before = [p for p in asked if p.source.startswith("preset")]
        for given in self.options.presets:
            values = PRESETS[given] if isinstance(given, str) else given
            mine = {d.name: d.given(values[d.name]) for d in self.trained if d.name in values}
            name = f"preset {given}" if isinstance(given, str) else "preset"
            same = (
                p
                for p in before
                if p.source == name and all(p.choices.get(n, v) == v for n, v in mine.items())
            )
            found = next(same, None)
            if found is not None:
                before.remove(found)
                continue
            drawn = {**self._scaled(self._quasi_random(len(asked)), mine), **mine}
            point = self._point(drawn, self.longest, name)
            if not self._known(point, asked):
                return point
        return None

    def _point(self, drawn: Mapping[str, Any], steps: int, source: str) -> Point:
        """The point of what was ``drawn``, which may hold more than its choices."""
        choices = {d.name: drawn[d.name] for d in self.trained}
        return Point(point_choices(self.study, choices), steps, source)

    def _known(self, point: Point, asked: Sequence[Point]) -> bool:
        """Whether ``asked`` holds the choices of ``point`` already, trained so that its steps are read."""
        alone = reads_horizon(self.study, point.choices)
        return any(
            (p.steps == point.steps if alone else p.steps >= point.steps)
            and dict(p.choices) == dict(point.choices)
            for p in asked
        )

    def _proposed(
        self, asked: Sequence[Point], told: Sequence[Told], running: Sequence[Point]
    ) -> Point | None:
        sampler = self.options.sampler
        if sampler == "trajectory_gp":
            return self._worth_most(asked, told, running)
        assert sampler in ("tpe", "gp")
        busy = [{**p.choices, **({"steps": p.steps} if self._has("steps") else {})} for p in running]
        # The seed moves with what was asked: the same again would propose the same again.
        found = propose(self.space, told, busy, sampler, _seed(self.options.seed, len(asked)))
        for values in itertools.islice(found, REPEATS):
            point = self._point(values, values.get("steps", self.longest), "sampler")
            if not self._known(point, asked):
                return point
        return self._new(point, asked)

    def _worth_most(
        self, asked: Sequence[Point], told: Sequence[Told], running: Sequence[Point]
    ) -> Point | None:
        index, listed = len(asked), [d.values for d in self.trained]
        if all(d.range is None for d in self.trained) and math.prod(map(len, listed)) <= MANY:
            every = (
                dict(zip((d.name for d in self.trained), v, strict=True)) for v in itertools.product(*listed)
            )
            candidates = [self._point(drawn, self.longest, "sampler") for drawn in every]
        else:
            # What was trained may be trained further, unless the axes were narrowed since it was asked.
            drawn = (self._quasi_random(i) for i in range(index, index + MANY))
            candidates = [p for p in asked if self._inside(p)]
            candidates += [self._point(values, self.longest, "sampler") for values in drawn]
        seed = _seed(self.options.seed, index)
        found = best_trajectory(
            self.study, self.space, told, [p.choices for p in candidates], asked, running, _REFERENCE, seed
        )
        if found is None:
            # Everything diverged so far, or nothing promises growth: what is unknown is looked at evenly.
            found = self._point(self._scaled(self._quasi_random(index), {}), self.longest, "startup")
        return self._new(found, asked)

    def _inside(self, point: Point) -> bool:
        """Whether the axes hold every choice of ``point``."""
        return all(d.holds(point.choices[d.name]) for d in self.trained if d.name in point.choices)

    def _has(self, name: str) -> bool:
        return any(d.name == name for d in self.space)

    def _drawn(self, index: int) -> dict[str, Any]:
        if self.options.sampler != "random":
            return self._quasi_random(index)
        generator = np.random.default_rng(_seed(self.options.seed, index))
        return {d.name: d.at(float(generator.random())) for d in self.drawn}

    def _quasi_random(self, index: int) -> dict[str, Any]:
        """Point ``index`` of a scrambled Sobol sequence (Owen 1998) over what is drawn."""
        from scipy.stats import qmc

        sobol = qmc.Sobol(len(self.drawn), rng=_seed(self.options.seed, 0))
        shares = sobol.random(2 ** math.ceil(math.log2(index + 1)) if index else 1)[index]
        return {d.name: d.at(float(s)) for d, s in zip(self.drawn, shares, strict=True)}

    def _scaled(self, drawn: dict[str, Any], preset: Mapping[str, Any]) -> dict[str, Any]:
        """``drawn`` with a learning rate that goes by the square-root rule with the batch size, ``preset``'s first."""
        if self.options.batch_prior != "sqrt":
            return drawn
        dims = {d.name: d for d in self.trained}
        batch = preset.get("batch_size", drawn["batch_size"])
        scale = math.sqrt(batch / dims["batch_size"].middle)
        return drawn | {"learning_rate": dims["learning_rate"].nearest(drawn["learning_rate"] * scale)}

    def _new(self, point: Point, asked: Sequence[Point]) -> Point | None:
        """``point``, or the one nearest to it that isn't known; None if all are."""
        if not self._known(point, asked):
            return point
        # What was trained too short for what is still unknown comes last.
        for steps in dict.fromkeys((point.steps, self.longest, *self.study.axes.steps)):
            for drawn in self._around(point, len(asked)):
                candidate = self._point(drawn, steps, point.source)
                if not self._known(candidate, asked):
                    return candidate
        return None

    def _around(self, point: Point, index: int) -> Iterator[dict[str, Any]]:
        """Choices in order of their distance from ``point``; where there are ranges, `MOVES` quasi-random ones from
        ``index`` on, since a range hardly ever gives a value twice."""
        if any(d.range is not None for d in self.trained):
            for other in range(index, index + MOVES):
                yield self._scaled(self._quasi_random(other), {})
            return
        here = [
            d.coordinate(point.choices[d.name]) if d.name in point.choices else None for d in self.trained
        ]

        def far(place: tuple[int, ...]) -> float:
            return sum(
                abs(a - b) / max(len(d.values) - 1, 1) if d.ordered else float(a != b)
                for d, a, b in zip(self.trained, place, here, strict=True)
                if b is not None
            )

        for place in sorted(np.ndindex(*(len(d.values) for d in self.trained)), key=lambda p: (far(p), p)):
            yield {d.name: d.value(c) for d, c in zip(self.trained, place, strict=True)}


def stalled(study: Study, trainings: Sequence[Sequence[Told]]) -> bool:
    """Whether the hypervolume grew by less than `search.stall.growth` over the last trajectories that it names.

    Args:
        study: the study.
        trainings: the settings that each finished training has added, in the order in which they were asked.
    """
    stall = study.search.stall
    if stall is None or len(trainings) <= stall.trajectories:
        return False
    earlier = _volume([t for training in trainings[: -stall.trajectories] for t in training])
    return earlier > 0 and _volume([t for training in trainings for t in training]) < earlier * (
        1 + stall.growth
    )


def _volume(told: Sequence[Told]) -> float:
    able = [t.objectives for t in told if t.objectives and all(c <= 0 for c in t.constraints.values())]
    return hypervolume(np.array(able).reshape(-1, 2), _REFERENCE)


def _seed(seed: int, index: int) -> int:
    return int(digest({"seed": seed, "index": index})[:8], 16)
