"""Whether a trajectory is worth going on with, from what was read off it at one step.  Pure.

Divergence ends a trajectory because nothing can follow; being hopeless is a judgement of the study file, and its
settings are told to a search as what they are: not trained, and not to be sought.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence

from ftstab.evaluation.rates import gain
from ftstab.outcome import Outcome
from ftstab.plan import Job, Plan
from ftstab.spec import Study
from ftstab.spec.search import Hopeless


def hopeless_reason(outcomes: Sequence[Outcome], start: Outcome | None, study: Study) -> str | None:
    """Return why nothing is to be expected of later steps; None where something is.

    Every setting that was read at the step must be beyond a bound: an average that is still fine may stay so.  What
    couldn't be measured is beyond none.

    Args:
        outcomes: the settings of one trajectory at its latest step.
        start: the start model's outcome, which gains and rises are read against.
        study: the study, for `search.hopeless`.
    """
    rule = study.search.hopeless
    read = [o for o in outcomes if o.status == "scored" and o.interpolation != 0]
    if rule is None or not read or max(o.step for o in read) < rule.from_step:
        return None
    step = max(o.step for o in read)
    found = {why: [beyond(o) for o in read] for why, beyond in _bounds(rule, start)}
    if not found or not all(any(beyond) for beyond in zip(*found.values(), strict=True)):
        return None
    if shared := [why for why, beyond in found.items() if all(beyond)]:
        return f"hopeless at step {step}: {shared[0].format(' of every average')}"
    whys = [why.format("") for why, beyond in found.items() if any(beyond)]
    return f"hopeless at step {step}: of every average {' or '.join(whys)}"


def _bounds(rule: Hopeless, start: Outcome | None) -> Iterator[tuple[str, Callable[[Outcome], bool]]]:
    """The bounds of ``rule`` that can be read: each in words, with a place for whose it is, and whether a setting is
    beyond it."""

    def loss(outcome: Outcome) -> float:
        return outcome.diagnostics.get("safety_loss", -math.inf)

    if (most := rule.safety_loss_above) is not None:
        yield f"the safety loss{{}} is above {most:g} nats", lambda o: loss(o) > most
    origin = None if start is None else start.diagnostics.get("safety_loss")
    if (rise := rule.safety_loss_rise_above) is not None and origin is not None:
        why = f"the safety loss{{}} is more than {rise:g} nats above the start model's {origin:.2f}"
        yield why, lambda o: loss(o) > origin + rise
    if (least := rule.gain_below) is not None and start is not None:
        why = f"the gain{{}} is surely below {least:g}"
        yield why, lambda o: (won := gain(o, start)) is not None and won.high < least


def unfounded(job: Job, known: Mapping[str, Outcome], start: Outcome | None, study: Study) -> set[str]:
    """Return the settings of ``job`` that are known as hopeless though this study wouldn't give them up.

    Whether a trajectory is left depends on the averages that are read off it.  Their outcomes may be of a time when the
    study had fewer, or of another study of the store: with one that is still fine the trajectory is gone on with, and
    then its later settings are measured as if that one had always been there.

    Args:
        job: all that the study reads off the trajectory.
        known: outcomes by setting.
        start: the start model's outcome.
        study: the study.
    """
    found = {s.key for s in job.settings if s.key in known and known[s.key].status == "hopeless"}
    if not found or job.trunk.seed not in study.seeds.search:
        return found
    left = next((step for step in job.trunk.stops if _is_left(job, step, known, start, study)), None)
    if left is None:
        return found
    before = {s.key for s in job.trunk.settings if s.step <= left}
    before |= {s.key for branch in job.branches if branch.first <= left for s in branch.settings}
    return found & before


def founded(plan: Plan, known: Mapping[str, Outcome], study: Study) -> dict[str, Outcome]:
    """Return ``known`` (by setting, the start model's among them) without what is `unfounded` in ``plan``."""
    start = known.get(plan.start.key)
    left_out = {key for job in plan.jobs for key in unfounded(job, known, start, study)}
    return {key: outcome for key, outcome in known.items() if key not in left_out}


def _is_left(job: Job, step: int, known: Mapping[str, Outcome], start: Outcome | None, study: Study) -> bool:
    """Whether ``job`` is left at ``step``; not as long as an average isn't measured there."""
    here = [known.get(s.key) for s in job.trunk.settings if s.step == step]
    read = [o for o in here if o is not None and o.status != "hopeless"]
    return len(read) == len(here) and hopeless_reason(read, start, study) is not None
