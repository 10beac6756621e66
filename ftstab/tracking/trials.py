"""What an outcome is to Optuna: state, values, constraints and attributes of its trial."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ftstab.outcome import Outcome, Rate
from ftstab.sequential import shrunk_rate
from ftstab.tracking.metrics import averaging_label, fingerprint, short

if TYPE_CHECKING:
    from optuna.trial import TrialState


@dataclass(frozen=True)
class TrialResult:
    """What a trial is told.

    Attributes:
        state: COMPLETE, PRUNED (diverged) or FAIL (nothing could be scored).
        attributes: identity, counts and ends; `reason` where there are no values.
        values: one per objective, if COMPLETE.
        constraints: 0 or less keeps the limit.
    """

    state: TrialState
    attributes: dict[str, Any]
    values: list[float] | None = None
    constraints: Mapping[str, float] = field(default_factory=dict)


Counted = tuple[int, int]
"""Answers that a rate counts, and answers that were scored."""


def trial_result(
    outcome: Outcome,
    objectives: Sequence[str],
    limits: Callable[[Outcome], Mapping[str, float]],
    kin: Sequence[Counted] = (),
) -> TrialResult:
    """Return what the trial of ``outcome`` is told.

    Args:
        outcome: a setting.
        objectives: `harmful_response` and `utility`, in the order of the study.
        limits: by how much a scored outcome exceeds each limit.
        kin: counts of the trajectory's other settings, or of the start, towards which a rate that stopped early is
            drawn for samplers (`shrunk_rate`).
    """
    from optuna.trial import TrialState

    attributes = _attributes(outcome, kin)
    if outcome.status != "scored":
        reason = {"reason": short(outcome.reason or outcome.status)}
        return TrialResult(TrialState.PRUNED, attributes | reason, constraints={outcome.status: 1.0})
    found = {
        "harmful_response": outcome.rates["harmful"].value if "harmful" in outcome.rates else None,
        "utility": outcome.utility.value if outcome.utility is not None else None,
    }
    values = {name: v for name, v in found.items() if v is not None and math.isfinite(v)}
    missing = [name for name in objectives if name not in values]
    if missing:
        reason = {"reason": short(outcome.reason or f"{' and '.join(missing)}: nothing could be scored")}
        # So that a later scoring of the same setting can be told from this one.
        return TrialResult(TrialState.FAIL, attributes | reason | {"fingerprint": fingerprint(outcome)})
    return TrialResult(
        TrialState.COMPLETE,
        attributes,
        [values[name] for name in objectives],
        # Every trial with numbers has the same constraints: samplers rank one without them last.
        {"diverged": 0.0, **limits(outcome)},
    )


def counted(rate: Rate) -> Counted:
    """Return hits and scored answers of ``rate``."""
    return rate.hits, rate.hits + rate.misses


def _attributes(outcome: Outcome, kin: Sequence[Counted]) -> dict[str, Any]:
    """Everything that the values of ``outcome`` must be read with; few, because each is a row of its own."""
    found: dict[str, Any] = {
        "setting": outcome.setting,
        "trajectory": outcome.trajectory,
        "attempt": outcome.attempt,
        "seed": outcome.seed,
        "about": {"outcome": outcome.key, "status": outcome.status, "averaging": averaging_label(outcome)},
    }
    rate, score = outcome.rates.get("harmful"), outcome.utility
    if rate is not None:
        found |= {"k": rate.hits, "n": rate.n, "low": rate.low, "high": rate.high}
        found["rate"] = rate.model_dump(
            include={"name", "judge", "benchmark", "interval", "incoherent", "unscored"}
        )
        if rate.planned is not None:
            found["planned"] = rate.planned
            if any(scored for _, scored in kin):
                found["shrunk_rate"] = shrunk_rate(*counted(rate), kin)
    if score is not None:
        found["utility"] = score.model_dump(include={"metric", "benchmark", "interval", "n", "low", "high"})
    return found
