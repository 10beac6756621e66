"""Adam's beta2 by its half-life in tokens, and the rows that are mixed in, as a run meets them."""

from __future__ import annotations

from pathlib import Path

import pytest

from ftstab.data.order import Mixed, update_rows
from ftstab.spec import Training
from ftstab.training.schedule import second_moment_decay, tokens_per_update
from tests.training.material import encoded, equal, make_run, masters, train, trajectory


@pytest.mark.parametrize("tokens", [1.0, 37.5, 4096.0])
@pytest.mark.parametrize("half_life", [10.0, 1e4, 1e15])
def test_the_second_moment_halves_over_its_half_life(tokens: float, half_life: float) -> None:
    beta2 = second_moment_decay(Training(beta2_half_life=half_life), tokens)
    assert 0 <= beta2 < 1
    if beta2 > 1e-6 and half_life < 1e12:
        # Marek et al. 2025: beta2^(half-life / tokens of an update) = 1/2.
        assert beta2 ** (half_life / tokens) == pytest.approx(0.5)
    assert second_moment_decay(Training(adam_beta2=0.95), tokens) == 0.95


def test_a_larger_batch_has_a_smaller_beta2_and_the_same_half_life(tiny_model: Path) -> None:
    rows = encoded(tiny_model, 8)
    mean = sum(r.answer_tokens for r in rows) / 8
    found = {
        b: make_run(tiny_model, trajectory(1, batch_size=b, beta2_half_life=500.0), rows=rows)
        for b in (1, 4, 16)
    }
    for batch, run in found.items():
        assert run.adam_beta2 == pytest.approx(2 ** (-batch * mean / 500))
        assert run.optimizer.param_groups[0]["betas"] == (0.9, run.adam_beta2)
    assert found[16].adam_beta2 == pytest.approx(found[1].adam_beta2 ** 16)


def test_a_half_life_is_the_beta2_that_it_says(tiny_model: Path) -> None:
    rows = encoded(tiny_model, 8)
    by_tokens = make_run(tiny_model, trajectory(3, batch_size=4, beta2_half_life=900.0), rows=rows)
    by_hand = make_run(tiny_model, trajectory(3, batch_size=4, adam_beta2=by_tokens.adam_beta2), rows=rows)
    assert equal(masters(train(by_tokens, 3)), masters(train(by_hand, 3)))


def test_tokens_of_an_update_count_what_is_mixed_in_by_its_share(tiny_model: Path) -> None:
    rows = encoded(tiny_model, 8)
    own, other = (sum(r.answer_tokens for r in part) / len(part) for part in (rows[:6], rows[6:]))
    assert own != other
    training = Training(batch_size=10, mix_share=0.25)
    assert tokens_per_update(training, rows, 2) == pytest.approx(10 * (0.75 * own + 0.25 * other))
    assert tokens_per_update(Training(batch_size=10), rows, 2) == pytest.approx(10 * own)


def test_rows_that_are_mixed_in_come_as_the_order_says(tiny_model: Path) -> None:
    rows = encoded(tiny_model, 8)
    run = make_run(tiny_model, trajectory(9, batch_size=3, mix_share=0.4), rows=rows, mixed=2)
    taken = set()
    for t in range(5):
        chosen = update_rows(6, "data", 0, 3, t, Mixed(2, 0.4))
        taken |= set(chosen)
        assert run.update()["tokens"] == sum(len(rows[i].ids) for i in chosen)
    assert taken & {6, 7}


def test_without_a_share_nothing_of_the_mix_is_trained_on(tiny_model: Path) -> None:
    rows = encoded(tiny_model, 8)
    whole = train(make_run(tiny_model, trajectory(3, batch_size=4), rows=rows, mixed=2), 3)
    alone = train(make_run(tiny_model, trajectory(3, batch_size=4), rows=rows[:6]), 3)
    assert equal(masters(whole), masters(alone))
