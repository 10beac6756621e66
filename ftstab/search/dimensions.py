"""The dimensions that a search moves in, and their coordinates for samplers.

Listed numbers are coordinates by rank, so that 4, 8, 16 and 1e-5, 1e-4, 1e-3 are evenly spaced; other listed values
are categories; ranges are drawn from as they are.  The seed is never a dimension.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ftstab.outcome import Profile
from ftstab.plan import study_profiles
from ftstab.spec import Study, Training
from ftstab.spec.search import Range

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

DIGITS = 3
"""Significant digits of numbers drawn from a range, short enough to be read and repeated ..."""
PIECES = 1000
"""... or as many as tell apart so many values of a range: between 0.99 and 0.9999 three digits are too few."""


@dataclass(frozen=True)
class Dimension:
    """One dimension.

    Attributes:
        name: a trained axis, or `steps`, `average` (a `Profile`), `interpolation`.
        values: its values in order, where it is listed.
        range: its range, where it is drawn from one.
        integer: whether its values are whole numbers.
        trained: whether a value of it asks for a training of its own.
    """

    name: str
    values: tuple[Any, ...] = ()
    range: Range | None = None
    integer: bool = False
    trained: bool = True

    @property
    def ordered(self) -> bool:
        """Whether values that follow each other are alike."""
        numbers = all(isinstance(v, int | float) and not isinstance(v, bool) for v in self.values)
        return self.range is not None or numbers or self.name == "average"

    def distribution(self) -> BaseDistribution:
        """Where a sampler draws coordinates from."""
        from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

        if self.range is None:
            ranks = range(len(self.values))
            return IntDistribution(0, len(ranks) - 1) if self.ordered else CategoricalDistribution([*ranks])
        log = self.range.scale == "log"
        if self.integer:
            return IntDistribution(math.ceil(self.range.low), math.floor(self.range.high), log=log)
        return FloatDistribution(self.range.low, self.range.high, log=log)

    def coordinate(self, value: Any) -> float | int:
        """The coordinate of ``value``, which must be one that the dimension has."""
        if self.range is None:
            return self.values.index(value)
        return int(value) if self.integer else float(value)

    def unit(self, value: Any) -> tuple[float, ...]:
        """Coordinates of ``value`` between 0 and 1: one, or of categories one for each."""
        if self.range is not None:
            low, high = self.range.low, self.range.high
            if self.range.scale == "log":
                low, high, value = math.log(low), math.log(high), math.log(value)
            return ((value - low) / (high - low),)
        rank = self.values.index(value)
        if self.ordered:
            return (rank / max(len(self.values) - 1, 1),)
        return tuple(float(rank == i) for i in range(len(self.values)))

    def value(self, coordinate: float | int) -> Any:
        """The value at ``coordinate``."""
        if self.range is None:
            return self.values[int(coordinate)]
        if self.integer:
            return int(coordinate)
        finest = (self.range.high - self.range.low) / PIECES
        needed = math.ceil(math.log10(abs(coordinate) / finest)) if coordinate else 0
        return min(max(float(f"{coordinate:.{max(DIGITS, needed)}g}"), self.range.low), self.range.high)

    def given(self, value: Any) -> Any:
        """``value``, which a person has given, as the dimension has it: 1 and 1.0 are one number."""
        if self.range is None:
            return self.values[self.values.index(value)]
        return int(value) if self.integer else float(value)

    def at(self, share: float) -> Any:
        """The value a ``share`` (0 to 1) of the way along."""
        if self.range is None:
            return self.values[min(int(share * len(self.values)), len(self.values) - 1)]
        low, high = self.range.low, self.range.high
        if self.integer:
            # Every whole number has a piece of the way of the same length, on whichever scale.
            low, high = math.ceil(low) - 0.5, math.floor(high) + 0.5
        if self.range.scale == "log":
            found = math.exp(math.log(low) + share * (math.log(high) - math.log(low)))
        else:
            found = low + share * (high - low)
        return self.value(math.floor(found + 0.5) if self.integer else found)

    def nearest(self, number: float) -> Any:
        """Its value nearest to ``number``, by ratio where all are above 0."""
        if self.range is not None:
            return self.value(min(max(number, self.range.low), self.range.high))
        ratios = number > 0 and all(v > 0 for v in self.values)
        return min(self.values, key=lambda v: abs(math.log(v / number)) if ratios else abs(v - number))

    @property
    def middle(self) -> float:
        """The middle of its numbers, by ratio where it is listed or on a log scale."""
        low, high = (
            (min(self.values), max(self.values)) if self.range is None else (self.range.low, self.range.high)
        )
        if low > 0 and (self.range is None or self.range.scale == "log"):
            return math.sqrt(low * high)
        return float(low + high) / 2

    def holds(self, value: Any) -> bool:
        """Whether ``value`` is one of its values."""
        if self.range is None:
            return value in self.values
        fits = isinstance(value, int | float) and not isinstance(value, bool)
        return (
            fits and self.range.low <= value <= self.range.high and (not self.integer or value == int(value))
        )


def dimensions(study: Study) -> tuple[Dimension, ...]:
    """Return the dimensions of ``study``: trained axes with several values, then the free ones with several."""
    found = []
    for name in study.axes.trained():
        integer = Training.model_fields[name].annotation is int
        span = study.axes.range(name)
        values = study.axes.of(name) or []
        if span is not None:
            found.append(Dimension(name, range=span, integer=integer))
        elif len(values) > 1:
            found.append(Dimension(name, _sorted(values)))
    fed_back = study.training.ema_mode == "feedback"
    if fed_back and len(study.axes.ema_decay or ()) > 1:
        found.append(Dimension("ema_decay", _sorted(study.axes.ema_decay or ())))
    free: list[tuple[str, Sequence[Any]]] = [
        ("steps", study.axes.steps),
        ("average", () if fed_back else sorted(set(study_profiles(study)), key=_memory)),
        ("interpolation", study.axes.interpolation),
    ]
    for name, read in free:
        if len(read) > 1:
            found.append(Dimension(name, _sorted(read), trained=False))
    return tuple(found)


def _memory(profile: Profile) -> tuple[int, str, float]:
    """Averages in an order in which those that follow each other are alike: from the last weights to long memories."""
    order = ("last", "exponential", "bias_corrected", "power")
    value = profile.value or 0.0
    # A larger exponent of a power function forgets faster, a larger decay slower.
    return order.index(profile.kind), profile.kind, -value if profile.kind == "power" else value


def _sorted(values: Sequence[Any]) -> tuple[Any, ...]:
    numbers = all(isinstance(v, int | float) and not isinstance(v, bool) for v in values)
    return tuple(sorted(values)) if numbers else tuple(values)
