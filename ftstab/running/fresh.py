"""Which recipes are to be trained with fresh seeds, and with which (measurement rules 6 and 7).  Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ftstab.frontier import frontier_rows
from ftstab.outcome import Outcome
from ftstab.plan import fresh_seeds
from ftstab.recipes import recipe_of
from ftstab.spec import Study


@dataclass(frozen=True)
class FreshSeeds:
    """What is asked for.

    Attributes:
        wanted: seeds by recipe, those asked for before among them.
        seeds: the seeds asked for now.
        recipes: number of recipes they are asked for of.
    """

    wanted: dict[str, list[int]]
    seeds: list[int]
    recipes: int


def ask_for_fresh(
    study: Study, outcomes: Sequence[Outcome], start: Outcome, before: Mapping[str, Sequence[int]], count: int
) -> FreshSeeds:
    """Ask for ``count`` fresh seeds of every recipe on the frontier; what was asked for before stays asked for.

    Args:
        study: the study.
        outcomes: its settings, of search seeds.
        start: the start model's outcome.
        before: seeds asked for before, by recipe.
        count: seeds that each recipe on the frontier is to have.
    """
    seeds = fresh_seeds(study, {seed for some in before.values() for seed in some}, count)
    front = {row.key for row in frontier_rows(outcomes, start, study) if row.on_frontier}
    recipes = {recipe_of(o) for o in outcomes if o.key in front}
    wanted = {recipe: list(some) for recipe, some in before.items()}
    for recipe in recipes:
        wanted[recipe] = sorted({*wanted.get(recipe, []), *seeds})
    return FreshSeeds(wanted, seeds, len(recipes))
