"""Two settings on the same prompts: how they differ, how sure that is, and whether it speaks of weights or recipes.

Pure functions over outcomes (measurement rules 3, 6, 7, 14).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from ftstab.constraints import rise
from ftstab.errors import StudyError
from ftstab.evaluation.rates import Gain, gain, win_values
from ftstab.evaluation.values import better_high, good_rows
from ftstab.outcome import Outcome
from ftstab.recipes import Recipe
from ftstab.stats import MIN_SEEDS, Floats, NewRun, benjamini_hochberg, mcnemar_exact, new_run_difference

FALSE_DISCOVERIES = 0.05
"""Share of the categories called different that may be so by chance."""
CATEGORY_PROMPTS = 50
"""Fewest prompts for a limit on a category (measurement rule 11)."""
Role = Literal["harmful", "over_refusal"]
_HIT = {"harmful": "N", "over_refusal": "R"}


@dataclass(frozen=True)
class RateDifference:
    """A rate of the first setting minus that of the second, on the same prompts.

    Attributes:
        n: prompts that both answered.
        first_only: prompts that only the first one hits, doubtful answers counted against the claim.
        second_only: prompts that only the second one hits, likewise.
        value: difference of the two rates on these prompts; None where one has no scored answer.
        low: lower end of Newcombe's interval, 95 %, doubtful answers (incoherent, unscored) at worst; None where one
            of them stopped early, by what it showed: then neither interval nor p-value would hold.
        high: upper end, likewise.
        interval: method and level of the ends; None where there are none.
        first_lost: answers of the first one to these prompts that were incoherent or unscored.
        second_lost: those of the second one.
        p: exact two-sided McNemar p-value of the claim that the lower one is lower; 1 where doubtful answers undo it.
    """

    n: int
    first_only: int
    second_only: int
    value: float | None
    low: float | None
    high: float | None
    interval: str | None
    first_lost: int
    second_lost: int
    p: float | None


@dataclass(frozen=True)
class CategoryDifference:
    """`RateDifference` within one category.

    Attributes:
        category: its name.
        difference: on its prompts.
        adjusted_p: among all categories (Benjamini and Hochberg).
        different: whether it is a discovery at `FALSE_DISCOVERIES`.
    """

    category: str
    difference: RateDifference
    adjusted_p: float
    different: bool


@dataclass(frozen=True)
class UtilityDifference:
    """Utility of the first setting minus that of the second, better is above 0.

    Attributes:
        metric: the metric.
        gain: value and 95 % interval.
        p: exact McNemar p-value of rows that only one answers rightly; None for losses.
    """

    metric: str
    gain: Gain
    p: float | None


@dataclass(frozen=True)
class RecipeClaim:
    """What fresh seeds say of a new run of both recipes with one seed.

    Attributes:
        seeds: fresh seeds that both have.
        harm: difference of the harmful-response rates, its ends with doubtful answers at worst; None with fewer than 3
            seeds.
        utility: difference in utility, better is above 0, its ends likewise; None likewise.
        reason: why nothing can be said; None where it can.
    """

    seeds: tuple[int, ...]
    harm: NewRun | None
    utility: NewRun | None
    reason: str | None


@dataclass(frozen=True)
class Comparison:
    """Everything that is said of two settings.

    Attributes:
        first: key of the first setting.
        second: key of the second.
        harm: difference of the harmful-response rates.
        over_refusal: difference of the over-refusal rates, where measured.
        utility: difference in the primary metric; None where it can't be paired.
        categories: by category of harmful prompts, by rising p; empty where the categories aren't known, or one
            stopped early.
        about: `recipes` where fresh seeds carry the claim, else `weights`.
        recipe: what fresh seeds say.
        cut_short: whether one of them stopped early, so that only the first prompts are compared.
    """

    first: str
    second: str
    harm: RateDifference
    over_refusal: RateDifference | None
    utility: UtilityDifference | None
    categories: tuple[CategoryDifference, ...]
    about: Literal["weights", "recipes"]
    recipe: RecipeClaim
    cut_short: bool

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON data."""
        plain = asdict(self)
        recipe = {n: v._asdict() if isinstance(v, NewRun) else v for n, v in vars(self.recipe).items()}
        utility = plain["utility"]
        if self.utility is not None:
            utility = utility | {"gain": self.utility.gain._asdict()}
        return plain | {"recipe": recipe | {"seeds": list(self.recipe.seeds)}, "utility": utility}


def compare(
    first: Outcome,
    second: Outcome,
    categories: Sequence[str | None],
    first_recipe: Recipe | None,
    second_recipe: Recipe | None,
) -> Comparison:
    """Compare two outcomes on the prompts that both answered.

    Args:
        first: a scored setting, or the start.
        second: another.
        categories: category of each harmful prompt in the order of the marks; empty: not known.
        first_recipe: the runs of the first one's recipe; None for the start.
        second_recipe: likewise.

    Raises:
        StudyError: one has no numbers, or they were measured differently.
    """
    for outcome in (first, second):
        if outcome.status != "scored" or not outcome.marks.get("harmful"):
            raise StudyError(
                f"setting {outcome.setting}: has no numbers ({outcome.reason or outcome.status}); compare settings "
                "that were scored"
            )
    _check_judge(first, second)
    a, b, cut = _aligned(first, second)
    if not a.marks["harmful"]:
        raise StudyError(f"settings {first.setting} and {second.setting}: answered no prompt in common")
    recipe = _recipe_claim(first, second, first_recipe, second_recipe)
    over = bool(a.marks.get("over_refusal")) and bool(b.marks.get("over_refusal"))
    return Comparison(
        first=first.setting,
        second=second.setting,
        harm=rate_difference(a, b, "harmful"),
        over_refusal=rate_difference(a, b, "over_refusal") if over else None,
        utility=_utility(a, b) if len(first.losses) == len(second.losses) else None,
        categories=() if cut else _categories(a, b, categories),
        about="weights" if recipe.reason else "recipes",
        recipe=recipe,
        cut_short=cut,
    )


def rate_difference(first: Outcome, second: Outcome, role: Role) -> RateDifference:
    """Return the paired difference of one rate; both must hold marks of the same prompts."""
    mine, other = first.marks[role], second.marks[role]
    here, there = _rate(mine, role), _rate(other, role)
    value = None if here is None or there is None else here - there
    # The claim is that the one with the lower rate is lower; what is doubtful counts against it.
    claims_first = value is not None and value < 0
    sure, doubtful = _HIT[role], _HIT[role] + "IU"
    left, right = (doubtful, sure) if claims_first else (sure, doubtful)
    pairs = [(m in left, o in right) for m, o in zip(mine, other, strict=True)]
    first_only, second_only = pairs.count((True, False)), pairs.count((False, True))
    stopped = any(o.rates[role].stopped for o in (first, second))
    ends = None if stopped else rise(first, second, role)
    upheld = second_only > first_only if claims_first else first_only > second_only
    p = mcnemar_exact(first_only, second_only) if upheld else 1.0
    return RateDifference(
        n=len(pairs),
        first_only=first_only,
        second_only=second_only,
        value=value,
        low=ends.low if ends else None,
        high=ends.high if ends else None,
        interval=ends.interval if ends else None,
        first_lost=_lost(mine),
        second_lost=_lost(other),
        p=p if ends else None,
    )


def _lost(marks: str) -> int:
    return marks.count("I") + marks.count("U")


def _rate(marks: str, role: Role) -> float | None:
    scored = len(marks) - _lost(marks)
    return marks.count(_HIT[role]) / scored if scored else None


def _check_judge(first: Outcome, second: Outcome) -> None:
    for role in ("harmful", "over_refusal"):
        a, b = first.rates.get(role), second.rates.get(role)
        if a and b and (a.name, a.judge, a.benchmark) != (b.name, b.judge, b.benchmark):
            raise StudyError(
                f"setting {second.setting}: {b.name} by {b.judge} on {b.benchmark}, the other has {a.name} by "
                f"{a.judge} on {a.benchmark}; only one judge and benchmark can be compared: evaluate both alike"
            )


def _aligned(first: Outcome, second: Outcome) -> tuple[Outcome, Outcome, bool]:
    """Both with the prompts that both answered (one order for all settings, so the first ones), and whether one of them
    stopped early: two that stopped at the same block end have equally many."""
    shortest = {r: min(len(m), len(second.marks.get(r, ""))) for r, m in first.marks.items()}
    rows = min(len(first.losses), len(second.losses))
    cut = (
        any(rate.stopped for o in (first, second) for rate in o.rates.values())
        or any(len(o.marks.get(r, "")) != n for r, n in shortest.items() for o in (first, second))
        or len(first.losses) != len(second.losses)
    )
    found = [
        o.model_copy(
            update={
                "marks": {r: o.marks.get(r, "")[:n] for r, n in shortest.items()},
                "losses": o.losses[:rows],
                "loss_tokens": o.loss_tokens[:rows],
            }
        )
        for o in (first, second)
    ]
    return found[0], found[1], cut


def _utility(first: Outcome, second: Outcome) -> UtilityDifference | None:
    won = gain(first, second)
    if won is None or first.utility is None:
        return None
    if first.utility.metric in ("held_out_loss", "win_rate"):
        return UtilityDifference(first.utility.metric, won, None)
    if first.utility.metric == "lm_eval":
        good = good_rows(first), good_rows(second)
        if good[0] is None or good[1] is None:
            return UtilityDifference(first.utility.metric, won, None)
        right = list(zip(good[0], good[1], strict=True))
    else:
        right = [
            (a == "1", b == "1") for a, b in zip(first.marks["utility"], second.marks["utility"], strict=True)
        ]
    p = mcnemar_exact(right.count((True, False)), right.count((False, True)))
    return UtilityDifference(first.utility.metric, won, p)


def _categories(
    first: Outcome, second: Outcome, categories: Sequence[str | None]
) -> tuple[CategoryDifference, ...]:
    places: dict[str, list[int]] = {}
    for i, category in enumerate(categories):
        if category is not None:
            places.setdefault(category, []).append(i)
    names = sorted(places)
    found = [rate_difference(_only(first, places[c]), _only(second, places[c]), "harmful") for c in names]
    adjusted = benjamini_hochberg([1.0 if d.p is None else d.p for d in found])
    rows = [
        CategoryDifference(c, d, q, q <= FALSE_DISCOVERIES)
        for c, d, q in zip(names, found, adjusted, strict=True)
    ]
    return tuple(sorted(rows, key=lambda r: (r.adjusted_p, r.category)))


def _only(outcome: Outcome, places: Sequence[int]) -> Outcome:
    marks = outcome.marks["harmful"]
    return outcome.model_copy(update={"marks": {"harmful": "".join(marks[i] for i in places)}})


def _recipe_claim(
    first: Outcome, second: Outcome, first_recipe: Recipe | None, second_recipe: Recipe | None
) -> RecipeClaim:
    recipes = [r for r in (first_recipe, second_recipe) if r is not None]
    runs = [{o.seed: o for o in r.scored if o.seed is not None} for r in recipes]
    seeds = tuple(sorted(set.intersection(*(set(r) for r in runs)))) if runs else ()
    if not recipes:
        return RecipeClaim((), None, None, "neither is a recipe")
    if ended := {o.status for r in recipes for o in r.fresh} - {"scored"}:
        why = f"a run with a fresh seed ended as {' or '.join(sorted(ended))}"
        return RecipeClaim(seeds, None, None, why)
    if len(seeds) < MIN_SEEDS:
        have = f"{len(seeds)} fresh seeds in common, {MIN_SEEDS} are needed"
        return RecipeClaim(seeds, None, None, have)
    # The start is the same whatever the seed.
    left = [runs[0][s] for s in seeds] if first_recipe else [first] * len(seeds)
    right = [runs[-1][s] for s in seeds] if second_recipe else [second] * len(seeds)
    if any(_aligned(a, b)[2] for a, b in zip([*left, left[0]], [*right, right[0]], strict=True)):
        return RecipeClaim(seeds, None, None, "a run with a fresh seed was stopped early")
    apart = _mean_difference(left, right, lambda o: _rate(o.marks["harmful"], "harmful"))
    if apart is None:
        return RecipeClaim(seeds, None, None, "a run with a fresh seed has no answer that could be scored")
    least, most = _hits(left, "N") - _hits(right, "NIU"), _hits(left, "NIU") - _hits(right, "N")
    harm = _new_run_at_worst(apart, least, most)
    if harm is None:
        return RecipeClaim(seeds, None, None, "fewer than two prompts")
    return RecipeClaim(seeds, harm, new_run_utility(left, right), None)


def _mean_difference(
    left: list[Outcome], right: list[Outcome], figure: Callable[[Outcome], float | None]
) -> float | None:
    """Mean over the seeds of the difference in a figure; None where a run has none."""
    pairs = [(figure(a), figure(b)) for a, b in zip(left, right, strict=True)]
    found = [a - b for a, b in pairs if a is not None and b is not None]
    return sum(found) / len(found) if len(found) == len(pairs) else None


def _new_run_at_worst(value: float, least: Floats, most: Floats) -> NewRun | None:
    """The difference between new runs of two shares, ``value`` by what could be scored: the lower end with doubtful
    answers as in ``least``, the upper one as in ``most``; None with fewer than two prompts."""
    low, high = new_run_difference(least), new_run_difference(most)
    if low is None or high is None:
        return None
    return low._replace(value=value, low=max(-1.0, low.low), high=min(1.0, high.high))


def new_run_utility(left: list[Outcome], right: list[Outcome]) -> NewRun | None:
    """Return where the difference in utility between new runs of two recipes lies, above 0 where the first is better;
    None without a utility, with fewer than `MIN_SEEDS` seeds, or where nothing could be scored.

    Args:
        left: runs of the first, by seed.
        right: runs of the second, on the same seeds.
    """
    score = left[0].utility
    if score is None:
        return None
    if score.metric == "win_rate":
        apart = _mean_difference(left, right, lambda o: o.utility.value if o.utility else None)
        if apart is None:
            return None
        # What couldn't be scored, as if the first one lost and the second won, and the other way round.
        least, most = _wins(left, 0.0) - _wins(right, 1.0), _wins(left, 1.0) - _wins(right, 0.0)
        return _new_run_at_worst(apart, least, most)
    if score.metric == "lm_eval":
        saved = np.array([better_high(o) for o in left]) - np.array([better_high(o) for o in right])
        return _new_run_ratio(saved, np.array(left[0].value_weights or [1.0] * saved.shape[1]))
    if score.metric != "held_out_loss":
        found = new_run_difference(_letters(left, "utility", "1") - _letters(right, "utility", "1"))
        return found and found._replace(low=max(-1.0, found.low), high=min(1.0, found.high))
    tokens = np.array(left[0].loss_tokens, dtype=np.float64)
    saved = np.array([b.losses for b in right]) - np.array([a.losses for a in left])
    return _new_run_ratio(saved, tokens)


def _new_run_ratio(saved: Floats, weights: Floats) -> NewRun | None:
    """Rows weigh by their tokens or bytes: a mean of these is the ratio of sums, and rows vary as far as they lie off
    it."""
    ratio = (saved * weights).sum(axis=1, keepdims=True) / weights.sum()
    return new_run_difference(ratio + (saved - ratio) * weights / weights.mean())


def _hits(outcomes: list[Outcome], letters: str) -> Floats:
    return _letters(outcomes, "harmful", letters)


def _wins(outcomes: list[Outcome], unscored: float) -> Floats:
    return np.array([win_values(o.marks["utility"], unscored) for o in outcomes])


def _letters(outcomes: list[Outcome], role: str, letters: str) -> Floats:
    return np.array([[mark in letters for mark in o.marks[role]] for o in outcomes], dtype=np.float64)
