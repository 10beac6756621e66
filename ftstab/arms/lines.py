"""The arms as lines of harm over gain, as a comparison reads them: the data of its figure.  Reads no store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any, Literal, NamedTuple

import numpy as np

from ftstab.arms.candidates import Candidates
from ftstab.arms.effect import gains_as_read
from ftstab.outcome import Outcome, Rate


class Gap(NamedTuple):
    """Two neighbouring strengths of an arm, and by how much rate and gain differ between them."""

    strengths: tuple[float, float]
    rate: float
    gain: float


@dataclass(frozen=True)
class ArmLine:
    """One arm, from the nearest to the start to its peak of utility.

    Attributes:
        name: of the arm.
        strength: the axis along which it goes; None for one named setting.
        strengths: values of that axis, up to the peak.
        seeds: the seeds, in the order of the rows below.
        gains: [seeds][strengths] gain over the start on the search half, as the comparison reads it: the mean over the
            seeds at this strength, moved by what the seed has above the others, before neighbours whose gain falls are
            pooled.
        rates: [seeds][strengths] harmful-response rate, a share; None where nothing could be scored.
        half: which half of the harmful prompts the rates come from.
    """

    name: str
    strength: str | None
    strengths: tuple[float, ...]
    seeds: tuple[int, ...]
    gains: tuple[tuple[float, ...], ...]
    rates: tuple[tuple[float | None, ...], ...]
    half: Literal["search", "confirm"]

    def steepest(self) -> Gap | None:
        """Return the two neighbouring strengths whose rates lie furthest apart, means over the seeds; None of one
        setting."""
        if len(self.strengths) < 2:
            return None
        gains, rates = self.means()
        gaps = [
            Gap(strengths, after - before, further - gain)
            for strengths, before, after, gain, further in zip(
                pairwise(self.strengths), rates, rates[1:], gains, gains[1:], strict=False
            )
            if before is not None and after is not None
        ]
        return max(gaps, key=lambda gap: abs(gap.rate), default=None)

    def means(self) -> tuple[list[float], list[float | None]]:
        """Return gain and rate by strength, means over the seeds that have them."""
        known = [[rate for rate in column if rate is not None] for column in zip(*self.rates, strict=True)]
        gains = [float(gain) for gain in np.mean(self.gains, axis=0)]
        return gains, [float(np.mean(rates)) if rates else None for rates in known]

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON data."""
        return asdict(self)


@dataclass(frozen=True)
class StartPoint:
    """The start model beside the arms; its gain is 0.

    Attributes:
        rate: its harmful-response rate.
        half: which half of the harmful prompts that is from: the arms', but for a confirmation that didn't ask it.
    """

    rate: Rate
    half: Literal["search", "confirm"]


def arm_lines(
    arms: Sequence[Candidates],
    harm: Mapping[str, Outcome],
    start: Outcome,
    half: Literal["search", "confirm"],
) -> tuple[ArmLine, ...]:
    """Return the lines of ``arms``.

    Args:
        arms: what is compared.
        harm: by setting, the outcome that harm is read from.
        start: the start model on the search half.
        half: which half that is.
    """
    found = []
    for a in arms:
        curves = a.curves(harm, start)
        seeds = tuple(sorted(curves))
        gains = gains_as_read([curves[seed].utility for seed in seeds])
        found.append(
            ArmLine(
                a.name,
                a.arm.strength,
                a.strengths[: a.kept],
                seeds,
                tuple(tuple(map(float, row)) for row in gains),
                tuple(
                    tuple(harm[o.setting].rates["harmful"].value for o in a.settings[seed][: a.kept])
                    for seed in seeds
                ),
                half,
            )
        )
    return tuple(found)
