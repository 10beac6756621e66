"""The simulation of arms in small; the head of `analysis/coverage_arms.py` says what many more runs give."""

from __future__ import annotations

from pathlib import Path

import pytest

ANALYSIS = Path(__file__).parents[2] / "analysis"


def test_equal_arms_are_seldom_called_different(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ANALYSIS)
    import coverage_arms as arms

    for truth in arms.TRUTHS[:2]:
        equal = arms.measure(truth, 5, 0.0, 60)
        assert equal.get("better", 0) + equal.get("worse", 0) <= 0.12
        assert arms.measure(truth, 5, arms.MARGIN, 60).get("equivalent", 0) <= 0.1
    assert arms.measure(arms.TRUTHS[0], 5, -0.1, 30).get("better", 0) > 0.6
