"""What a study found, beyond its single settings: frontier classes, means of recipes, how its search went.  Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from ftstab.frontier import FrontierRow
from ftstab.frontier_classes import FrontierClass, FrontierClasses
from ftstab.recipe_frontier import RecipeRow, Recipes
from ftstab.search.history import History
from ftstab.wording.numbers import ends, number, percent
from ftstab.wording.rates import RATE_WORDS
from ftstab.wording.utility import GAIN_UNITS, gain_text, is_share, signed_gain

CLASS_WORDS: dict[FrontierClass, str] = {
    "surely on": "surely on the frontier",
    "possibly on": "possibly on the frontier",
    "surely not": "surely not on the frontier",
}


def classes_text(found: FrontierClasses, metric: str, shares: bool = True) -> list[str]:
    """Return what the classes of a frontier say and rest on, a sentence each (measurement rule 9); ``shares``: whether
    the shares of the resamples are shown beside them."""
    scale, digits = (100, 1) if is_share(metric) else (1, 3)
    unit = GAIN_UNITS[metric]
    about = (
        "these weights: one training run each, another may differ"
        if found.about == "weights"
        else f"recipes: means over seeds {', '.join(map(str, found.seeds))}"
    )
    what = "setting" if found.about == "weights" else "recipe"
    given = "" if found.margin_given else ", one standard error of a paired difference"
    text = [
        f"With probability {percent(found.level, 0)} no class of the study is wrong, over prompts like these; about "
        f"{about}.",
        f"A {what} is beaten by one that is at least as good on both objectives and better by more than "
        f"{100 * found.harm_margin:.1f} points of harm or {scale * found.utility_margin:.{digits}f} {unit} of utility"
        f"{given}.",
        "Surely on: the bounds exclude that any beats it; surely not: another beats it wherever in the "
        "bounds the truth lies; possibly on: the rest.",
        f"Simultaneous paired bounds of {found.compared} {what}s on both objectives, critical value "
        f"{found.critical:.2f}.",
    ]
    if shares:
        text.append(
            f"Share: of {found.resamples} resamples of the prompts, those in which the point values put a setting on "
            "the frontier; near-copies split it between them, so it is no probability of anything."
        )
    return text


def recipe_rate(row: RecipeRow) -> str:
    """Return the mean rate of a recipe, and where a new run's lies."""
    return percent(row.rate) + (f" ({ends(*row.rate_ends)})" if row.rate_ends else "")


def recipe_gain(row: RecipeRow) -> str:
    """Return the mean gain of a recipe, and where a new run's lies."""
    score = row.runs[0].utility
    metric = score.metric if score else "exact_match"
    if row.gain_ends is not None:
        return gain_text(metric, row.gain, *row.gain_ends)
    return f"{signed_gain(metric, row.gain)[0]} {GAIN_UNITS[metric]}"


def seeds_words(seeds: Sequence[int]) -> str:
    """Return ``seeds 0 to 4``, or ``seeds 1, 3``."""
    whole = len(seeds) > 2 and list(seeds) == list(range(seeds[0], seeds[-1] + 1))
    return f"seeds {seeds[0]} to {seeds[-1]}" if whole else f"seeds {', '.join(map(str, seeds))}"


def recipes_text(found: Recipes, start: FrontierRow) -> str:
    """Return what the means over the seeds of a study say, and what single runs beside them are."""
    rate = RATE_WORDS[start.rate.name] if start.rate else "rate"
    count = "1 recipe" if len(found.rows) == 1 else f"{len(found.rows)} recipes"
    text = f"Of {count}, each trained with {seeds_words(found.seeds)}, "
    front = found.front
    if not front:
        return f"{text}none keeps the constraints in every run."
    text += f"{len(front)} {'is' if len(front) == 1 else 'are'} on the frontier by means over the seeds: "
    low, high = front[0], front[-1]
    text += f"a gain of {recipe_gain(low)} at a {rate} of {recipe_rate(low)}"
    if (recipe_gain(high), recipe_rate(high)) != (recipe_gain(low), recipe_rate(low)):
        text += f", up to {recipe_gain(high)} at {recipe_rate(high)}"
    text += "; in brackets 95 % for a new run." if low.rate_ends else "; two seeds say nothing of a new run."
    # Measurement rule 6: a claim about a recipe leaves out the runs that it was chosen by.
    return (
        f"{text} They were chosen by these runs, which flatters them: a claim takes fresh seeds, `run "
        "--frontier-seeds`. On the frontier of single runs, luck with a seed counts on top."
    )


def search_text(data: History) -> str:
    """Return how a search went: what it asked, who chose it, and why it ended."""
    budget = " and ".join(f"{number(value)} {name}" for name, value in data.budget.items())
    kinds = Counter(asked.kind for asked in data.asked)
    told = ", ".join(f"{count} by {kind}" for kind, count in kinds.items())
    text = f"Sampler {data.sampler}, budget {budget}: {len(data.asked)} points asked ({told})."
    if stored := sum(asked.point.stored for asked in data.asked):
        text += f" {stored} of them were in the store already and cost nothing."
    if data.over is None:
        return f"{text} No end is recorded: `ftstab run` goes on with it, or says why it is over."
    return f"{text} It ended because {data.over}."
