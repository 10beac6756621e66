"""What a sampler proposes, from everything that was told.

The Optuna study behind a proposal lives in memory and is made anew each time, so a proposal depends on nothing but
its arguments: a search goes on alike after any restart, and needs no database.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
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
        setting: its key.
    """

    values: Values
    objectives: tuple[float, float] | None
    constraints: Mapping[str, float] = field(default_factory=dict)
    trajectory: str = ""
    setting: str = ""

    @property
    def excess(self) -> float:
        """How far it is beyond all limits together; 0 where it keeps them."""
        return sum(max(c, 0.0) for c in self.constraints.values())


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
        space: the dimensions; none of them may be empty.  Not every setting has a value in each of them.
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
        told = [_filled(t, space) for t in with_numbers(best_of_trajectories(told))]
        running = [{**{d.name: d.at(0.5) for d in space if d.trained}, **values} for values in running]
    study.add_trials([_trial(t, space, distributions) for t in told])
    for values in running:
        here = [d for d in space if d.name in values and d.holds(values[d.name])]
        study.enqueue_trial({d.name: d.coordinate(values[d.name]) for d in here})
        study.ask(distributions)
    while True:
        trial = study.ask(distributions)
        yield {d.name: d.value(trial.params[d.name]) for d in space}


def best_of_trajectories(told: Sequence[Told]) -> list[Told]:
    """Return those that no setting of the same trajectory beats while it keeps the limits as well, and the first of
    those without numbers."""
    found, without = [], set()
    for one in told:
        mine = one.objectives
        if mine is None:
            if one.trajectory not in without:
                found.append(one)
            without.add(one.trajectory)
            continue
        kin = (t for t in told if t.trajectory == one.trajectory and t.excess <= one.excess)
        if not any(_beats(t.objectives, mine) for t in kin):
            found.append(one)
    return found


def _beats(other: tuple[float, float] | None, mine: tuple[float, float]) -> bool:
    return other is not None and other != mine and all(a <= b for a, b in zip(other, mine, strict=True))


def with_numbers(told: Sequence[Told]) -> list[Told]:
    """Return ``told``, those without numbers as bad as the worst that has some and beyond the limit `diverged`; where
    all have numbers nothing is said of that limit, which would be a constant.

    Optuna's Gaussian process reads complete trials only, all with the same constraints, and would never learn where
    training diverges; its tree-structured Parzen estimator needs no such help.
    """
    values = [t.objectives for t in told if t.objectives is not None]
    if not values:
        return list(told)
    worst = (max(v[0] for v in values), max(v[1] for v in values))
    names = next(t.constraints for t in told if t.objectives is not None).keys() - {"diverged"}
    beyond = {"diverged": 1.0, **dict.fromkeys(sorted(names), 0.0)}
    found = []
    for one in told:
        mine = {name: one.constraints[name] for name in sorted(names)} if one.objectives is not None else {}
        if len(values) == len(told):
            found.append(replace(one, constraints=mine))
        elif one.objectives is not None:
            found.append(replace(one, constraints={"diverged": 0.0, **mine}))
        else:
            found.append(replace(one, objectives=worst, constraints=beyond))
    return found


def _filled(told: Told, space: Sequence[Dimension]) -> Told:
    """``told`` with a value in every dimension, always the same in those where it has none: the Gaussian process learns
    nothing of a dimension that some trials lack."""
    return replace(told, values={**{d.name: d.at(0.5) for d in space}, **told.values})


def _sampler(name: str, seed: int) -> optuna.samplers.BaseSampler:
    import optuna

    if name == "gp":
        # While nothing was told it draws at random, which is what is wanted and no cause for a warning.
        return optuna.samplers.GPSampler(seed=seed, n_startup_trials=0, warn_independent_sampling=False)
    return optuna.samplers.TPESampler(seed=seed, n_startup_trials=0)


def _trial(told: Told, space: Sequence[Dimension], distributions: dict[str, Any]) -> optuna.trial.FrozenTrial:
    from optuna.trial import TrialState, create_trial

    here = [d for d in space if d.name in told.values]
    return create_trial(
        state=TrialState.PRUNED if told.objectives is None else TrialState.COMPLETE,
        values=None if told.objectives is None else list(told.objectives),
        params={d.name: d.coordinate(told.values[d.name]) for d in here},
        distributions={d.name: distributions[d.name] for d in here},
        constraints=dict(told.constraints),
    )
