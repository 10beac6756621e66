"""Post-hoc EMA without weights: coefficients and residuals from averaging profiles alone."""

from __future__ import annotations

import numpy as np
import pytest

from ftstab.errors import StudyError
from ftstab.outcome import Profile, StoredShadows
from ftstab.training.averaging import profile_weights
from ftstab.training.posthoc import check_posthoc, rebuilt, rebuilt_decays
from tests.plan.material import study


def posthoc(decay: float, decays: tuple[float, ...], every: int) -> Profile:
    stored = StoredShadows(decays=decays, every=every)
    return Profile(kind="posthoc_exponential", value=decay, stored=stored)


def of_half_life(updates: float) -> float:
    return float(0.5 ** (1 / updates))


TRACKED = tuple(of_half_life(h) for h in (5, 20, 80))


def summed(profile: Profile, updates: int) -> np.ndarray:
    """The profile that the coefficients make, from the recursions of the stored shadows."""
    found = np.zeros(updates + 1)
    found[0] = 1.0
    for term in rebuilt(profile, updates).terms:
        stored = Profile(kind="exponential", value=term.decay) if term.decay else Profile(kind="last")
        weights = profile_weights(stored, term.step)
        found[: term.step + 1] += term.coefficient * weights
        found[0] -= term.coefficient
    return found


@pytest.mark.parametrize(("every", "limit"), [(50, 0.028), (25, 0.007)])
def test_half_lives_between_the_stored_ones_come_back(every: int, limit: float) -> None:
    """Half-lives 5/20/80 over 600 steps rebuild 7 to 150 within 2.8 % (every 50 steps) and 0.7 % (every 25)."""
    residuals = []
    for half_life in np.geomspace(7, 150, 40):
        profile = posthoc(of_half_life(half_life), TRACKED, every)
        found = rebuilt(profile, 600)
        wanted = profile_weights(Profile(kind="exponential", value=profile.value), 600)
        off = float(np.linalg.norm(summed(profile, 600) - wanted))
        assert found.residual == pytest.approx(off / np.linalg.norm(wanted[1:]), rel=1e-6)
        assert found.residual >= off / np.linalg.norm(wanted) * (1 - 1e-6)
        residuals.append(found.residual)
    assert limit / 2 < max(residuals) <= limit


@pytest.mark.parametrize("decay", TRACKED)
def test_a_stored_decay_is_found_exactly(decay: float) -> None:
    found = rebuilt(posthoc(decay, TRACKED, 50), 600)
    assert found.residual < 1e-4
    by_place = {(t.step, t.decay): t.coefficient for t in found.terms}
    assert by_place.pop((600, decay)) == pytest.approx(1.0, abs=1e-3)
    assert max(map(abs, by_place.values())) < 1e-3


def test_the_share_of_the_start_is_what_the_recursion_leaves() -> None:
    profile = posthoc(0.999, (0.99, 0.9995), 20)
    found = rebuilt(profile, 100)
    assert found.retained == pytest.approx(0.999**100, abs=1e-3)
    assert found.retained == pytest.approx(summed(profile, 100)[0])
    assert summed(profile, 100).sum() == pytest.approx(1.0, abs=1e-12)


def test_the_share_of_the_start_hides_no_residual() -> None:
    """Where most of an average is the start, the norm of its whole profile says nothing of the rest."""
    profile = posthoc(0.9999, (0.5,), 100)
    wanted = profile_weights(Profile(kind="exponential", value=0.9999), 100)
    assert np.linalg.norm(summed(profile, 100) - wanted) / np.linalg.norm(wanted) < 0.02
    assert rebuilt(profile, 100).residual > 0.5


def test_one_step_is_rebuilt_from_start_and_last_weights() -> None:
    found = rebuilt(posthoc(0.7, (0.9,), 10), 1)
    assert found.residual < 1e-6
    assert found.retained == pytest.approx(0.7, abs=1e-6)


def test_nearly_equal_shadows_dont_blow_the_coefficients_up() -> None:
    decays = tuple(np.linspace(0.95, 0.96, 8))
    found = rebuilt(posthoc(0.9, decays, 1), 100)
    assert found.size < 1000
    assert found.residual < 1e-3


def test_only_steps_before_the_one_that_is_read_are_used() -> None:
    steps = {t.step for t in rebuilt(posthoc(0.95, (0.9, 0.99), 10), 30).terms}
    assert steps == {10, 20, 30}
    assert {t.step for t in rebuilt(posthoc(0.95, (0.9, 0.99), 50), 30).terms} == {30}


def test_a_study_says_its_residuals() -> None:
    spec = {"decays": [0.99, 0.9], "every": 5}
    found = rebuilt_decays(study({"steps": [20, 60], "ema_decay": [0, 0.9, 0.95, 0.97]}, posthoc=spec))
    assert [d.decay for d in found] == [0.95, 0.97]
    for d in found:
        worst = max((20, 60), key=lambda s: rebuilt(posthoc(d.decay, (0.9, 0.99), 5), s).residual)
        assert d.step == worst
        assert d.residual == rebuilt(posthoc(d.decay, (0.9, 0.99), 5), worst).residual
    assert rebuilt_decays(study({"steps": [20], "ema_decay": [0, 0.9]})) == []


def test_what_comes_out_badly_is_refused_with_what_to_do() -> None:
    axes = {"steps": [400], "ema_decay": [0.5, 0.97]}
    coarse = study(axes, posthoc={"decays": [0.9, 0.99], "every": 100})
    with pytest.raises(
        StudyError, match=r"`max_residual` 5 %: 0\.5 \(residual 35 % at step 400\), 0\.97 .*more often"
    ) as caught:
        check_posthoc(coarse)
    assert "\n" not in str(caught.value)
    check_posthoc(study(axes, posthoc={"decays": [0.9, 0.99], "every": 100, "max_residual": 0.9}))
    check_posthoc(study({"steps": [400], "ema_decay": [0.97]}, posthoc={"decays": [0.9, 0.98], "every": 20}))
