"""Whether a trajectory is worth going on with, from what was read off it at one step.  Pure.

Divergence ends a trajectory because nothing can follow; being hopeless is a judgement of the study file, and its
settings are told to a search as what they are: not trained, and not to be sought.
"""

from __future__ import annotations

from collections.abc import Sequence

from ftstab.evaluation.rates import gain
from ftstab.outcome import Outcome
from ftstab.spec import Study
from ftstab.spec.search import Hopeless


def hopeless_reason(outcomes: Sequence[Outcome], start: Outcome | None, study: Study) -> str | None:
    """Return why nothing is to be expected of later steps; None where something is.

    Every setting that was read at the step must be beyond a bound: an average that is still fine may stay so.  What
    couldn't be measured is beyond none.

    Args:
        outcomes: the settings of one trajectory at its latest step.
        start: the start model's outcome, which gains are read against.
        study: the study, for `search.hopeless`.
    """
    rule = study.search.hopeless
    read = [o for o in outcomes if o.status == "scored" and o.interpolation != 0]
    if rule is None or not read or max(o.step for o in read) < rule.from_step:
        return None
    step = max(o.step for o in read)
    unsafe = [_unsafe(o, rule) for o in read]
    useless = [_useless(o, start, rule) for o in read]
    if not all(a or b for a, b in zip(unsafe, useless, strict=True)):
        return None
    whys = [f"the safety loss of {{}} is above {rule.safety_loss_above:g} nats"] if any(unsafe) else []
    whys += [f"the gain of {{}} is surely below {rule.gain_below:g}"] if any(useless) else []
    if all(unsafe) or all(useless):
        return f"hopeless at step {step}: {whys[0 if all(unsafe) else -1].format('every average')}"
    return (
        f"hopeless at step {step}: of every average {' or '.join(why.replace(' of {}', '') for why in whys)}"
    )


def _unsafe(outcome: Outcome, rule: Hopeless) -> bool:
    loss = outcome.diagnostics.get("safety_loss")
    return rule.safety_loss_above is not None and loss is not None and loss > rule.safety_loss_above


def _useless(outcome: Outcome, start: Outcome | None, rule: Hopeless) -> bool:
    won = None if rule.gain_below is None or start is None else gain(outcome, start)
    return won is not None and rule.gain_below is not None and won.high < rule.gain_below
