"""What may be said about one setting, in sentences (measurement rule 13): one text for pick, report, recipe and card.

Plain text, escaped by whoever writes HTML.  Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ftstab.confirm import LimitTest, NewRunClaim, Tested
from ftstab.errors import StudyError
from ftstab.frontier import FrontierRow
from ftstab.outcome import Rate, Score
from ftstab.spec import Study
from ftstab.stats import MIN_SEEDS
from ftstab.wording.caveats import NOT_TESTED
from ftstab.wording.numbers import ends, percent
from ftstab.wording.rates import HIT_WORDS, RATE_WORDS, asked_words, asking_words, counts_words, rate_words
from ftstab.wording.utility import METRIC_WORDS, gain_text, score_ends, score_text


@dataclass(frozen=True)
class Confirmed:
    """What a look at the confirmation half adds to a statement.

    Attributes:
        tested: the tests of the setting.
        error_rate: of the look.
        reused: earlier looks with other questions at prompts of the same half.
        recipe: what fresh seeds say of a new run; None where none was asked.
        recipe_reused: as ``reused``, of the look that asked the fresh seeds.
        unasked: fresh seeds of the recipe that were trained and that no look has asked.
    """

    tested: Tested
    error_rate: float
    reused: int
    recipe: NewRunClaim | None = None
    recipe_reused: int = 0
    unasked: tuple[int, ...] = ()


def statement(row: FrontierRow, start: FrontierRow, study: Study, confirmed: Confirmed | None = None) -> str:
    """Return what may be said about one setting.

    Args:
        row: the setting, measured on the search half, or on the confirmation half where ``confirmed`` is given.
        start: the start model, measured on the same half.
        study: the study.
        confirmed: what the confirmation half says; None: nobody has asked it.

    Raises:
        StudyError: the setting or the start has no numbers.
    """
    for what, one in (("setting", row), ("start model", start)):
        if one.rate is None or one.utility is None:
            raise StudyError(f"{what} {one.key}: has no numbers ({one.reason}); choose one that was scored")
    rate, first = row.need_rate(), start.need_rate()
    word = HIT_WORDS[rate.name]
    parts = [_measured(rate, study, confirmed), f"Utility: {_utility(row)}{_gain(row)}."]
    if over := _over_refusal(row):
        parts.append(f"{over}.")
    if confirmed is not None:
        parts += [f"{_other(test, confirmed.error_rate)}." for test in confirmed.tested.tests[1:]]
    began = f"The start model: {counts_words(first, word)} (interval {ends(first.low, first.high)})"
    began += f", {_utility(start)}"
    if over := _over_refusal(start):
        began += f", {over[0].lower()}{over[1:]}"
    parts.append(f"{began}.")
    parts.append(_holds(rate, confirmed))
    if row.beaten_by_start:
        parts.append(f"The start model is at least as good on {RATE_WORDS[rate.name]} and on utility.")
    parts.append(NOT_TESTED)
    return " ".join(parts)


def failure(tested: Tested, error_rate: float) -> str:
    """Return why a candidate isn't confirmed: its broken conditions with their figures."""
    broken = [t for t in tested.tests if t.passed is False]
    return "; ".join(_figures(t, error_rate) for t in broken)


def reuse_words(reused: int) -> str:
    """Return how an earlier use of the half is said; empty where there was none."""
    looks = "1 earlier look" if reused == 1 else f"{reused} earlier looks"
    return f"reused: {looks} with another question" if reused else ""


def seed_words(seeds: Sequence[int]) -> str:
    """Return ``1 fresh seed``, ``3 fresh seeds``."""
    return "1 fresh seed" if len(seeds) == 1 else f"{len(seeds)} fresh seeds"


def _measured(rate: Rate, study: Study, confirmed: Confirmed | None) -> str:
    word = HIT_WORDS[rate.name]
    how = (
        f"greedy, answers of at most {study.evaluation.decoding.max_new_tokens} tokens, single turn, no attack, "
        f"judge {rate.judge}, {asking_words(study.template)}: {counts_words(rate, word)}"
    )
    counting = f"counting incoherent and unscored answers as {word}"
    if confirmed is None:
        return (
            f"On {asked_words(rate)} of {rate.benchmark}, search half (not yet confirmed), {how}; upper bound "
            f"{percent(rate.high)} ({rate.interval}) {counting}."
        )
    used = reuse_words(confirmed.reused)
    prompts = f"{rate.n} prompts" if used else f"{rate.n} unseen prompts"
    half = f"confirmation half ({used})" if used else "confirmation half"
    upper = percent(confirmed.tested.tests[0].upper)
    return (
        f"On {prompts} of {rate.benchmark}, {half}, {how}; upper bound {upper} (exact, one-sided, "
        f"{_level(confirmed.error_rate)}) {counting}."
    )


def _holds(rate: Rate, confirmed: Confirmed | None) -> str:
    """Of what it holds: these weights, or this recipe (rule 6)."""
    these = "Holds for these weights"
    claim = None if confirmed is None else confirmed.recipe
    if confirmed is None or claim is None:
        trained = ""
        if confirmed is not None and (fresh := confirmed.unasked):
            trained = f": {seed_words(fresh)} {'was' if len(fresh) == 1 else 'were'} trained, not asked on this half"
        return f"{these}; one training run, another may differ{trained}."
    seeds = f"{seed_words(claim.seeds)}, the seed it was found with left out"
    used = reuse_words(confirmed.recipe_reused) or "asked the prompts that confirmed it"
    about = f"{seeds}; {used}"
    lost = []
    if claim.diverged:
        lost.append(f"{len(claim.diverged)} more diverged")
    lost += [f"seed {seed} couldn't be asked ({why})" for seed, why in claim.missing.items()]
    found = ", ".join(percent(r) for r in claim.rates)
    if claim.low is None or claim.high is None:
        why = "; ".join(lost) or f"fewer than {MIN_SEEDS} seeds"
        shown = f", upper values {found}" if found else ""
        return f"{these}. For this recipe ({about}{shown}) nothing is claimed of a new run: {why}."
    return (
        f"{these}. For this recipe ({about}): a new run's {RATE_WORDS[rate.name]} lies between {percent(claim.low)} "
        f"and {percent(claim.high)} with probability 95 %."
    )


def _other(test: LimitTest, error_rate: float) -> str:
    """A further judge or a constraint, on the confirmation half."""
    said = _figures(test, error_rate)
    if test.passed is None:
        return f"{said}, not tested: the limit is on harm"
    return f"{said}, {'kept' if test.passed else 'broken'}"


def _figures(test: LimitTest, error_rate: float) -> str:
    lost = f" asked, {test.lost} incoherent or unscored and counted against it" if test.lost else ""
    name = RATE_WORDS.get(test.what, f"constraint {test.what}")
    bound = f"upper bound {100 * test.upper:.1f}"
    bound += " points" if test.what.endswith("max_rise") else " %"
    limit = "" if test.limit is None else f", limit {100 * test.limit:.1f}"
    return (
        f"{name[0].upper()}{name[1:]} by {test.judge}: {test.hits} of {test.n}{lost}, {bound} (one-sided, "
        f"{_level(error_rate)}{limit})"
    )


def _level(error_rate: float) -> str:
    return f"{100 * (1 - error_rate):.4g} %"


def _utility(row: FrontierRow) -> str:
    score: Score | None = row.utility
    if score is None:
        return "not measured"
    counts = f"{score.right} of {score.n} right" if score.right is not None else f"n = {score.n}"
    if found := score_ends(score):
        counts += f", interval {found}"
    return f"{METRIC_WORDS[score.metric]} {score_text(score)} ({counts}) on {score.benchmark}"


def _gain(row: FrontierRow) -> str:
    if row.gain is None or row.utility is None:
        return ""
    won = gain_text(row.utility.metric, row.gain.value, row.gain.low, row.gain.high)
    return f"; paired gain over the start {won}: {row.gain_label}"


def _over_refusal(row: FrontierRow) -> str:
    """Refusals of look-alikes, beside those of harmful prompts where a judge saw these; empty if not measured."""
    rate, found = row.over_refusal, row.contrast
    if rate is None:
        return ""
    text = f"Refused of safe look-alikes: {rate_words(rate)} on {rate.benchmark}"
    if found is None:
        return text
    by = f", by {row.refusals.judge}" if row.refusals else ""
    return f"{text} (harmful prompts refused minus these{by}: {gain_text('exact_match', *found[:3])})"
