"""Recipes: outcomes grouped without their seeds, and what may be said of a new run (measurement rule 6); and the
trainings that they come from.  Pure.

A recipe claim promises a run that nobody has seen.  The seed that a recipe was found with is left out of it, for
that run was chosen because it looked good.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from ftstab.outcome import Outcome
from ftstab.plan import recipe_key, trunk_key


@dataclass(frozen=True)
class Recipe:
    """One recipe with its runs.

    Attributes:
        key: identity of the recipe.
        found: outcomes of search seeds, by seed ascending: what it was chosen by.
        fresh: outcomes of fresh seeds, by seed ascending, those that diverged among them.
    """

    key: str
    found: tuple[Outcome, ...]
    fresh: tuple[Outcome, ...]

    @property
    def scored(self) -> tuple[Outcome, ...]:
        """Fresh outcomes with numbers."""
        return tuple(o for o in self.fresh if o.status == "scored")


def recipe_of(outcome: Outcome) -> str:
    """Key of the recipe that ``outcome`` is one run of."""
    return recipe_key(
        outcome.training,
        outcome.diagnostics.get("feedback_decay"),
        outcome.step,
        outcome.profile,
        outcome.interpolation,
    )


def trunk_of(outcome: Outcome) -> str:
    """Key of the training that ``outcome`` comes from, branches of one trunk being one (`plan.trunk_key`)."""
    return trunk_key(
        outcome.trajectory, outcome.training, outcome.seed, outcome.diagnostics.get("feedback_decay")
    )


def by_recipe(outcomes: Iterable[Outcome], search_seeds: Collection[int]) -> dict[str, Recipe]:
    """Group ``outcomes`` by recipe, in order of first appearance; the start is left out.

    Args:
        outcomes: outcomes of search and fresh seeds, of one evaluation.
        search_seeds: seeds that recipes were found with; any other is fresh.
    """
    groups: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        if not outcome.start:
            groups.setdefault(recipe_of(outcome), []).append(outcome)
    return {
        key: Recipe(
            key,
            tuple(o for o in _by_seed(some) if o.seed in search_seeds),
            tuple(o for o in _by_seed(some) if o.seed not in search_seeds),
        )
        for key, some in groups.items()
    }


def _by_seed(outcomes: Iterable[Outcome]) -> list[Outcome]:
    return sorted(outcomes, key=lambda o: (o.seed or 0, o.key))
