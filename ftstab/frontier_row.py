"""One setting as a row: the figures of an outcome beside the start model's, before it is compared with other settings.

Pure functions over outcomes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, NamedTuple

from ftstab.constraints import PICK_LIMIT, Rise, constraint_excess, rise
from ftstab.evaluation.contrast import Contrast, refusal_contrast
from ftstab.evaluation.rates import Gain, gain
from ftstab.frontier_classes import FrontierClass
from ftstab.outcome import Outcome, Rate, Score
from ftstab.plan import idle_fields
from ftstab.recipes import trunk_of
from ftstab.spec import Study
from ftstab.spec.training import FREE_AXES
from ftstab.stats import Method, method_label, proportion, t_interval

PARAMETER_OF = {
    "steps": "steps",
    "ema_decay": "averaging",
    "averaging": "averaging",
    "interpolation": "interpolation",
}
"""The parameter of a row that each free axis sets."""


class Incoherence(NamedTuple):
    """Share of the answers to one set that are incoherent (`ftstab.evaluation.coherence`).

    Attributes:
        value: the share.
        low: lower end of its interval; None where asking stopped early, which no such interval would hold for.
        high: upper end, likewise.
        n: answers.
        interval: method and level of the ends; None where there are none.
    """

    value: float
    low: float | None
    high: float | None
    n: int
    interval: str | None


class SafetyLoss(NamedTuple):
    """Mean loss of a refusing opening minus that of a complying one, in nats (`evaluation.margin`); lower is safer.

    Attributes:
        value: the mean over harmful prompts.
        low: lower end of its interval; None with fewer than two prompts, or where no standard error was recorded.
        high: upper end, likewise.
        n: prompts; None where that wasn't recorded.
        interval: method and level of the ends; None where there are none.
    """

    value: float
    low: float | None
    high: float | None
    n: int | None
    interval: str | None


@dataclass(frozen=True)
class FrontierRow:
    """One setting as frontier, pick and report read it.

    Attributes:
        key: key of the outcome.
        setting: key of the setting.
        trajectory: key of its trajectory.
        trunk: key of its training: the same for trajectories that branch from one trunk.
        attempt: the physical training that its weights came from.
        start: whether this is the start model: a reference row, not a setting.
        status: `scored` or `diverged`.
        reason: why there are no numbers, when there are none.
        parameters: `steps`, `averaging`, `interpolation` and the fields of `training`, varied ones first.
        varied: names of the parameters that the study varies.
        seed: seed of training.
        step: optimizer updates.
        profile: short name of the averaging profile, e.g. `last`, `ema 0.9`, `feedback 0.9`.
        interpolation: scale of the change from the start.
        rate: the harmful-response rate under its proper name.
        harm_rise: its paired rise over the start.
        utility: the primary metric.
        gain: its paired gain over the start; above 0 is better, whatever the metric's direction.
        secondary: the other metric.
        secondary_gain: its paired gain.
        refusals: harmful prompts not refused, by the judge of the look-alikes, where that of ``rate`` sees harm and
            this one has read them; else None.
        over_refusal: refusals of safe look-alikes.
        over_refusal_rise: their paired rise over the start.
        coherence: share of incoherent answers by role.
        retained_weight: share of the average that is still the start model.
        half_life: number of last updates that hold half of the average; 0 for the last weights.
        rho: how far along the way of its trajectory it lies: 0 the start, 1 the last weights of its step; None for
            those themselves.
        distance_from_start: Euclidean distance of its weights from the start model's.
        nearest_snapshot: step of the snapshot of its trajectory that its weights lie nearest to; 0 is the start.
        nearest_snapshot_distance: how far.
        safety_loss: of its openings; None where the study doesn't measure it.
        posthoc_residual: of an average that was rebuilt from stored shadows, the share of its profile that is wrong;
            None for others.
        violated: the constraints of the study that it breaks, each with the figure (`PICK_LIMIT` aside).
        feasible: whether it was scored and breaks none of them.
        within_limit: whether it also keeps `PICK_LIMIT`; None where the study sets none, or nothing was scored.
        on_frontier: whether no feasible setting beats it on rate and gain.
        on_secondary_frontier: the same with the secondary metric; None where that wasn't measured.
        beaten_by_start: whether the start model is at least as good on both objectives and better on one.
        frontier_class: `surely on`, `possibly on` or `surely not` the frontier by margins and simultaneous bounds;
            None where it wasn't compared (not feasible, or not yet: `with_classes`).
        frontier_share: share of the resamples of the prompts in which the point values put it on the frontier.
    """

    key: str
    setting: str
    trajectory: str
    trunk: str
    attempt: str
    start: bool
    status: str
    reason: str | None
    parameters: dict[str, Any]
    varied: tuple[str, ...]
    seed: int | None
    step: int
    profile: str
    interpolation: float
    rate: Rate | None
    harm_rise: Rise | None
    utility: Score | None
    gain: Gain | None
    secondary: Score | None
    secondary_gain: Gain | None
    over_refusal: Rate | None
    over_refusal_rise: Rise | None
    coherence: dict[str, Incoherence]
    retained_weight: float | None
    half_life: float | None
    refusals: Rate | None = None
    rho: float | None = None
    distance_from_start: float | None = None
    nearest_snapshot: int | None = None
    nearest_snapshot_distance: float | None = None
    safety_loss: SafetyLoss | None = None
    posthoc_residual: float | None = None
    violated: tuple[str, ...] = ()
    feasible: bool = False
    within_limit: bool | None = None
    on_frontier: bool = False
    on_secondary_frontier: bool | None = None
    beaten_by_start: bool = False
    frontier_class: FrontierClass | None = None
    frontier_share: float | None = None

    def need_rate(self) -> Rate:
        """The harmful-response rate of a setting that is known to have one; ValueError where it hasn't."""
        if self.rate is None:
            raise ValueError(f"setting {self.key}: has no rate")
        return self.rate

    def need_gain(self) -> Gain:
        """The gain of a setting that is known to have one; ValueError where it hasn't."""
        if self.gain is None:
            raise ValueError(f"setting {self.key}: has no gain")
        return self.gain

    @property
    def has_numbers(self) -> bool:
        """Whether it has a rate and a gain, without which it can be neither compared nor chosen."""
        return self.rate is not None and self.rate.value is not None and self.gain is not None

    @property
    def read_parameters(self) -> dict[str, Any]:
        """Its parameters without those that had no part in it, such as a LoRA rank where all weights were trained."""
        idle = idle_fields(self.parameters)
        return {name: value for name, value in self.parameters.items() if name not in idle}

    @property
    def gain_shown(self) -> bool:
        """Whether the interval of the gain lies above 0."""
        return self.gain is not None and self.gain.shown

    @property
    def gain_label(self) -> str:
        """`gain shown`, `no gain shown` (the interval includes 0), `loss shown`, or `not measured`."""
        if self.gain is None:
            return "not measured"
        if self.gain.shown:
            return "gain shown"
        return "loss shown" if self.gain.high < 0 else "no gain shown"

    @property
    def contrast(self) -> Contrast | None:
        """Refusals on harmful prompts minus refusals on safe look-alikes."""
        return refusal_contrast(self.refusals or self.rate, self.over_refusal)

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON data.  `outcome` is the key of the outcome: what users call the key is the setting's."""
        plain = {name: as_plain(getattr(self, name)) for name in self.__dataclass_fields__}
        plain = {"outcome" if name == "key" else name: value for name, value in plain.items()}
        told = {"gain_shown": self.gain_shown, "gain_label": self.gain_label}
        return plain | told | {"refusal_contrast": as_plain(self.contrast)}


def make_row(outcome: Outcome, start: Outcome | None, study: Study, varied: tuple[str, ...]) -> FrontierRow:
    """Return the row of ``outcome``, not yet compared with others; ``start`` is None for the start itself."""
    scored = outcome.status == "scored"
    fed_back = outcome.diagnostics.get("feedback_decay")
    profile = outcome.profile.label if fed_back is None else f"feedback {fed_back:g}"
    free = {"steps": outcome.step, "averaging": profile, "interpolation": outcome.interpolation}
    known = {k: v for k, v in outcome.training.items() if k != "seed"} | free
    parameters = {n: known[n] for n in varied if n in known} | free | known
    harmful = outcome.rates.get("harmful")
    over = outcome.rates.get("over_refusal")
    excess = constraint_excess(outcome, start, study) if scored and start is not None else {}
    # The absolute limit on harm says where to pick on the frontier; it doesn't narrow the frontier itself.
    beyond = excess.pop(PICK_LIMIT, None)
    violated = tuple(f"{name} exceeded by {100 * by:.1f} points" for name, by in excess.items() if by > 0)
    measured = harmful is not None and harmful.value is not None
    reason = outcome.reason
    if scored and not measured and reason is None:
        reason = "no answer to a harmful prompt could be scored"
    compare = start if scored else None
    won = gain(outcome, compare) if compare else None
    if scored and measured and compare and won is None and reason is None:
        reason = "no gain over the start could be measured"
    return FrontierRow(
        key=outcome.key,
        setting=outcome.setting,
        trajectory=outcome.trajectory,
        trunk=trunk_of(outcome),
        attempt=outcome.attempt,
        start=outcome.start,
        status=outcome.status,
        reason=reason,
        parameters=parameters,
        varied=varied,
        seed=outcome.seed,
        step=outcome.step,
        profile=profile,
        interpolation=outcome.interpolation,
        rate=harmful,
        harm_rise=rise(outcome, compare, "harmful") if compare and harmful else None,
        utility=outcome.utility,
        gain=won,
        secondary=outcome.secondary,
        secondary_gain=gain(outcome, compare, "secondary") if compare and outcome.secondary else None,
        refusals=outcome.refusals,
        over_refusal=over,
        over_refusal_rise=rise(outcome, compare, "over_refusal") if compare and over else None,
        coherence={
            role: _incoherence(outcome, role, study.evaluation.interval)
            for role in outcome.coherence
            if outcome.marks.get(role)
        },
        retained_weight=outcome.diagnostics.get("retained_weight"),
        half_life=outcome.diagnostics.get("half_life"),
        posthoc_residual=outcome.diagnostics.get("posthoc_residual"),
        **_position(outcome),
        safety_loss=_safety_loss(outcome.diagnostics),
        violated=violated,
        feasible=measured and won is not None and not violated,
        within_limit=None if beyond is None else beyond <= 0,
        beaten_by_start=_beaten(outcome, won, compare),
    )


def place(row: FrontierRow) -> tuple[Any, ...]:
    """Return what settings are ordered by: varied trained parameters, seed, step, last weights first."""
    trained = [row.parameters.get(n) for n in row.varied if n not in ("steps", "averaging", "interpolation")]
    keys = tuple((0, float(v), "") if isinstance(v, int | float) else (1, 0.0, str(v)) for v in trained)
    return (keys, row.seed or 0, row.step, row.interpolation, row.profile != "last", row.profile)


def varied_parameters(outcomes: Sequence[Outcome], study: Study) -> tuple[str, ...]:
    """Return the names of the parameters with more than one value: trained ones first, then free axes."""
    axes = study.axes
    names = []
    for axis in ("learning_rate", "batch_size", *type(axes).model_fields):
        name = PARAMETER_OF.get(axis, axis)
        several = axes.varied(axis) or (axis == "averaging" and axes.averaging and axes.ema_decay)
        if several and name not in names:
            names.append(name)
    # Free axes last: they are read off one trajectory.
    names.sort(key=lambda n: n in FREE_AXES)
    seen: dict[str, set[str]] = {}
    for outcome in outcomes:
        for name, value in outcome.training.items():
            seen.setdefault(name, set()).add(repr(value))
    names += [n for n, values in seen.items() if len(values) > 1 and n not in names and n != "seed"]
    return tuple(names)


def as_plain(value: Any) -> Any:
    """Return JSON data from records, dataclasses and containers; a number that isn't finite becomes null."""
    if hasattr(value, "model_dump"):
        value = value.model_dump()
    elif hasattr(value, "_asdict"):
        value = value._asdict()
    elif is_dataclass(value) and not isinstance(value, type):
        value = {f.name: getattr(value, f.name) for f in fields(value)}
    if isinstance(value, dict):
        return {k: as_plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [as_plain(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _incoherence(outcome: Outcome, role: str, method: Method) -> Incoherence:
    """The share of incoherent answers to the set ``role``, with what it was counted over."""
    value, n = outcome.coherence[role], len(outcome.marks[role])
    if role in outcome.rates and outcome.rates[role].stopped:
        return Incoherence(value, None, None, n, None)
    low, high = proportion(round(value * n), n, method)
    return Incoherence(value, low, high, n, method_label(method))


def _safety_loss(found: Mapping[str, float]) -> SafetyLoss | None:
    """The safety loss among the diagnostics of an outcome."""
    value, n, error = (found.get(f"safety_loss{what}") for what in ("", "_n", "_se"))
    if value is None:
        return None
    if n is None or n < 2 or error is None:
        return SafetyLoss(value, None, None, None if n is None else int(n), None)
    low, high = t_interval(value, error, int(n))
    return SafetyLoss(value, low, high, int(n), "t-95")


def _position(outcome: Outcome) -> dict[str, Any]:
    """Where it lies on the way of its trajectory (`ftstab.training.position`)."""
    found = outcome.diagnostics
    nearest = found.get("nearest_snapshot")
    return {
        "rho": found.get("rho"),
        "distance_from_start": found.get("distance_from_start"),
        "nearest_snapshot": None if nearest is None else int(nearest),
        "nearest_snapshot_distance": found.get("nearest_snapshot_distance"),
    }


def _beaten(outcome: Outcome, won: Gain | None, start: Outcome | None) -> bool:
    """Whether the start is at least as good on rate and gain, and better on one."""
    if start is None or won is None:
        return False
    mine, other = outcome.rates["harmful"].value, start.rates["harmful"].value
    if mine is None or other is None:
        return False
    return mine >= other and won.value <= 0 and (mine > other or won.value < 0)
