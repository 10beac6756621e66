"""Which budgets may be compared."""

from __future__ import annotations

import pytest

from ftstab.arms.candidates import Candidates, Compute, check_budgets
from ftstab.errors import StudyError
from ftstab.spec.arms import Arm


def _arm(name: str, candidates: int = 5, tokens: float = 1000.0, named: bool = False) -> Candidates:
    arm = Arm() if named else Arm(strength="steps")
    return Candidates(name, arm, (), 0, {}, Compute(candidates, 1, 10, tokens, 10, 1000, 1.0, 1.0))


def test_equal_budgets_may_be_compared() -> None:
    check_budgets(_arm("a"), _arm("b", tokens=1049.0))


def test_unequal_budgets_are_refused() -> None:
    with pytest.raises(StudyError, match="longest trainings read 1,000 and 1,200 tokens"):
        check_budgets(_arm("a"), _arm("b", tokens=1200.0))
    with pytest.raises(StudyError, match="5 and 6 candidates"):
        check_budgets(_arm("a"), _arm("b", candidates=6))


def test_one_setting_named_beforehand_may_be_held_against_any_curve() -> None:
    check_budgets(_arm("a", candidates=1, tokens=10.0, named=True), _arm("b"))
    check_budgets(_arm("a"), _arm("b", candidates=1, tokens=10.0, named=True))
    with pytest.raises(StudyError, match="each is one setting"):
        check_budgets(_arm("a", named=True), _arm("b", named=True))
