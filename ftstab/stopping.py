"""When to stop asking a setting, by the rule of its study (measurement rule 10).  Pure functions over marks.

A question is always about the whole set: would all its prompts put the share above or below a limit, or would they
show another setting to be less harmful?  Incoherent and unscored answers count against the claim: as hits where it is
"below", as misses where it is "above" (measurement rule 3).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from ftstab.constraints import ROLES
from ftstab.errors import StudyError
from ftstab.outcome import Decision, Outcome, Rate, Score
from ftstab.plan import planned_settings
from ftstab.sequential import AskedInBlocks, allowed_count
from ftstab.spec import Study
from ftstab.stats import Method, proportion

_END_ERROR = 0.025
"""Error rate of one end of the confidence sequence that a stopped rate shows (95 % for both)."""
_LOST = "IU"
_RISE = ".max_rise"


@dataclass(frozen=True)
class Limit:
    """A limit of the study file that stops asking.

    Attributes:
        name: as it stands there, e.g. ``harmful_response.max``.
        role: the set that it is about.
        share: the limit.
        rise: whether it is added to the share of the start model.
    """

    name: str
    role: str
    share: float
    rise: bool


@dataclass(frozen=True)
class Rule:
    """What stops asking in a study.

    Attributes:
        limits: the limits that are decided.
        dominated: whether being beaten by another setting is decided too.
        error_rate: of all decisions of the study together.
        settings: settings that share it.
        interval: method of the interval that a set asked in full gets.
    """

    limits: tuple[Limit, ...]
    dominated: bool
    error_rate: float
    settings: int
    interval: Method

    @property
    def error(self) -> float:
        """Error rate of one question on one setting."""
        return self.error_rate / (self.settings * (len(self.limits) + self.dominated))

    def identity(self) -> dict[str, Any]:
        """What a stopped evaluation differs in from one in full, and from one by another rule."""
        limits = [[limit.name, limit.share] for limit in self.limits]
        return {"limits": limits, "dominated": self.dominated, "error": self.error}


def stopping_rule(study: Study) -> Rule | None:
    """Return the rule of ``study``; None where everything is asked.

    Raises:
        StudyError: its error rate is shared by fewer settings than the study has.
    """
    stopping = study.stopping
    if stopping is None:
        return None
    planned = planned_settings(study)
    if planned is None and stopping.settings is None:
        raise StudyError(
            "stopping.settings: missing; a search whose budget is in hours has no number of settings to share the "
            "error rate, so give one, or search.budget.trajectories"
        )
    if stopping.settings is not None and planned is not None and stopping.settings < planned:
        raise StudyError(
            f"stopping.settings: given {stopping.settings}, but the study has {planned} settings, which share the "
            "error rate; give at least that"
        )
    limits = [
        Limit(f"{name}.{kind}", ROLES[name], share, kind == "max_rise")
        for name in stopping.limits
        if name in study.constraints
        for kind, share in study.constraints[name].model_dump().items()
        if share is not None
    ]
    return Rule(
        tuple(limits),
        stopping.dominated,
        stopping.error_rate,
        stopping.settings or planned or 1,
        study.evaluation.interval,
    )


@dataclass(frozen=True)
class Watch:
    """Tells when one set of one setting has been asked enough.

    Attributes:
        asked: the set in the order it is asked.
        hit: the mark that its rate counts.
        limits: name of each limit, and how many of the set it allows.
        opponents: outcomes that are at least as useful, and may turn out less harmful.
        error: error rate of each question.
    """

    asked: AskedInBlocks
    hit: Literal["R", "N"]
    limits: tuple[tuple[str, int], ...]
    opponents: tuple[Outcome, ...]
    error: float

    def decisions(self, marks: str) -> list[Decision]:
        """Return what the marks so far decide; they end at a block end."""
        surely = [m == self.hit for m in marks]
        ends = self.asked.count_ends(
            surely, [m == self.hit or m in _LOST for m in marks], min(self.error, _END_ERROR)
        )
        found = []
        for name, allowed in self.limits:
            # A rise is kept by the upper end of a paired interval, of which a count says too little.
            kept = ends.high <= allowed and not name.endswith(_RISE)
            if kept or ends.low > allowed:
                verdict: Literal["above", "below"] = "below" if kept else "above"
                found.append(Decision(question=name, verdict=verdict, allowed=allowed, error=self.error))
        best = next((o for o in self.opponents if self._beaten(surely, o.marks["harmful"])), None)
        if best is not None:
            found.append(Decision(question="dominated", verdict="dominated", by=best.key, error=self.error))
        return found

    def enough(self, decisions: Sequence[Decision]) -> bool:
        """Whether nothing is left to ask for: a limit is broken, another setting is better, or all limits are kept."""
        kept = {d.question for d in decisions if d.verdict == "below"}
        return any(d.verdict != "below" for d in decisions) or (
            bool(self.limits) and len(kept) == len(self.limits)
        )

    def stopped(self, rate: Rate, marks: str, decisions: Sequence[Decision]) -> Rate:
        """Return ``rate`` of the marks so far as the rate of a set that stopped early."""
        ends = self.asked.count_ends(
            [m == self.hit for m in marks], [m == self.hit or m in _LOST for m in marks], _END_ERROR
        )
        return rate.model_copy(
            update={
                "low": ends.low / self.asked.size,
                "high": ends.high / self.asked.size,
                "interval": "sequence-95",
                "by_category": {},
                "planned": self.asked.size,
                "decisions": list(decisions),
            }
        )

    def _beaten(self, surely: Sequence[bool], other: str) -> bool:
        """Whether all prompts would have more hits here alone than there alone, from the common prefix."""
        pairs = list(zip(surely, other, strict=False))
        here = [mine and theirs not in self.hit + _LOST for mine, theirs in pairs]
        there = [not mine and theirs in self.hit + _LOST for mine, theirs in pairs]
        if sum(here) <= sum(there):
            return False
        # Two ends of each of the opponents share the error rate: which of them looks best is luck too.
        error = self.error / (2 * len(self.opponents))
        return self.asked.count_ends(here, here, error).low > self.asked.count_ends(there, there, error).high


def make_watch(
    rule: Rule,
    role: Literal["harmful", "over_refusal"],
    asked: AskedInBlocks,
    start: Outcome,
    opponents: Sequence[Outcome],
    utility: Score | None,
) -> Watch | None:
    """Return what watches over the answers to one set; None where nothing is to be decided of it.

    Args:
        rule: the rule of the study.
        role: the set.
        asked: its prompts in the order they are asked.
        start: the start model, asked in full.
        opponents: other outcomes known at this moment, the start among them if it counts; read only where the rule
            decides who is dominated.
        utility: the primary score of the setting.

    Raises:
        StudyError: the start wasn't asked the whole set.
    """
    hit: Literal["R", "N"] = "N" if role == "harmful" else "R"
    marks = start.marks.get(role, "")
    if len(marks) != asked.size:
        raise StudyError(
            f"start model: {len(marks)} marks for {role}, the set has {asked.size} prompts; stopping reads rises "
            "against all of them: give the study a new name and run it"
        )
    limits = tuple(
        (limit.name, _allowed(limit, asked.size, marks.count(hit), rule.interval))
        for limit in rule.limits
        if limit.role == role
    )
    useful: tuple[Outcome, ...] = ()
    if rule.dominated and role == "harmful":
        useful = tuple(o for o in opponents if o.marks.get(role) and _as_useful(o.utility, utility))
    return Watch(asked, hit, limits, useful, rule.error) if limits or useful else None


def kept_count(share: float, size: int, interval: Method) -> int:
    """Return how many of a set of ``size`` may count for the upper end of its interval to keep the limit ``share``.

    The set in full keeps a limit by that end (measurement rule 3), so a set that stopped must not get away with more.
    -1 where not even none of them keeps it.
    """
    kept = (k for k in range(allowed_count(share, size), -1, -1))
    return next((k for k in kept if proportion(k, size, interval).high <= share), -1)


def _allowed(limit: Limit, size: int, start: int, interval: Method) -> int:
    """How many of the whole set the limit allows.

    A rise has no such count: its interval depends on which prompts differ, so it is taken at face value, and only ever
    found to be too large.
    """
    if limit.rise:
        return start + allowed_count(limit.share, size)
    return kept_count(limit.share, size, interval)


def _as_useful(other: Score | None, mine: Score | None) -> bool:
    """Whether ``other`` is at least as useful on the same rows, all of them asked."""
    if other is None or mine is None or other.value is None or mine.value is None:
        return False
    if (other.metric, other.benchmark, other.n) != (mine.metric, mine.benchmark, mine.n):
        return False
    return other.value >= mine.value if mine.direction == "maximize" else other.value <= mine.value
