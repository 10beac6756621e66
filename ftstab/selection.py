"""What selection says: the candidate of the search half, or what the confirmation half has made of it.

Reads the store.  The one way in for pick, report, recipe and model card, so that they say the same.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass, replace
from typing import Any, Literal

from ftstab.confirm import ERROR_RATE, Question, Tested, question
from ftstab.errors import StudyError
from ftstab.extent import extent
from ftstab.frontier import FrontierRow, frontier_rows, start_row
from ftstab.judging.refusals import with_refusals
from ftstab.judging.study import Correction, correction
from ftstab.judging.wording import side_by_side
from ftstab.looks import Look, find, looks, recipe_look
from ftstab.outcome import Outcome
from ftstab.pick import Pick, pick, pick_text
from ftstab.recipes import by_recipe, recipe_of
from ftstab.results import Results
from ftstab.statement import Confirmed, failure, reuse_words, seed_words, statement
from ftstab.wording.numbers import percent
from ftstab.wording.settings import described

Status = Literal["none", "candidate", "not confirmed", "picked"]
"""`none`: no setting keeps the limit.  `candidate`: nobody has asked the confirmation half, or not to the end.
`not confirmed`: it was asked and upholds none.  `picked`: it upholds this one."""


@dataclass(frozen=True)
class Selection:
    """The answer to "the most useful setting below this limit", with all that is known.

    Attributes:
        found: what the search half says.
        status: how far it is confirmed.
        look: the look at the confirmation half that asked this, finished or not; None: there is none.
        row: the picked setting, or else the candidate, as the search half measured it; None where none qualifies.
        text: all of it in sentences.
        advice: what to do next, with the command.
        fresh: a later look that asked fresh seeds of what is picked; None where there is none.
        correction: what labels of this study's answers say of the judge; None where there are none.
    """

    found: Pick
    status: Status
    look: Look | None
    row: FrontierRow | None
    text: str
    advice: str | None = None
    fresh: Look | None = None
    correction: Correction | None = None

    @property
    def picked(self) -> bool:
        """Whether a setting is picked, that is confirmed."""
        return self.status == "picked"

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON data."""
        chosen = self.row.as_dict() if self.picked and self.row else None
        return self.found.as_dict() | {
            "status": self.status,
            "picked": chosen,
            "confirmation": self.look.as_dict() if self.look else None,
            "fresh_seeds": self.fresh.as_dict() if self.fresh else None,
            "statement": self.text,
            "advice": self.advice,
            "judge_correction": None if self.correction is None else self.correction.as_dict(),
        }


def search_pick(results: Results, limit: float) -> Pick:
    """Return what the search half alone says."""
    return pick(frontier_rows(results.outcomes, results.need_start(), results.study), limit, results.study)


def question_of(results: Results, found: Pick, error_rate: float) -> Question:
    """Return what a confirmation of ``found`` asks."""
    order = [row.setting for row in found.order]
    return question(results.study, results.identities.evaluation, found.limit, error_rate, order)


def select(results: Results, limit: float, error_rate: float | None = None) -> Selection:
    """Return what selection says under ``limit``, by the store alone.

    Args:
        results: the study.
        limit: largest rate allowed, a share.
        error_rate: only a confirmation at this error rate counts; None: at any.

    Raises:
        StudyError: the limit or the error rate is no share, or nothing is measured yet.
    """
    plain = _uncorrected(results, limit, error_rate)
    errors, row, start = correction(results), plain.row or plain.found.nearest, results.need_start()
    if errors is None or row is None or row.rate is None:
        return plain
    beside = side_by_side(errors, row.key, row.rate, start.key, start.rates["harmful"])
    return replace(plain, text=f"{plain.text} {beside}".strip(), correction=errors)


def _uncorrected(results: Results, limit: float, error_rate: float | None) -> Selection:
    """What `select` returns, but for the labels of the study's answers."""
    found, start = search_pick(results, limit), results.need_start()
    text = pick_text(found, start_row(start, results.study), results.study)
    if found.candidate is None:
        return Selection(found, "none", None, None, text)
    asked = question_of(results, found, ERROR_RATE if error_rate is None else error_rate)
    look = find(results.records, results.study.study, asked, any_error_rate=error_rate is None)
    if look is None or look.result is None:
        return Selection(found, "candidate", look, found.candidate, text, _next(results, found, look))
    return _confirmed(results, found, look)


def confirmed_statement(results: Results, look: Look, tested: Tested) -> str:
    """Return the statement of a tested candidate, on the confirmation half (measurement rule 13)."""
    assert look.result is not None
    start = _outcome(results, look.result["start"]["trajectory"], look.result["start"]["outcome"])
    outcome = _outcome(results, tested.trajectory, tested.outcome)
    (row,) = frontier_rows([outcome], start, results.study)
    picked = tested == look.picked
    recipe = recipe_look(results.records, look) if picked else None
    confirmed = Confirmed(
        tested,
        look.question.error_rate,
        look.reused,
        recipe.claim if recipe else None,
        recipe.reused if recipe else 0,
        tuple(unasked_seeds(results, look)) if picked else (),
    )
    return statement(row, start_row(start, results.study), results.study, confirmed)


def _confirmed(results: Results, found: Pick, look: Look) -> Selection:
    rows = {row.setting: row for row in found.order}
    chosen, last = look.picked, look.tested[-1]
    rate = look.question.error_rate
    how = (
        f"in order from the safest to the most useful, each at error rate {100 * rate:.4g} %, against the "
        f"{found.limit_name} of {percent(found.limit)}"
    )
    how += " and the constraints of the study" if results.study.constraints else ""
    how += f"; confirmation half {reuse_words(look.reused)}" if look.reused else ""
    others = sorted({name.rpartition("/")[0] for name in look.about["earlier"]} - {results.study.study})
    how += f", of study {', '.join(others)}" if others else ""
    # Settings that weren't measured yet had no chance to be a candidate, whatever the study has since.
    how += f"; begun with {look.unfinished}" if look.unfinished else ""
    left = "".join(f" Left out: {described(rows[s])} ({why})." for s, why in look.left_out.items())
    begun, advice = _left_over(results, found, look)
    left += begun
    fell = f"{described(rows[last.setting])}, failed: {failure(last, rate)}."
    count = "1 candidate" if len(rows) == 1 else f"{len(rows)} candidates"
    if chosen is None:
        lead = f"Nothing is confirmed of {count}, tested {how}. The first, {fell}{left}"
        text = f"{lead} {confirmed_statement(results, look, last)}"
        return Selection(found, "not confirmed", look, found.candidate, text, advice)
    row = rows[chosen.setting]
    upheld = sum(one.passed for one in look.tested)
    lead = (
        f"Picked: {described(row)}: the most useful setting that the confirmation half upholds ({upheld} of {count}, "
        f"tested {how})."
    )
    if not last.passed:
        lead += f" The next, {fell}"
    statement_text = confirmed_statement(results, look, chosen)
    if advice is None and (seeds := unasked_seeds(results, look)):
        advice = (
            f"`{pick_command(results, found.limit, rate, '--confirm')}` asks this half of {seed_words(seeds)} of this "
            "recipe as well, to say what a new run may show."
        )
    later = recipe_look(results.records, look)
    fresh = None if later == look else later
    return Selection(found, "picked", look, row, f"{lead}{left} {statement_text}", advice, fresh)


def _left_over(results: Results, found: Pick, look: Look) -> tuple[str, str | None]:
    """What is said, and advised, of candidates that a finished look left out and that testing would come to."""
    if not look.passed_over:
        return "", None
    rate = look.question.error_rate
    for later in looks(results.records, results.study.study):
        if (later.kind, later.key, later.result) == ("pick", look.key, None) and later.number > look.number:
            return (
                f" A later look, with candidates that this one left out, was begun {later.about['when']} and isn't "
                "finished.",
                f"`{pick_command(results, found.limit, rate, '--confirm')}` goes on with it.",
            )
    return "", (
        f"`{pick_command(results, found.limit, rate, '--retrain', '--confirm')}` trains what was left out again and "
        "tests all in their order; it will read reused."
    )


def _next(results: Results, found: Pick, look: Look | None) -> str:
    """What a candidate still lacks."""
    rate = ERROR_RATE if look is None else look.question.error_rate
    command = f"`{pick_command(results, found.limit, rate, '--confirm')}`"
    if look is not None:
        return f"A look at the confirmation half was begun {look.about['when']} and isn't finished; {command} goes on."
    if not extent(results).whole:
        run = shlex.join(["ftstab", "run", str(results.folder)])
        return f"`{run}` finishes the study; {command} then confirms what is the candidate by then."
    earlier = len(looks(results.records, results.study.study))
    if earlier:
        return (
            f"{command} confirms it; it will read reused, because this study has looked at the half before."
        )
    return f"{command} confirms it on prompts that no choice has seen."


def fresh_of(results: Results, setting: str) -> tuple[Outcome, ...]:
    """Return the outcomes, on the search half, of fresh seeds of the recipe of ``setting``."""
    wanted = next(recipe_of(o) for o in results.outcomes if o.setting == setting)
    return by_recipe((*results.outcomes, *results.fresh), results.study.seeds.search)[wanted].fresh


def unasked_seeds(results: Results, look: Look) -> list[int]:
    """Return the fresh seeds of what ``look`` picked that no look has asked yet."""
    chosen = look.picked
    if chosen is None:
        return []
    last = recipe_look(results.records, look)
    claim = last.claim if last else None
    known = {*claim.seeds, *claim.diverged, *map(int, claim.missing)} if claim else set()
    return sorted(o.seed or 0 for o in fresh_of(results, chosen.setting) if o.seed not in known)


def pick_command(results: Results, limit: float, error_rate: float, *options: str) -> str:
    """Return the `ftstab pick` command, as it can be typed, that speaks of this limit and error rate."""
    words = ["ftstab", "pick", str(results.folder), "--max-harmful", repr(limit)]
    if error_rate != ERROR_RATE:
        words += ["--error-rate", repr(error_rate)]
    return shlex.join([*words, *options])


def _outcome(results: Results, trajectory: str, key: str) -> Outcome:
    outcome = results.records.outcome(trajectory, key)
    if outcome is None:
        raise StudyError(
            f"study {results.study.study}: its log of looks names outcome {key}, which the store no longer has; ask "
            "the confirmation half again with `ftstab pick --confirm` on another limit, or restore the store"
        )
    return with_refusals(outcome, results.records, results.study)
