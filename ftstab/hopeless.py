"""Whether a trajectory is worth going on with, from what was read off it at one step.  Pure.

Divergence ends a trajectory because nothing can follow; being hopeless is a judgement of the study file, and its
settings are told to a search as what they are: not trained, and not to be sought.
"""

from __future__ import annotations

from collections.abc import Sequence

from ftstab.evaluation.rates import gain
from ftstab.outcome import Outcome
from ftstab.spec import Study


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
    if rule.safety_loss_above is not None:
        losses = [o.diagnostics.get("safety_loss") for o in read]
        if all(loss is not None and loss > rule.safety_loss_above for loss in losses):
            return f"hopeless at step {step}: the safety loss of every average is above {rule.safety_loss_above:g} nats"
    if rule.gain_below is not None and start is not None:
        won = [gain(o, start) for o in read]
        if all(w is not None and w.high < rule.gain_below for w in won):
            return f"hopeless at step {step}: the gain of every average is surely below {rule.gain_below:g}"
    return None
