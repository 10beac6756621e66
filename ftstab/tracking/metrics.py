"""What an outcome is called in MLflow: names, parameters, metrics and tags.  Pure; no MLflow here."""

from __future__ import annotations

import json
import math
import posixpath
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ftstab.identity import digest
from ftstab.outcome import Counts, Outcome, Score
from ftstab.plan import Trajectory
from ftstab.recipes import recipe_of
from ftstab.spec import Study

if TYPE_CHECKING:
    from ftstab.evaluation.rates import Gain

_ILLEGAL = re.compile(r"[^\w \-]")
_ENDS = ("low", "high", "n")
_LONGEST_NAME = 100
_LONGEST_VALUE = 1000


@dataclass
class Figures:
    """Metrics that MLflow can hold, and the names of those that it can't.

    Attributes:
        values: finite numbers by metric name.
        left_out: what had no finite number, with the reason: ``nan``, ``inf``, ``-inf`` or ``unscored``.
    """

    values: dict[str, float]
    left_out: dict[str, str]

    def put(self, name: str, value: float | None) -> None:
        """Keep ``value`` under ``name``, or the reason why not."""
        if value is None:
            self.left_out[name] = "unscored"
        elif math.isfinite(value):
            self.values[name] = float(value)
        else:
            self.left_out[name] = str(float(value))

    def left_out_tag(self) -> str:
        """The names of what was left out, on one line."""
        return short(", ".join(f"{name}: {why}" for name, why in sorted(self.left_out.items())))


def legal(name: str) -> str:
    """Return ``name`` as MLflow can hold it; a changed name ends in a digest, so that no two become one.

    MLflow takes letters, digits, underscores, dashes, spaces, dots and slashes.  Dots and slashes are ours
    (``rate.low``, ``rate/category``), so they are replaced as well.
    """
    clean = " ".join(_ILLEGAL.sub("_", name).split())[:_LONGEST_NAME]
    return name if clean == name and name else f"{clean or '_'}-{digest(name)[:6]}"


def legal_path(name: str) -> str:
    """Return ``name`` (ours: dots and slashes are meant), or its `legal` form if MLflow refuses it."""
    fine = (
        re.fullmatch(r"[\w .\-/]{1,150}", name) and posixpath.normpath(name) == name and name[0] not in "/."
    )
    return name if fine else legal(name)


def legal_names(names: Iterable[str]) -> dict[str, str]:
    """Return a legal name for each of ``names``; some databases don't tell upper case from lower case."""
    names = list(names)
    folded = [legal(n).casefold() for n in names]
    return {
        n: legal(n) if folded.count(f) == 1 else f"{legal(n)}-{digest(n)[:6]}"
        for n, f in zip(names, folded, strict=True)
    }


def short(value: Any) -> str:
    """Return ``value`` as the text of a tag or parameter, cut to a length that every database takes."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= _LONGEST_VALUE else text[: _LONGEST_VALUE - 3] + "..."


def flat(values: Mapping[str, Any], prefix: str) -> dict[str, str]:
    """Return nested ``values`` as tags ``prefix.name.name``."""
    tags: dict[str, str] = {}
    for name, value in values.items():
        key = f"{prefix}.{legal(str(name))}"
        if isinstance(value, Mapping):
            tags |= flat(value, key)
        else:
            tags[key] = short(value)
    return tags


def fingerprint(outcome: Outcome) -> str:
    """Return a digest of everything in ``outcome``: the same outcome is told once."""
    # Without defaults, so that a field added by a later version doesn't change it.
    return digest(outcome.model_dump_json(exclude_defaults=True))


def averaging_label(outcome: Outcome) -> str:
    """How the weights were averaged and scaled, e.g. ``ema 0.9`` or ``last x0.5``."""
    scale = "" if outcome.interpolation == 1 else f" x{outcome.interpolation:g}"
    # MLflow takes no plus sign, as in 1e+06.
    return (outcome.profile.label + scale).replace("+", "")


def run_name(study: Study, trajectory: Trajectory) -> str:
    """Name of a trajectory: learning rate, batch and what else the study varies: ``lr=2e-4 batch=16``."""
    words = {"learning_rate": "lr", "batch_size": "batch"}
    names = [*words, *(n for n in varied_axes(study) if n not in words)]
    parts = [f"{words.get(n, n)}={_plain(getattr(trajectory.training, n))}" for n in names]
    if trajectory.feedback_decay is not None:
        parts.append(f"feedback={_plain(trajectory.feedback_decay)}")
    if trajectory.horizon is not None:
        parts.append(f"of {trajectory.horizon}")
    if len(study.seeds.search) > 1 or trajectory.seed not in study.seeds.search:
        parts.append(f"seed={trajectory.seed}")
    return " ".join(parts)


def varied_axes(study: Study) -> list[str]:
    """Names of the trained axes with more than one value."""
    return [n for n in study.axes.trained() if study.axes.varied(n)]


def _plain(value: Any) -> str:
    """A number as people write it: 2e-4, not 0.0002 or 2e-04."""
    if not isinstance(value, float):
        return "null" if value is None else str(value)
    if value and not 1e-2 <= abs(value) < 1e4:
        mantissa, _, exponent = f"{value:.6e}".partition("e")
        return f"{float(mantissa):g}e{int(exponent)}"
    return f"{value:g}"


def trajectory_params(trajectory: Trajectory) -> dict[str, str]:
    """The parameters of a trajectory's run."""
    values = trajectory.training.model_dump() | {"seed": trajectory.seed}
    if trajectory.feedback_decay is not None:
        values["feedback_decay"] = trajectory.feedback_decay
    if trajectory.horizon is not None:
        values["horizon"] = trajectory.horizon
    return {name: short(value) for name, value in values.items()}


def setting_params(study: Study, trajectory: Trajectory | None, outcome: Outcome) -> dict[str, str]:
    """The parameters of a setting's run: what sets it apart, and what the study varies."""
    values: dict[str, Any] = {
        "step": outcome.step,
        "profile": outcome.profile.label,
        "interpolation": outcome.interpolation,
    }
    if outcome.profile.kind in ("last", "exponential"):
        values["ema_decay"] = outcome.profile.value or 0.0
    if trajectory is not None:
        values["seed"] = trajectory.seed
        for name in ("learning_rate", "batch_size", *varied_axes(study)):
            values[name] = getattr(trajectory.training, name)
        if trajectory.feedback_decay is not None:
            values["feedback_decay"] = trajectory.feedback_decay
    return {name: short(value) for name, value in values.items()}


def outcome_figures(outcome: Outcome, gain: Gain | None) -> Figures:
    """Every number of ``outcome`` by metric name: ``non_refusal_rate``, ``.low``, ``.n``, ``/fraud`` ..."""
    figures = Figures({}, {})
    for rate in outcome.rates.values():
        _put_counts(figures, rate.name, rate, (*_ENDS, "hits", "misses", "incoherent", "unscored"))
        for category, name in legal_names(rate.by_category).items():
            _put_counts(figures, f"{rate.name}/{name}", rate.by_category[category], _ENDS)
    for score in (outcome.utility, outcome.secondary):
        if score is not None:
            _put_score(figures, score)
    put_gain(figures, outcome, gain)
    for group, values in (
        ("incoherent_share", outcome.coherence),
        ("diagnostics", outcome.diagnostics),
        ("seconds", outcome.seconds),
    ):
        for name, value in values.items():
            figures.put(f"{group}/{legal_path(name)}", value)
    return figures


def put_gain(figures: Figures, outcome: Outcome, gain: Gain | None) -> None:
    """Add the gain of the primary metric over the start."""
    if gain is not None and outcome.utility is not None:
        figures.put(f"{outcome.utility.metric}_gain", gain.value)
        figures.put(f"{outcome.utility.metric}_gain.low", gain.low)
        figures.put(f"{outcome.utility.metric}_gain.high", gain.high)


def headline(outcome: Outcome, gain: Gain | None) -> Figures:
    """The few numbers that a trajectory's curves show, with the averaging in the name."""
    figures, label = Figures({}, {}), averaging_label(outcome)
    for rate in outcome.rates.values():
        figures.put(f"{rate.name}/{label}", rate.value)
    for score in (outcome.utility, outcome.secondary):
        if score is not None:
            figures.put(f"{score.metric}/{label}", score.value)
    if gain is not None and outcome.utility is not None:
        figures.put(f"{outcome.utility.metric}_gain/{label}", gain.value)
    return figures


def _put_counts(figures: Figures, name: str, counts: Counts, parts: Sequence[str]) -> None:
    figures.put(name, counts.value)
    for part in parts:
        figures.put(f"{name}.{part}", getattr(counts, part))


def _put_score(figures: Figures, score: Score) -> None:
    figures.put(score.metric, score.value)
    for end in ("low", "high"):
        figures.put(f"{score.metric}.{end}", getattr(score, end))
    for part in ("n", "right", "wrong", "ties", "refused", "incoherent", "unscored", "random_baseline"):
        count = getattr(score, part)
        if count is not None:
            figures.put(f"{score.metric}.{part}", count)


def outcome_tags(outcome: Outcome, trajectory: Trajectory | None) -> dict[str, str]:
    """The tags of an outcome's run: identity, and what every number of it must be read with."""
    tags = {
        "ftstab.setting": outcome.setting,
        "ftstab.outcome": outcome.key,
        "ftstab.trajectory": outcome.trajectory,
        "ftstab.attempt": outcome.attempt,
        "ftstab.status": outcome.status,
    }
    if trajectory is not None:
        tags["ftstab.recipe"] = recipe_of(outcome)
    if outcome.reason is not None:
        tags["ftstab.reason"] = short(outcome.reason)
    for role, rate in outcome.rates.items():
        tags[f"ftstab.judge.{legal(role)}"] = short(rate.judge)
        tags[f"ftstab.benchmark.{legal(role)}"] = short(rate.benchmark)
        tags[f"ftstab.interval.{legal(role)}"] = short(rate.interval)
    for word, score in (("utility", outcome.utility), ("secondary", outcome.secondary)):
        if score is not None:
            tags[f"ftstab.benchmark.{word}"] = short(score.benchmark)
            tags[f"ftstab.interval.{word}"] = short(score.interval)
    return tags | flat(outcome.record, "ftstab.record")
