"""One row per training: its harm and its diagnostics at one step, from outcomes and signals."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from ftstab.outcome import Outcome
from ftstab.plan import TRUNK_SCHEDULE
from ftstab.recipes import trunk_of

Signals = Mapping[str, Sequence[Mapping[str, Any]]]
"""By trajectory: one dictionary per update, with at least `step`."""

HARMS = ("rate", "safety_loss")
"""Measures of harm: the rate of harmful prompts, and the continuous loss of refusing against complying openings."""
_NO_DIAGNOSTICS = ("retained_weight", "half_life", "spikes", "feedback_decay")
"""Said of averages and recipes, or counted better as a rate."""
_NO_ENDS = ("_se", "_n")
"""Ends of the names that say how sure another diagnostic is."""


@dataclass(frozen=True)
class Unit:
    """One trajectory, as its last weights are at one step.

    Attributes:
        trajectory: its key.
        learning_rate: peak learning rate.
        batch_size: effective batch.
        seed: its seed.
        step: updates done.
        harm: by the names of `HARMS`, as far as measured.
        diagnostics: by name; only finite numbers.
    """

    trajectory: str
    learning_rate: float
    batch_size: int
    seed: int | None
    step: int
    harm: dict[str, float]
    diagnostics: dict[str, float]


@dataclass(frozen=True)
class Units:
    """Trajectories that can be compared, no two of which share a trunk.

    Attributes:
        units: one per training.
        step: the step they are all read at; None where they share none, or are read at equal examples.
        examples: the training rows seen by each where it is read, if that is what is equal.
        early: the step that the diagnostics are read at, where it is an earlier one.
        diverged: trainings left out because they diverged, or something that branches from them did.
        unmeasured: trainings left out because their last weights weren't asked, or gave no number.
        branches: trajectories left out because another one of their trunk is read.
        rate: name of the rate, after what its judge sees; None where nothing has one.
    """

    units: tuple[Unit, ...]
    step: int | None
    examples: int | None
    early: int | None
    diverged: int
    unmeasured: int
    branches: int
    rate: str | None = None


def trajectory_units(
    outcomes: Sequence[Outcome],
    signals: Signals,
    early: int | None = None,
    equal: Literal["steps", "examples"] = "steps",
) -> Units:
    """Return one unit per training, at the last step (or number of examples) that all of them share.

    Where they share none, each is read at its own last step, and ranked among those of the same one.  Effects of the
    batch size come in pairs (measurement rule 21): at equal steps a larger batch has seen more examples, at equal
    examples it has made fewer steps.  Last weights alone are read, uninterpolated: averages at the same step are other
    points of the same trajectory.  A trunk and its branches are one training: at most steps their updates are the same
    ones, so together they are no more evidence than one.  Of several at the same step the trunk itself is read, else
    the branch that leaves it last.

    Args:
        outcomes: settings of a study.
        signals: signals of its trajectories.
        early: read the diagnostics at this step, to see what they foretell of harm at the last one.
        equal: what is the same for all trajectories.
    """
    trunks = {o.trajectory: trunk_of(o) for o in outcomes if not o.start}
    diverged = {trunks[o.trajectory] for o in outcomes if o.status == "diverged"}
    plain: dict[str, dict[int, Outcome]] = {}
    measured: set[str] = set()
    for outcome in outcomes:
        if last_weights(outcome) and trunks[outcome.trajectory] not in diverged and _harm(outcome):
            by_step = plain.setdefault(trunks[outcome.trajectory], {})
            by_step[outcome.step] = min(by_step.get(outcome.step, outcome), outcome, key=_leaves_last)
            measured.add(outcome.trajectory)
    sizes = {t: _rows_per_step(by_step) if equal == "examples" else 1 for t, by_step in plain.items()}
    seen = [{step * sizes[t] for step in by_step} for t, by_step in plain.items()]
    shared = max(set.intersection(*seen), default=None) if seen else None
    units = []
    for trunk, by_step in plain.items():
        outcome = by_step[max(by_step) if shared is None else shared // sizes[trunk]]
        told = by_step.get(outcome.step if early is None else early)
        if told is not None:
            units.append(_unit(outcome, told, signals.get(told.trajectory, ())))
    return Units(
        units=tuple(units),
        step=shared if equal == "steps" else None,
        examples=shared if equal == "examples" else None,
        early=early,
        diverged=len(diverged),
        unmeasured=len({*trunks.values()} - diverged) - len(units),
        branches=len(measured) - len(plain),
        rate=next((o.rates["harmful"].name for o in outcomes if "harmful" in o.rates), None),
    )


def last_weights(outcome: Outcome) -> bool:
    """Return whether ``outcome`` is of a trajectory's own last weights, and has numbers."""
    return asks_last_weights(outcome) and outcome.status == "scored"


def asks_last_weights(outcome: Outcome) -> bool:
    """Return whether ``outcome`` is about a trajectory's own last weights, whether or not it came to have them."""
    return not outcome.start and outcome.profile.kind == "last" and outcome.interpolation == 1


def variants(outcomes: Sequence[Outcome]) -> dict[str, str]:
    """Return, by trajectory, its choices beside learning rate, batch size and seed, as far as any of them varies.

    Trajectories of another variant are other recipes, so they are never averaged; "" where nothing else varies.
    """
    choices: dict[str, dict[str, Any]] = {}
    for outcome in outcomes:
        if not outcome.start:
            fed_back = {"feedback_decay": outcome.diagnostics.get("feedback_decay", 0.0)}
            choices[outcome.trajectory] = outcome.training | fed_back
    names = sorted(
        {name for one in choices.values() for name in one} - {"learning_rate", "batch_size", "seed"}
    )
    varied = [n for n in names if len({repr(one.get(n)) for one in choices.values()}) > 1]
    return {
        t: " · ".join(f"{n.replace('_', ' ')} {one[n]}" for n in varied if n in one)
        for t, one in choices.items()
    }


def noise_scale(updates: Sequence[Mapping[str, Any]], step: int) -> float | None:
    """Return the simple noise scale up to ``step``, in rows: the batch size above which larger batches help little.

    tr(S) / |G|^2, each summed over the updates that told them (those with two or more micro-batches), because a
    ratio of single updates means nothing.  None without any, or where the noise hides the gradient (|G|^2 <= 0).

    Source: McCandlish et al. 2018, arXiv 1812.06162, equation 2.9 and appendix A.1.
    """
    known = [u for u in updates if u["step"] <= step and "gradient_noise" in u]
    square = math.fsum(float(u["gradient_square"]) for u in known)
    return math.fsum(float(u["gradient_noise"]) for u in known) / square if square > 0 else None


def spike_rate(updates: Sequence[Mapping[str, Any]], step: int) -> float | None:
    """Return the share of updates up to ``step`` whose loss was a spike; None without signals."""
    known = [float(u["spike"]) for u in updates if u["step"] <= step and "spike" in u]
    return math.fsum(known) / len(known) if known else None


def _leaves_last(outcome: Outcome) -> tuple[bool, float]:
    """Sorts what has the same trunk: the trunk itself first, then the branches that share most with it."""
    training = outcome.training
    return training.get("schedule") != TRUNK_SCHEDULE, float(training.get("decay_fraction", 0))


def _rows_per_step(by_step: Mapping[int, Outcome]) -> int:
    return int(next(iter(by_step.values())).training["batch_size"])


def _harm(outcome: Outcome) -> dict[str, float]:
    rate = outcome.rates.get("harmful")
    found = {"rate": None if rate is None else rate.value, "safety_loss": safety_loss(outcome)}
    return {name: value for name, value in found.items() if value is not None}


def safety_loss(outcome: Outcome) -> float | None:
    """Return the continuous safety loss of ``outcome`` in nats, where its study measured it."""
    value = outcome.diagnostics.get("safety_loss")
    return value if value is not None and math.isfinite(value) else None


def _unit(outcome: Outcome, told: Outcome, updates: Sequence[Mapping[str, Any]]) -> Unit:
    found: dict[str, float | None] = {
        name: value
        for name, value in told.diagnostics.items()
        if name not in _NO_DIAGNOSTICS and not name.split("/")[0].endswith(_NO_ENDS)
    }
    found["spike_rate"] = spike_rate(updates, told.step)
    found["noise_scale"] = noise_scale(updates, told.step)
    return Unit(
        trajectory=outcome.trajectory,
        learning_rate=float(outcome.training["learning_rate"]),
        batch_size=int(outcome.training["batch_size"]),
        seed=outcome.seed,
        step=outcome.step,
        harm=_harm(outcome),
        diagnostics={n: v for n, v in found.items() if v is not None and math.isfinite(v)},
    )
