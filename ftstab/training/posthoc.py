"""Post-hoc EMA: averages that weren't tracked, as sums of stored shadows.  Pure; free of torch.

Source: Karras et al. 2024 (arXiv 2312.02696), section 3.2: an average is its profile, the weights that it puts on the
steps; a profile that lies near the span of stored ones is a sum of them, and the same sum of their weights is the
average.  Here the profiles are exponential and start from the start model, and coefficients sum to 1: what is fitted is
the displacement from the start, so that an error of the fit never scales the weights themselves.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ftstab.errors import StudyError
from ftstab.outcome import Profile, StoredShadows
from ftstab.plan import study_profiles
from ftstab.spec import Study
from ftstab.training.averaging import half_life

Floats = NDArray[np.float64]

RIDGE = 1e-8
"""Weight of the squared coefficients beside the squared residual, in mean squared norms of the stored profiles.  It
costs a residual of some 1e-6 and keeps coefficients small where stored profiles are nearly the same."""

SHADOWS, LAST = "shadows.safetensors", "last.safetensors"
"""Files of a stored copy: the shadows, and the weights where averages are to be rebuilt after the training."""


@dataclass(frozen=True)
class Term:
    """One stored average and its coefficient.

    Attributes:
        step: updates after which it was stored.
        decay: of the shadow; None for the weights themselves.
        coefficient: its share of the rebuilt average.
    """

    step: int
    decay: float | None
    coefficient: float


@dataclass(frozen=True)
class Rebuilt:
    """How an average is rebuilt.

    Attributes:
        terms: shadows and last weights in order of step; the start has what their coefficients leave of 1.
        residual: L2 norm of rebuilt minus wanted profile (steps 0 to the last), over that of the wanted one without
            its share on the start.  Without, because that share is as large as one likes and needs no shadow.
        size: sum of the absolute coefficients, the start's left out: how many times rounding errors of the stored
            shadows may come back.
        retained: share of the rebuilt average that is still the start model.
    """

    terms: tuple[Term, ...]
    residual: float
    size: float
    retained: float

    def as_record(self) -> dict[str, Any]:
        """Plain data for the record of an outcome: coefficients to 9 digits by step and decay (0: last weights)."""
        return {
            "residual": self.residual,
            "coefficients": [[t.step, t.decay or 0.0, float(f"{t.coefficient:.9g}")] for t in self.terms],
        }


def copy_steps(every: int, last: int) -> range:
    """Steps below ``last`` whose shadows are stored; those of ``last`` itself are in memory."""
    return range(every, last, every)


@lru_cache(maxsize=1024)
def rebuilt(profile: Profile, updates: int) -> Rebuilt:
    """Return how the ``posthoc_exponential`` average after ``updates`` (at least 1) is rebuilt.

    Least squares over the weights of steps 0 (the start) to ``updates``, with a ridge (`RIDGE`).
    """
    assert profile.stored is not None
    assert profile.value is not None
    assert updates > 0
    places, columns, q, r = _basis(profile.stored, updates)
    wanted = _displacement(profile.value, updates, updates)
    found = np.linalg.solve(r, q.T @ np.concatenate([wanted, np.zeros(len(places))]))
    made = columns @ found
    return Rebuilt(
        terms=tuple(Term(s, d, float(c)) for (s, d), c in zip(places, found, strict=True)),
        residual=float(np.linalg.norm(made - wanted) / np.linalg.norm(wanted[1:])),
        size=float(np.abs(found).sum()),
        retained=float(made[0] + 1.0),
    )


@lru_cache(maxsize=16)
def _basis(
    stored: StoredShadows, updates: int
) -> tuple[list[tuple[int, float | None]], Floats, Floats, Floats]:
    """Steps and decays of what is stored, its profiles [updates + 1, count], and the QR factors of these with the
    ridge below them; the same for every decay that is rebuilt."""
    steps = (*copy_steps(stored.every, updates), updates)
    places: list[tuple[int, float | None]] = [(step, decay) for step in steps for decay in stored.decays]
    places.append((updates, None))
    columns = np.stack([_displacement(decay, step, updates) for step, decay in places], axis=1)
    pull = float(np.sqrt(RIDGE * np.mean(np.sum(columns**2, axis=0))))
    q, r = np.linalg.qr(np.vstack([columns, pull * np.eye(len(places))]))
    return places, columns, q, r


def _displacement(decay: float | None, step: int, updates: int) -> Floats:
    """Weights that an average after ``step`` puts on steps 0 to ``updates``, less those of the start.

    None: the weights of that step themselves.  The exponential average in closed form, which is
    `averaging.profile_weights` without its loop.
    """
    weights = np.zeros(updates + 1)
    if decay is None:
        weights[step] = 1.0
    else:
        weights[1 : step + 1] = (1.0 - decay) * decay ** np.arange(step - 1, -1, -1)
        weights[0] = decay**step
    weights[0] -= 1.0
    return weights


@dataclass(frozen=True)
class RebuiltDecay:
    """A decay that a study has rebuilt, where it comes out worst.

    Attributes:
        decay: the decay.
        half_life: in updates.
        step: of the grid, the one with the largest residual.
        residual: there.
        size: the largest sum of absolute coefficients at any step of the grid.
    """

    decay: float
    half_life: float
    step: int
    residual: float
    size: float


def rebuilt_decays(study: Study) -> list[RebuiltDecay]:
    """Return every decay that ``study`` rebuilds, in its order; none without `posthoc`."""
    found = []
    for profile in study_profiles(study):
        if profile.stored is None or profile.value is None:
            continue
        at = {step: rebuilt(profile, step) for step in study.axes.steps}
        worst = max(at, key=lambda step: at[step].residual)
        found.append(
            RebuiltDecay(
                decay=profile.value,
                half_life=half_life(profile, worst),
                step=worst,
                residual=at[worst].residual,
                size=max(r.size for r in at.values()),
            )
        )
    return found


def check_posthoc(study: Study) -> None:
    """Refuse decays that can't be rebuilt well enough.

    Raises:
        StudyError: a residual is above `posthoc.max_residual`; all such decays are named.
    """
    if study.posthoc is None:
        return
    limit = study.posthoc.max_residual
    bad = [d for d in rebuilt_decays(study) if d.residual > limit]
    if bad:
        named = ", ".join(f"{d.decay:g} (residual {100 * d.residual:.2g} % at step {d.step})" for d in bad)
        raise StudyError(
            f"posthoc: from decays {', '.join(f'{d:g}' for d in sorted(study.posthoc.decays))} stored every "
            f"{study.posthoc.every} steps can't be rebuilt within `max_residual` {100 * limit:g} %: {named}; store "
            "them more often, add a decay near to these to `posthoc.decays`, or raise the limit"
        )
