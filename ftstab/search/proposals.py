"""What a sampler proposes, from everything that was told.

The Optuna study behind a proposal lives in memory and is made anew each time, so a proposal depends on nothing but
its arguments: a search goes on alike after any restart, and needs no database.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from ftstab.search.dimensions import Dimension

if TYPE_CHECKING:
    import optuna

Values = Mapping[str, Any]
"""A value by dimension."""


@dataclass(frozen=True)
class Told:
    """One setting as samplers see it.

    Attributes:
        values: where it lies.
        objectives: lower is better in each; None where it has no numbers (diverged).
        constraints: 0 or less keeps a limit.
        trajectory: key of its trajectory.
    """

    values: Values
    objectives: tuple[float, float] | None
    constraints: Mapping[str, float] = field(default_factory=dict)
    trajectory: str = ""


def propose(
    space: Sequence[Dimension],
    told: Sequence[Told],
    running: Sequence[Values],
    sampler: Literal["tpe", "gp"],
    seed: int,
) -> Iterator[dict[str, Any]]:
    """Propose one point after the other: a value for every dimension of ``space``.

    Each proposal counts as running for those that follow, so that the sampler keeps away from it.

    Args:
        space: the dimensions; none of them may be empty.
        told: every setting that came to an end: siblings of one trajectory are told one by one.
        running: points that are being trained, which the sampler keeps away from.
        sampler: which of Optuna's samplers.
        seed: of the sampler; other numbers propose otherwise.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(directions=["minimize", "minimize"], sampler=_sampler(sampler, seed))
    distributions = {d.name: d.distribution() for d in space}
    if sampler == "gp":
        # It slows down with the cube of what it is told; the others of a trajectory are beaten by these.
        told = best_of_trajectories(told)
    study.add_trials([_trial(t, space, distributions) for t in told])
    for values in running:
        study.enqueue_trial({d.name: d.coordinate(values[d.name]) for d in space if d.name in values})
        study.ask(distributions)
    while True:
        trial = study.ask(distributions)
        yield {d.name: d.value(trial.params[d.name]) for d in space}


def best_of_trajectories(told: Sequence[Told]) -> list[Told]:
    """Return those that no setting of the same trajectory beats, and those without numbers."""
    found = []
    for one in told:
        mine = one.objectives
        others = (t.objectives for t in told if t.trajectory == one.trajectory and t.objectives is not None)
        beaten = mine is not None and any(
            o != mine and all(a <= b for a, b in zip(o, mine, strict=True)) for o in others
        )
        if not beaten:
            found.append(one)
    return found


def _sampler(name: str, seed: int) -> optuna.samplers.BaseSampler:
    import optuna

    if name == "gp":
        return optuna.samplers.GPSampler(seed=seed, n_startup_trials=0)
    return optuna.samplers.TPESampler(seed=seed, n_startup_trials=0)


def _trial(told: Told, space: Sequence[Dimension], distributions: dict[str, Any]) -> optuna.trial.FrozenTrial:
    from optuna.trial import TrialState, create_trial

    return create_trial(
        state=TrialState.PRUNED if told.objectives is None else TrialState.COMPLETE,
        values=None if told.objectives is None else list(told.objectives),
        params={d.name: d.coordinate(told.values[d.name]) for d in space},
        distributions=distributions,
        constraints=dict(told.constraints),
    )
