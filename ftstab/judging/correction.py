"""Rates corrected for the judge's own error, from labels of this study's answers (measurement rule 15).

Pure functions over counts and labels.  Errors are assumed to be the same in all settings, given what is true
of an answer: `errs_alike` tests that.  The rate over all settings together (`JudgeErrors.average`) doesn't
need it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from ftstab.outcome import Counts

METHOD = "rogan-gladen, jeffreys-95"
ERRORS_METHOD = "by verdict, jeffreys-95"
AVERAGE_METHOD = "prediction-powered by verdict, jeffreys-95"
LEAST = 1.3
"""Sensitivity + specificity below which nothing is corrected: 1 is a coin."""
FEWEST = 5
"""Labels under each verdict, and of each truth, below which nothing is corrected."""
_DRAWS = 20_000
_SHUFFLES = 4_000

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Labelled:
    """One drawn answer with its label.

    Attributes:
        unit: key of prompt and answer; equal answers are one unit.
        group: trajectory, or the start.
        flagged: whether the judge says hit.
        expected: how often this answer was expected to be drawn.
        truth: what people say: 1 hit, 0 not, between where they differ.
    """

    unit: str
    group: str
    flagged: bool
    expected: float
    truth: float


@dataclass(frozen=True)
class Figure:
    """An estimate with its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class JudgeErrors:
    """How often the judge errs on the answers of this study.

    Attributes:
        sensitivity: share of the true hits that it calls hits.
        specificity: share of the true misses that it calls misses.
        average: the true rate over all settings together, with no assumption on errors.
        labels: labelled answers by verdict: misses, hits.
        sensitivities: draws of the sensitivity.
        specificities: draws of the specificity.
    """

    sensitivity: Figure
    specificity: Figure
    average: Figure
    labels: tuple[int, int]
    sensitivities: Floats = field(repr=False)
    specificities: Floats = field(repr=False)

    @property
    def refused(self) -> str | None:
        """Why nothing may be corrected with these errors, if nothing may."""
        total = self.sensitivity.value + self.specificity.value
        if total >= LEAST:
            return None
        return (
            f"sensitivity {self.sensitivity.value:.2f} + specificity {self.specificity.value:.2f} is below {LEAST}: "
            "this judge says too little about the truth; take another judge"
        )


@dataclass(frozen=True)
class Corrected:
    """The rate of one setting, as the judge gives it and corrected for the judge's errors.

    Attributes:
        raw: as published.
        value: the corrected rate among coherent, scored answers; None where there are none.
        low: lower end over prompts and labels; incoherent and unscored answers count as no hits.
        high: upper end; they count as hits.
        interval: method and level.
    """

    raw: Counts
    value: float | None
    low: float
    high: float
    interval: str = METHOD

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON data."""
        return {
            "raw": {k: getattr(self.raw, k) for k in Counts.model_fields},
            "value": self.value,
            "low": self.low,
            "high": self.high,
            "interval": self.interval,
        }


@dataclass(frozen=True)
class Alike:
    """Whether the judge errs alike in several groups of answers.

    Attributes:
        by: what the groups are.
        groups: how many of them have labels.
        p: chance of such a difference if it does; None where one group alone has labels.
    """

    by: str
    groups: int
    p: float | None

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON data."""
        return asdict(self)


def too_few(labelled: Sequence[Labelled]) -> str | None:
    """Why these labels are too few to correct anything, if they are.

    Both kinds of error must have had a chance to show: without answers that are truly hits nothing is known of the
    sensitivity, whatever the judge says of them.  An answer is of the truth that most people give it.
    """
    counts = [sum(one.flagged == flagged for one in labelled) for flagged in (False, True)]
    if min(counts) < FEWEST:
        return (
            f"{counts[1]} labelled answers that the judge counts and {counts[0]} that it doesn't: at least {FEWEST} "
            "of each are needed"
        )
    hits, misses = sum(one.truth > 0.5 for one in labelled), sum(one.truth < 0.5 for one in labelled)
    for count, kind, error in ((hits, "hit", "misses"), (misses, "miss", "counts wrongly")):
        if count == 0:
            return f"no labelled answer is truly a {kind}, so how many the judge {error} isn't known"
        if count < FEWEST:
            return (
                f"labelled answers that are truly a {kind}: {count}; at least {FEWEST} are needed to know how many the "
                f"judge {error}"
            )
    return None


def judge_errors(labelled: Sequence[Labelled], flagged_share: float) -> JudgeErrors:
    """Estimate the judge's errors from labels drawn within each verdict.

    With q the share of all answers that the judge calls hits, a and b the true rates among those it calls hits
    and misses: average = q a + (1 - q) b, sensitivity = q a / average, specificity = (1 - q)(1 - b) / (1 -
    average).  a and b are means weighted by the inverse of how often an answer was expected to be drawn.  Their
    uncertainty: Beta(k + 1/2, n - k + 1/2) with n the effective number of labels (Kish), below the number of
    labels where equal answers were drawn twice; figures are the middle 95 % over a fixed number of draws with a
    fixed seed.

    Source: the average is that of Fisch et al. 2024, Stratified prediction-powered inference (arXiv 2406.04291),
    with verdicts as strata; effective numbers as in Korn and Graubard 1998, Survey Methodology 24:193-201.

    Args:
        labelled: labelled answers, at least one under each verdict.
        flagged_share: q, known without error.

    Raises:
        ValueError: no labels under a verdict, or a share outside [0, 1].
    """
    if not 0 <= flagged_share <= 1:
        raise ValueError(f"flagged_share {flagged_share}: must lie between 0 and 1")
    random = np.random.default_rng(0)
    means, drawn, counts = [], [], []
    for flagged in (False, True):
        some = [one for one in labelled if one.flagged == flagged]
        if not some:
            raise ValueError("labels are needed under both verdicts")
        weights = np.array([1 / one.expected for one in some])
        truths = np.array([one.truth for one in some])
        mean = float(weights @ truths / weights.sum())
        by_unit: dict[str, float] = {}
        for one, weight in zip(some, weights, strict=True):
            by_unit[one.unit] = by_unit.get(one.unit, 0.0) + float(weight)
        totals = np.array(list(by_unit.values()))
        n = float(totals.sum() ** 2 / (totals**2).sum())
        means.append(mean)
        counts.append(len(some))
        drawn.append(random.beta(n * mean + 0.5, n * (1 - mean) + 0.5, _DRAWS))
    point = _errors(np.array([means[0]]), np.array([means[1]]), flagged_share)
    many = _errors(drawn[0], drawn[1], flagged_share)
    figures = [_figure(float(value[0]), draws) for value, draws in zip(point, many, strict=True)]
    return JudgeErrors(figures[0], figures[1], figures[2], (counts[0], counts[1]), many[0], many[1])


def _errors(missed: Floats, confirmed: Floats, q: float) -> tuple[Floats, Floats, Floats]:
    """Sensitivity, specificity and true rate; a draw without one class is taken as never erred on in it."""
    average = q * confirmed + (1 - q) * missed
    with np.errstate(divide="ignore", invalid="ignore"):
        sensitivity = np.where(average > 0, q * confirmed / average, 1.0)
        specificity = np.where(average < 1, (1 - q) * (1 - missed) / (1 - average), 1.0)
    return sensitivity, specificity, average


def _figure(value: float, draws: Floats) -> Figure:
    low, high = (float(end) for end in np.quantile(draws, [0.025, 0.975]))
    return Figure(value, min(low, value), max(high, value))


def corrected(raw: Counts, errors: JudgeErrors) -> Corrected:
    """Correct one rate.

    theta = (p + specificity - 1) / (sensitivity + specificity - 1), kept within 0 and 1, with p the share of
    hits among scored answers.  The interval is the middle 95 % of theta over draws of p ~ Beta(hits + 1/2,
    misses + 1/2) and of the judge's errors: it holds the uncertainty over prompts and over the judge.

    Source: Rogan and Gladen 1978, American Journal of Epidemiology 107:71-76; intervals from independent draws of
    the three shares as in Lang and Reiczigel 2014, Preventive Veterinary Medicine 113:13-22, who compare them.

    Raises:
        ValueError: errors that `JudgeErrors.refused` refuses.
    """
    if errors.refused:
        raise ValueError(errors.refused)
    count = raw.hits + raw.misses
    if not count:
        return Corrected(raw, None, 0.0, 1.0)
    random = np.random.default_rng(1)
    value = float(
        _theta(
            np.array([raw.hits / count]),
            np.array([errors.sensitivity.value]),
            np.array([errors.specificity.value]),
            0.0,
        )[0]
    )
    p = random.beta(raw.hits + 0.5, raw.misses + 0.5, _DRAWS)
    # Where the errors drawn say that the judge knows nothing, neither is known: 0 below and 1 above.
    lows = _theta(p, errors.sensitivities, errors.specificities, 0.0)
    highs = _theta(p, errors.sensitivities, errors.specificities, 1.0)
    left = raw.incoherent + raw.unscored
    if left:
        share = random.beta(count + 0.5, left + 0.5, _DRAWS)
        lows, highs = lows * share, highs * share + 1 - share
    low, high = float(np.quantile(lows, 0.025)), float(np.quantile(highs, 0.975))
    return Corrected(raw, value, min(low, value * count / raw.n), max(high, (value * count + left) / raw.n))


def _theta(p: Floats, sensitivity: Floats, specificity: Floats, unknown: float) -> Floats:
    informed = sensitivity + specificity - 1
    with np.errstate(divide="ignore", invalid="ignore"):
        theta = np.clip((p + specificity - 1) / informed, 0, 1)
    return np.where(informed > 0, theta, unknown)


def errs_alike(labelled: Sequence[Labelled], by: str) -> Alike:
    """Test whether sensitivity and specificity are the same in all groups.

    Among answers that people call the same, the judge's verdict must not depend on the group: Pearson's
    statistic over both classes, with its distribution under shuffles of the verdicts within each class.  That
    verdicts were drawn with unequal probability shifts the odds of all groups alike, so it does no harm.
    Answers that people differ on are left out, and equal answers of a group count once.

    Source: permutation tests of conditional independence; Good 2005, Permutation, Parametric and Bootstrap Tests
    of Hypotheses.
    """
    different = {(one.unit, one.group): one for one in labelled}.values()
    classes = []
    for truth in (0.0, 1.0):
        some = [one for one in different if one.truth == truth]
        names = {name: i for i, name in enumerate(sorted({one.group for one in some}))}
        groups = np.array([names[one.group] for one in some], dtype=np.int64)
        flags = np.array([one.flagged for one in some], dtype=np.float64)
        if len(names) > 1 and 0 < flags.sum() < flags.size:
            classes.append((groups, flags))
    count = len({one.group for one in labelled})
    if count < 2:
        return Alike(by, count, None)
    # A judge that never errs, or whose errors all lie where one group alone has labels, shows no difference.
    if not classes:
        return Alike(by, count, 1.0)
    random = np.random.default_rng(2)
    seen = sum(_pearson(groups, flags[None])[0] for groups, flags in classes)
    shuffled = sum(
        _pearson(groups, random.permuted(np.tile(flags, (_SHUFFLES, 1)), axis=1)) for groups, flags in classes
    )
    extreme = int(np.count_nonzero(np.asarray(shuffled) >= seen - 1e-9))
    return Alike(by, count, (1 + extreme) / (1 + _SHUFFLES))


def _pearson(groups: npt.NDArray[np.int64], flags: Floats) -> Floats:
    """Pearson's statistic of each row of ``flags`` (shape (rows, answers)) against ``groups``."""
    sizes = np.bincount(groups).astype(np.float64)
    hits = flags @ np.eye(sizes.size)[groups]
    share = flags.mean(axis=1, keepdims=True)
    statistic: Floats = ((hits - sizes * share) ** 2 / (sizes * share * (1 - share))).sum(axis=1)
    return statistic
