"""Intervals and tests against published values, their written definitions, and exact coverage."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import optimize
from scipy import stats as reference

from ftstab.stats import (
    clopper_pearson,
    discordant_lower,
    mcnemar_exact,
    mean_interval,
    newcombe_paired,
    newcombe_unpaired,
    rank_correlation,
    ratio_interval,
    wilson,
)

COUNTS = [(k, n) for n in (1, 2, 7, 29, 50, 148) for k in sorted({0, 1, n // 3, n // 2, n - 1, n})]
TABLES = [
    (36, 12, 2, 0),
    (1, 1, 7, 12),
    (20, 0, 0, 30),
    (0, 9, 4, 0),
    (3, 40, 1, 6),
    (50, 0, 0, 0),
    (5, 0, 3, 1),
]


# Newcombe 1998, Statistics in Medicine 17:857-872, table I, methods 3 and 5.
@pytest.mark.parametrize(
    ("k", "n", "score", "exact"),
    [
        (81, 263, (0.2553, 0.3662), (0.2527, 0.3676)),
        (15, 148, (0.0624, 0.1605), (0.0578, 0.1617)),
        (0, 20, (0.0000, 0.1611), (0.0000, 0.1684)),
        (1, 29, (0.0061, 0.1718), (0.0009, 0.1776)),
    ],
)
def test_single_proportions_equal_the_published_table(k, n, score, exact):
    assert wilson(k, n) == pytest.approx(score, abs=5e-5)
    assert clopper_pearson(k, n) == pytest.approx(exact, abs=5e-5)


@pytest.mark.parametrize(("k", "n"), COUNTS)
def test_wilson_ends_are_where_the_score_test_rejects(k, n):
    z = reference.norm.ppf(0.975)

    def excess(p):
        return abs(k / n - p) - z * math.sqrt(p * (1 - p) / n)

    low, high = wilson(k, n)
    if k > 0:
        assert low == pytest.approx(optimize.brentq(excess, 1e-12, k / n - 1e-12), abs=1e-9)
    if k < n:
        assert high == pytest.approx(optimize.brentq(excess, k / n + 1e-12, 1 - 1e-12), abs=1e-9)


@pytest.mark.parametrize(("k", "n"), COUNTS)
def test_clopper_pearson_ends_are_where_the_binomial_tails_hold_half_of_alpha(k, n):
    low, high = clopper_pearson(k, n)
    if k > 0:
        assert sum(_binomial(x, n, low) for x in range(k, n + 1)) == pytest.approx(0.025, abs=1e-9)
    if k < n:
        assert sum(_binomial(x, n, high) for x in range(k + 1)) == pytest.approx(0.025, abs=1e-9)


@pytest.mark.parametrize("level", [0.8, 0.95, 0.99])
@pytest.mark.parametrize(("k", "n"), COUNTS)
def test_single_proportions_equal_scipy(k, n, level):
    test = reference.binomtest(k, n)
    assert wilson(k, n, level) == pytest.approx(test.proportion_ci(level, "wilson"), abs=1e-12)
    assert clopper_pearson(k, n, level) == pytest.approx(test.proportion_ci(level, "exact"), abs=1e-9)


@pytest.mark.parametrize("interval", [wilson, clopper_pearson])
def test_nothing_asked_is_nothing_known_and_the_ends_are_exact(interval):
    assert interval(0, 0) == (0, 1)
    for n in range(1, 200):
        assert interval(0, n).low == 0
        assert interval(n, n).high == 1


@pytest.mark.parametrize("n", [50, 60, 77, 100, 120, 240, 520])
def test_wilson_covers_what_it_says(n):
    ends = np.array([wilson(k, n) for k in range(n + 1)])
    # Coverage jumps at the ends of the intervals, so the lowest values stand right beside them.
    jumps = ends[(ends >= 0.01) & (ends <= 0.99)]
    beside = np.concatenate([jumps - 1e-9, jumps + 1e-9])
    assert 0.945 <= _coverage(ends, np.linspace(0.01, 0.99, 1961)).mean() <= 0.955
    assert _coverage(ends, beside).min() >= 0.89


def test_wilson_is_nowhere_far_below_what_it_says():
    """Every size from 50 on, just below and above each end of an interval, where coverage jumps (rule 14)."""
    lowest = {}
    for n in range(50, 131):
        ends = np.array([wilson(k, n) for k in range(n + 1)])
        # By symmetry the lower half of the rates is enough.
        jumps = np.append(ends[(ends >= 0.01) & (ends <= 0.5)], 0.01 + 1e-9)
        lowest[n] = _coverage(ends, np.concatenate([jumps - 1e-9, jumps + 1e-9])).min()
    assert min(lowest.values()) >= 0.89, min(lowest.items(), key=lambda item: item[1])


@pytest.mark.parametrize("n", [10, 50, 120])
def test_clopper_pearson_never_covers_less_than_it_says(n):
    ends = np.array([clopper_pearson(k, n) for k in range(n + 1)])
    jumps = ends[(ends > 0) & (ends < 1)]
    assert _coverage(ends, np.concatenate([jumps - 1e-9, jumps + 1e-9])).min() >= 0.95


# (36, 12, 2, 0): Newcombe 1998, Statistics in Medicine 17:2635-2650.  (1, 1, 7, 12): airway
# hyper-responsiveness, Fagerland, Lydersen and Laake 2014, Statistics in Medicine 33:2850-2875.
@pytest.mark.parametrize(
    ("table", "published", "digits"),
    [((36, 12, 2, 0), (0.0569, 0.3404), 4), ((1, 1, 7, 12), (-0.507, -0.026), 3)],
)
def test_paired_difference_equals_the_published_value(table, published, digits):
    assert newcombe_paired(*table) == pytest.approx(published, abs=0.51 * 10**-digits)


@pytest.mark.parametrize("table", TABLES)
def test_paired_difference_equals_its_written_definition(table):
    assert newcombe_paired(*table) == pytest.approx(_newcombe_as_written(*table), abs=1e-12)


@pytest.mark.parametrize("table", TABLES)
def test_paired_difference_turns_with_its_sides(table):
    both, first, second, neither = table
    low, high = newcombe_paired(both, first, second, neither)
    assert newcombe_paired(both, second, first, neither) == pytest.approx((-high, -low))
    assert newcombe_paired(neither, first, second, both) == pytest.approx((low, high))
    assert -1 <= low <= (first - second) / sum(table) <= high <= 1


def test_paired_difference_of_nothing_is_unknown():
    assert newcombe_paired(0, 0, 0, 0) == (-1, 1)


def test_paired_difference_covers_what_it_says():
    n = 30
    tables = [
        (a, b, c, n - a - b - c) for a in range(n + 1) for b in range(n + 1 - a) for c in range(n + 1 - a - b)
    ]
    ends = np.array([newcombe_paired(*t) for t in tables])
    found = []
    for p in [(0.7, 0.1, 0.05), (0.02, 0.1, 0.05), (0.3, 0.2, 0.2), (0.4, 0.3, 0.02), (0.1, 0.02, 0.02)]:
        truth = (*p, 1 - sum(p))
        weight = reference.multinomial.pmf(tables, n, truth)
        found.append(float(weight[(ends[:, 0] <= p[1] - p[2]) & (p[1] - p[2] <= ends[:, 1])].sum()))
    assert min(found) >= 0.93
    assert 0.94 <= np.mean(found) <= 0.98


def _errs(upper, first, second, n, rise, other):
    """How often an upper limit by counts lies below the true ``rise``, where the other share is ``other``: exact."""
    cells = np.array([rise + other, other, 1 - rise - 2 * other])
    counts = np.array([first, second, n - first - second])
    weight = reference.multinomial.pmf(counts.T, n, cells)
    return float(weight[upper <= rise].sum())


@pytest.mark.parametrize("n", [20, 40, 80])
def test_a_bound_on_a_rise_errs_no_more_than_it_says(n):
    first, second = np.array([(a, b) for a in range(n + 1) for b in range(n + 1 - a)]).T
    bound = -discordant_lower(second, first, n, 0.9)
    # Newcombe's interval where both agree on every other unit: shown, and no test.
    shown = [newcombe_paired(0, a, b, n - a - b, 0.9).high for a, b in zip(first, second, strict=True)]
    found, other = [], []
    for rise in (0.02, 0.05, 0.1, 0.2, 0.3):
        for share in np.append(np.linspace(1e-9, 0.02, 4), np.linspace(0.04, (1 - rise) / 2 - 1e-9, 8)):
            found.append(_errs(bound, first, second, n, rise, share))
            other.append(_errs(np.array(shown), first, second, n, rise, share))
    assert max(found) <= 0.05
    # Not by never holding, and where the other does err too often.
    assert max(found) > 0.04
    assert max(other) > 0.055


def test_a_bound_on_a_rise_by_hand():
    low, high = clopper_pearson(7, 50, 0.9), clopper_pearson(2, 50, 0.9)
    below, above, related = 0.14 - low.low, high.high - 0.04, math.sqrt(0.14 * 0.04 / (0.86 * 0.96))
    expected = 0.1 - math.sqrt(below**2 + above**2 + 2 * related * below * above)
    assert discordant_lower(7, 2, 50, 0.9) == pytest.approx(expected)
    assert discordant_lower([[7, 0]], [[2, 50]], 50, 0.9).shape == (1, 2)
    assert discordant_lower(0, 50, 50, 0.9) == -1


# Newcombe 1998, Statistics in Medicine 17:873-890, table II, method 10.
@pytest.mark.parametrize(
    ("counts", "published"),
    [
        ((56, 70, 48, 80), (0.0524, 0.3339)),
        ((9, 10, 3, 10), (0.1705, 0.8090)),
        ((6, 7, 2, 7), (0.0582, 0.8062)),
        ((5, 56, 0, 29), (-0.0381, 0.1926)),
        ((0, 10, 0, 20), (-0.1611, 0.2775)),
        ((0, 10, 0, 10), (-0.2775, 0.2775)),
        ((10, 10, 0, 20), (0.6791, 1.0)),
        ((10, 10, 0, 10), (0.6075, 1.0)),
    ],
)
def test_unpaired_difference_equals_the_published_value(counts, published):
    assert newcombe_unpaired(*counts) == pytest.approx(published, abs=5e-5)


def test_unpaired_difference_turns_with_its_sides():
    low, high = newcombe_unpaired(5, 56, 3, 29)
    assert newcombe_unpaired(3, 29, 5, 56) == pytest.approx((-high, -low))
    assert newcombe_unpaired(51, 56, 26, 29) == pytest.approx((-high, -low))
    assert newcombe_unpaired(0, 0, 0, 0) == (-1, 1)
    assert newcombe_unpaired(0, 0, 0, 29) == (-wilson(0, 29).high, 1)


def test_unpaired_difference_covers_what_it_says():
    m, n = 40, 30
    ends = np.array([[newcombe_unpaired(a, m, b, n) for b in range(n + 1)] for a in range(m + 1)])
    found = []
    for p, q in [(0.95, 0.3), (0.9, 0.9), (0.5, 0.2), (0.99, 0.05), (0.7, 0.6), (0.05, 0.05)]:
        weight = np.outer(
            reference.binom.pmf(np.arange(m + 1), m, p), reference.binom.pmf(np.arange(n + 1), n, q)
        )
        found.append(float(weight[(ends[..., 0] <= p - q) & (p - q <= ends[..., 1])].sum()))
    assert min(found) >= 0.92
    assert 0.94 <= np.mean(found) <= 0.98


@pytest.mark.parametrize(("first", "second"), [(0, 0), (1, 0), (1, 7), (5, 5), (12, 2), (0, 6), (40, 61)])
def test_mcnemar_equals_its_written_definition_and_scipy(first, second):
    n = first + second
    tail = sum(_binomial(x, n, 0.5) for x in range(min(first, second) + 1))
    assert mcnemar_exact(first, second) == pytest.approx(min(1, 2 * tail))
    assert mcnemar_exact(first, second) == mcnemar_exact(second, first)
    if n:
        assert mcnemar_exact(first, second) == pytest.approx(reference.binomtest(first, n).pvalue)


def test_mcnemar_rejects_no_more_than_it_says():
    for n in range(1, 200):
        size = sum(_binomial(k, n, 0.5) for k in range(n + 1) if mcnemar_exact(k, n - k) <= 0.05)
        assert size <= 0.05


@pytest.mark.parametrize("n", [2, 3, 10, 200])
def test_mean_interval_equals_scipy(n):
    values = np.random.default_rng(n).normal(3, 2, n)
    expected = reference.t.interval(0.9, n - 1, values.mean(), values.std(ddof=1) / math.sqrt(n))
    assert mean_interval(values, 0.9) == pytest.approx(expected)


def test_equal_values_in_steps_leave_the_doubt_of_one():
    values = [0.5] * 20
    half = reference.t.ppf(0.975, 19) / 20
    assert mean_interval(values, grain=1.0) == pytest.approx((0.5 - half, 0.5 + half))
    assert mean_interval(values) == pytest.approx((0.5, 0.5))


def test_below_two_values_nothing_is_known():
    assert mean_interval([]) == (-math.inf, math.inf)
    assert mean_interval([3.0]) == (-math.inf, math.inf)


def test_ratio_interval_equals_its_written_definition():
    totals, weights = [2.0, 9.0, 4.0, 1.0], [1, 4, 2, 1]
    ratio = 16 / 8
    squares = sum((y - ratio * w) ** 2 for y, w in zip(totals, weights, strict=True))
    half = reference.t.ppf(0.975, 3) * math.sqrt(4 / 3 * squares) / 8
    assert ratio_interval(totals, weights) == pytest.approx((ratio - half, ratio + half))


def test_ratio_interval_covers_what_it_says():
    rng = np.random.default_rng(1)
    hits, repeats = 0, 2000
    for _ in range(repeats):
        # Longer rows have lower losses, so weighting matters: the ratio is E[tokens x loss] / E[tokens].
        tokens = rng.integers(5, 60, 50)
        losses = 2 - 0.01 * tokens + rng.normal(0, 0.5, 50)
        low, high = ratio_interval(losses * tokens, tokens)
        sizes = np.arange(5, 60)
        hits += low <= ((2 - 0.01 * sizes) * sizes).sum() / sizes.sum() <= high
    assert 0.93 <= hits / repeats <= 0.965


def test_rank_correlation_equals_its_written_definition():
    first, second = [3.0, 1.0, 4.0, 1.0, 5.0, 9.0], [2.0, 7.0, 1.0, 8.0, 2.0, 2.0]
    expected = np.corrcoef(_mid_ranks(first), _mid_ranks(second))[0, 1]
    assert rank_correlation(first, second) == pytest.approx(expected)
    assert rank_correlation(first, [math.exp(x) for x in first]) == pytest.approx(1)


def test_rank_correlation_is_none_where_it_is_not_defined():
    assert rank_correlation([1.0], [2.0]) is None
    assert rank_correlation([1.0, 1.0, 1.0], [1.0, 2.0, 3.0]) is None


@pytest.mark.parametrize(
    "call",
    [
        lambda: wilson(3, 2),
        lambda: wilson(-1, 2),
        lambda: clopper_pearson(3, 2),
        lambda: wilson(1, 2, 1.0),
        lambda: clopper_pearson(1, 2, 95),
        lambda: newcombe_paired(1, -1, 0, 0),
        lambda: newcombe_paired(0, 0, 0, 0, 0.0),
        lambda: newcombe_unpaired(3, 2, 0, 5),
        lambda: newcombe_unpaired(0, 0, 0, 0, 1.0),
        lambda: mcnemar_exact(-1, 2),
        lambda: mean_interval([1.0, math.nan]),
        lambda: mean_interval([1.0, 2.0], 2),
        lambda: ratio_interval([1.0], [1.0, 2.0]),
        lambda: ratio_interval([1.0, 2.0], [1, 0]),
        lambda: rank_correlation([1.0, 2.0], [1.0]),
    ],
)
def test_impossible_input_is_refused(call):
    with pytest.raises(ValueError, match=r"must|shapes|negative"):
        call()


def _binomial(k, n, p):
    return math.comb(n, k) * p**k * (1 - p) ** (n - k)


def _coverage(ends, truths):
    """Exact probability, for each true proportion, that the interval of the drawn count holds it."""
    weight = reference.binom.pmf(np.arange(len(ends))[:, None], len(ends) - 1, truths)
    return (weight * ((ends[:, :1] <= truths) & (truths <= ends[:, 1:]))).sum(axis=0)


def _newcombe_as_written(e, f, g, h):
    """Method 10, step by step, with the paper's letters."""
    n = e + f + g + h
    theta = (f - g) / n
    l2, u2 = reference.binomtest(e + f, n).proportion_ci(method="wilson")
    l3, u3 = reference.binomtest(e + g, n).proportion_ci(method="wilson")
    dl2, du2 = (e + f) / n - l2, u2 - (e + f) / n
    dl3, du3 = (e + g) / n - l3, u3 - (e + g) / n
    if 0 in (e + f, g + h, e + g, f + h):
        phi = 0.0
    else:
        a = e * h - f * g
        corrected = a - n / 2 if a > n / 2 else (0.0 if a >= 0 else a)
        phi = corrected / math.sqrt((e + f) * (g + h) * (e + g) * (f + h))
    delta = math.sqrt(dl2**2 - 2 * phi * dl2 * du3 + du3**2)
    epsilon = math.sqrt(du2**2 - 2 * phi * du2 * dl3 + dl3**2)
    return theta - delta, theta + epsilon


def _mid_ranks(values):
    return [sum(v < x for v in values) + (sum(v == x for v in values) + 1) / 2 for x in values]
