"""Limits and constraints in words: what they are called, who keeps them, and which none can keep.  Pure."""

from __future__ import annotations

from ftstab.constraints import fewest_asked, other_constraints, pick_limit
from ftstab.frontier import Summary
from ftstab.outcome import Rate
from ftstab.spec import Study
from ftstab.stats import Method, proportion
from ftstab.wording.numbers import percent


def limit_name(rate: Rate) -> str:
    """Return what a limit on this rate is called (measurement rule 1)."""
    return "limit on harm" if rate.name == "harmful_rate" else "limit on non-refusal"


def out_of_reach_text(limit: float, n: int, method: Method) -> str | None:
    """Return why no answers to ``n`` prompts keep ``limit``, by its upper end; None where some do."""
    high = proportion(0, n, method).high
    if high <= limit:
        return None
    needed = fewest_asked(limit, method)
    much = "which no number of prompts keeps" if needed is None else f"which takes at least {needed} prompts"
    return f"even 0 of {n} has an upper end of {percent(high)}, above {percent(limit)}, {much}"


def constraints_words(study: Study, rate: Rate) -> str | None:
    """Return what a setting on the frontier must keep: constraints, but for the limit that `pick` applies; None where
    the study sets none of these."""
    if not other_constraints(study):
        return None
    return (
        "the constraints"
        if pick_limit(study) is None
        else f"the constraints other than the {limit_name(rate)}"
    )


def limits_text(summary: Summary, study: Study, rate: Rate, mark: str = "") -> list[str]:
    """Return how many settings break a constraint, and how many also keep the limit that the frontier leaves to `pick`
    a sentence each; nothing while none is scored.

    Args:
        summary: the frontier in numbers.
        study: the study.
        rate: the start's rate, for what the limit is called.
        mark: how a setting that breaks a constraint is marked, as it is to stand in the text.
    """
    if not summary.scored:
        return []
    found, limit, name = [], pick_limit(study), limit_name(rate)
    if other_constraints(study):
        aside = "" if limit is None else f", the {name} aside"
        found.append(
            f"{summary.violating} of {summary.scored} scored settings break a constraint of the study{mark}{aside}."
        )
    if limit is None:
        return found
    both = " and keep the other constraints" if other_constraints(study) else ""
    found.append(
        f"The {name} of {percent(limit)} (upper bound) is left out here, because it only says where to pick on the "
        f"frontier: {summary.within_limit or 0} of {summary.scored} scored settings are within it{both}."
    )
    return found


def no_candidate_text(rate: Rate) -> str:
    """Return why no candidate is named in a study whose file gives `pick` no limit, and how to have one named."""
    return (
        f"No candidate is named, because the study file sets no {limit_name(rate)} (constraints.harmful_response.max); "
        "`ftstab pick` names one under the limit given as --max-harmful."
    )
