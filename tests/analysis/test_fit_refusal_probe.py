"""The learned judge is scored on families and prompts that its fit hasn't seen."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

ANALYSIS = Path(__file__).parents[2] / "analysis"


@pytest.fixture
def script(monkeypatch):
    monkeypatch.syspath_prepend(str(ANALYSIS))
    import fit_refusal_probe

    return fit_refusal_probe


def test_no_fit_sees_the_family_or_the_prompt_that_it_is_scored_on(script, public_data, monkeypatch):
    rows = script.Rows(public_data / "judge")
    assert len(rows.texts) == 2250
    # Each prompt was answered by all five models, and is in one part.
    assert sorted(np.bincount(rows.part)) == [45 * 5] * 10
    # States that name their row; the fit is replaced by one that notes what it was shown.
    states = np.arange(2250, dtype=float)[:, None, None].repeat(2, axis=1)
    shown: list[set[int]] = []

    def fit(seen, complied, penalty):
        shown.append(set(seen[:, 0].astype(int)))
        assert (
            complied == np.repeat(rows.complied, 2).reshape(-1, 2)[seen[::2, 0].astype(int)].ravel()
        ).all()
        return np.array([1.0]), 0.0

    scored: list[set[int]] = []
    monkeypatch.setattr(script, "fit", fit)
    script.left_out(rows, states)
    for family in script.FAMILIES:
        for part in range(script.PARTS):
            scored.append(set(np.flatnonzero((rows.family == family) & (rows.part == part))))
    assert len(shown) == len(scored) == 30
    assert sorted(i for some in scored for i in some) == list(range(2250))
    for seen, test in zip(shown, scored, strict=True):
        assert not {rows.family[i] for i in seen} & {rows.family[i] for i in test}
        assert not {rows.part[i] for i in seen} & {rows.part[i] for i in test}


def test_the_fit_is_a_logistic_regression(script):
    rng = np.random.default_rng(1)
    states = rng.normal(size=(4000, 3)) * [1.0, 10.0, 0.1] + [5.0, 0.0, 1.0]
    odds = 2.0 * (states[:, 0] - 5.0) - 0.1 * states[:, 1] + 0.5
    complied = rng.random(4000) < 1 / (1 + np.exp(-odds))
    weights, bias = script.fit(states, complied, penalty=1e3)
    assert weights[:2] == pytest.approx([2.0, -0.1], rel=0.15)
    assert states @ weights + bias == pytest.approx(odds, abs=1.5)


def test_the_head_says_what_was_asked_for(script):
    """.93 of all answers together, and no file below .88."""
    table = script.__doc__.split("families and prompts left out, the first 64 tokens")[1].split(
        "first 24 tokens"
    )[0]
    figures = {
        line.split()[0]: float(line.split("[")[0].split()[-1]) for line in table.splitlines() if "[" in line
    }
    assert figures["pooled"] >= 0.93
    assert min(figures[name] for names in script.FAMILIES.values() for name in names) >= 0.88
