"""The constrained first-token loss: its weights, its gradient, and the reference log-probabilities that it reads."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from ftstab.errors import ModelError
from ftstab.models.chat import EncodedRow
from ftstab.spec import Template, Training
from ftstab.training import references
from ftstab.training.batches import answer_logits, pad_rows
from ftstab.training.losses import LEAST_WEIGHT, first_token_weights, summed_loss
from ftstab.training.references import References
from tests.training.material import apart, chat, encoded, fresh_model, make_run, train, trajectory

CPU = torch.device("cpu")
LOSS: dict[str, Any] = {"loss": "constrained_first_tokens"}


def _training(**changes: Any) -> Training:
    return Training(**LOSS, **changes)


def _naive_weight(place: int, log_p: float, log_ref: float, training: Training) -> float:
    """The formula of the paper, a token at a time; tokens count from 1 there."""
    t = place + 1
    beta = training.constrained_beta
    if t == 1:
        beta *= training.constrained_first
    elif t <= 5:
        beta *= training.constrained_next
    sigmoid = 1 / (1 + math.exp(-beta * (log_p - log_ref)))
    return max(2 * (1 - sigmoid), 1e-3)


@pytest.mark.parametrize(
    "changes", [{}, {"constrained_beta": 0.3, "constrained_first": 2.0, "constrained_next": 7.0}]
)
def test_weights_are_those_of_the_formula(changes: dict[str, float]) -> None:
    training = _training(**changes)
    generator = torch.Generator().manual_seed(0)
    places = torch.tensor([0, 1, 2, 3, 4, 5, 6, 30] * 4)
    now, then = (-6 * torch.rand(32, generator=generator) for _ in range(2))
    found = first_token_weights(now, then, places, training)
    wanted = [
        _naive_weight(int(p), float(a), float(b), training) for p, a, b in zip(places, now, then, strict=True)
    ]
    assert found.tolist() == pytest.approx(wanted, rel=1e-4)
    assert (found > 1).any()
    assert (found < 1).any()


def test_the_defaults_are_those_of_the_paper() -> None:
    plain = Training()
    assert (plain.constrained_beta, plain.constrained_first, plain.constrained_next) == (0.1, 5.0, 20.0)
    places = torch.arange(7)
    # One nat likelier than the start: sigmoid(beta_t).
    found = first_token_weights(torch.zeros(7), -torch.ones(7), places, _training())
    sure = [2 * (1 - 1 / (1 + math.exp(-b))) for b in (0.5, 2, 2, 2, 2, 0.1, 0.1)]
    assert found.tolist() == pytest.approx(sure)


def test_weights_have_a_floor_and_start_at_one() -> None:
    places = torch.tensor([0, 1, 40])
    same = torch.tensor([-3.0, -0.1, -9.0])
    assert first_token_weights(same, same, places, _training()).tolist() == [1.0, 1.0, 1.0]
    far = first_token_weights(torch.zeros(3), torch.full((3,), -500.0), places, _training())
    assert far.tolist() == [pytest.approx(LEAST_WEIGHT)] * 3
    assert LEAST_WEIGHT == 1e-3
    fallen = first_token_weights(torch.full((3,), -500.0), torch.zeros(3), places, _training())
    assert fallen.tolist() == [2.0] * 3


def _referenced(folder: Path, count: int, shift: float = 0.0) -> list[EncodedRow]:
    """Rows with the start's log-probabilities, moved by ``shift`` nats so that weights differ from 1."""
    rows = encoded(folder, count)
    values = references.log_probabilities(rows, folder, torch.float32, CPU, chat(folder).pad_id)
    return [
        replace(r, reference=tuple((v + shift * (-1) ** i).tolist()))
        for i, (r, v) in enumerate(zip(rows, values, strict=True))
    ]


def test_the_gradient_is_that_of_weights_which_are_no_function_of_the_model(tiny_model: Path) -> None:
    rows = _referenced(tiny_model, 8, shift=1.5)
    run = make_run(tiny_model, trajectory(1, batch_size=8, micro_batch_size=3, **LOSS), rows=rows)
    signals = run.update()
    model = fresh_model(tiny_model).train()
    tokens = sum(row.answer_tokens for row in rows)
    total, plain = torch.zeros(()), 0.0
    for row in rows:
        logits = model(input_ids=torch.tensor([row.ids])).logits[0].float()
        logs = torch.log_softmax(logits, dim=-1)
        for place in range(row.answer_tokens):
            here = logs[row.answer_start + place - 1, row.ids[row.answer_start + place]]
            value = float(here.detach())
            total = total - _naive_weight(place, value, row.reference[place], run.training) * here
            plain -= value
    (total / tokens).backward()
    assert signals["loss"] == pytest.approx(float(total.detach()) / tokens, rel=1e-5)
    assert signals["cross_entropy"] == pytest.approx(plain / tokens, rel=1e-5)
    assert abs(signals["loss"] - signals["cross_entropy"]) > 0.02
    found = [m.grad for m in run.weights.masters]
    assert apart(found, [p.grad for p in model.parameters()]) < 1e-4


def test_a_gradient_through_the_weights_would_be_noticed(tiny_model: Path) -> None:
    rows = _referenced(tiny_model, 4, shift=1.5)
    batch = pad_rows(rows, chat(tiny_model).pad_id, CPU)
    assert batch.reference is not None
    assert batch.places is not None
    gradients = []
    for detached in (True, False):
        model = fresh_model(tiny_model)
        logits = answer_logits(model, batch)
        if detached:
            loss, plain = summed_loss(logits, batch, _training())
            assert not plain.requires_grad
        else:
            each = torch.nn.functional.cross_entropy(logits, batch.targets, reduction="none")
            loss = (first_token_weights(-each, batch.reference, batch.places, _training()) * each).sum()
        loss.backward()
        gradients.append([p.grad for p in model.parameters()])
    assert apart(*gradients) > 1e-2


def test_places_count_from_the_beginning_of_each_answer(tiny_model: Path) -> None:
    rows = _referenced(tiny_model, 3)
    batch = pad_rows(rows, 0, CPU)
    assert batch.places is not None
    assert batch.places.tolist() == [t for row in rows for t in range(row.answer_tokens)]
    assert pad_rows(encoded(tiny_model, 3), 0, CPU).reference is None


def test_the_first_update_is_that_of_the_cross_entropy(tiny_model: Path) -> None:
    """At the start every weight is 1, up to rounding."""
    rows = _referenced(tiny_model, 8)
    both = [make_run(tiny_model, trajectory(1, batch_size=8, **changes), rows=rows) for changes in ({}, LOSS)]
    losses = [run.update()["loss"] for run in both]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    assert apart(*([m.grad for m in run.weights.masters] for run in both)) < 1e-4


def test_first_tokens_stay_nearer_to_the_start(tiny_model: Path) -> None:
    rows = _referenced(tiny_model, 8)
    moved = []
    for changes in ({}, LOSS):
        chosen = trajectory(25, batch_size=8, learning_rate=3e-3, **changes)
        run = train(make_run(tiny_model, chosen, rows=rows), 25)
        batch = pad_rows(rows, chat(tiny_model).pad_id, CPU)
        assert batch.reference is not None
        assert batch.places is not None
        with torch.no_grad():
            logits = answer_logits(run.model.eval(), batch)
        now = -torch.nn.functional.cross_entropy(logits, batch.targets, reduction="none")
        change = now - batch.reference
        moved.append((float(change[batch.places < 5].mean()), float(change[batch.places >= 5].mean())))
    (plain_first, plain_rest), (first, rest) = moved
    assert first < 0.8 * plain_first
    assert rest > 0.9 * plain_rest


def test_rows_without_references_are_refused(tiny_model: Path) -> None:
    run = make_run(tiny_model, trajectory(1, **LOSS))
    with pytest.raises(ValueError, match="reference log-probabilities"):
        run.update()


def test_divergence_is_told_by_the_cross_entropy(tiny_model: Path) -> None:
    """Weights near 2 make a loss above the limit where the guesses aren't worse than guessing."""
    rows = [replace(r, reference=tuple(0.0 for _ in r.reference)) for r in _referenced(tiny_model, 4)]
    run = make_run(
        tiny_model, trajectory(9, batch_size=4, learning_rate=1e-9, constrained_beta=50.0, **LOSS), rows=rows
    )
    for _ in range(5):
        signals = run.update()
    assert signals["loss"] > 1.5 * math.log(run.model.config.vocab_size) > signals["cross_entropy"]
    assert run.diverged is None


# Reference log-probabilities


def _key(**changes: Any) -> References:
    given = References.of("base", "data", Template(), _training(max_length=160, precision="float32"))
    return replace(given, **changes)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FTSTAB_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def _put(folder: Path, rows: tuple[EncodedRow, ...], **changes: Any) -> list[EncodedRow]:
    return _key(**changes).put_into(rows, folder, CPU, chat(folder).pad_id)


def test_references_are_the_log_probabilities_of_the_start_model(dropout_model: Path) -> None:
    rows = encoded(dropout_model, 9)
    found = references.log_probabilities(rows, dropout_model, torch.float32, CPU, chat(dropout_model).pad_id)
    model = fresh_model(dropout_model).eval()
    for row, values in zip(rows, found, strict=True):
        with torch.no_grad():
            logs = torch.log_softmax(model(input_ids=torch.tensor([row.ids])).logits[0].float(), dim=-1)
        places = range(row.answer_start, len(row.ids))
        wanted = [float(logs[p - 1, row.ids[p]]) for p in places]
        assert values.tolist() == pytest.approx(wanted, abs=1e-4)


def test_they_are_computed_once_and_read_back(
    tiny_model: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = encoded(tiny_model, 6)
    first = _put(tiny_model, rows)
    assert [replace(r, reference=()) for r in first] == list(rows)
    assert all(len(r.reference) == r.answer_tokens for r in first)
    (folder,) = (cache / "references").iterdir()
    assert folder == _key().folder

    def never(*args: Any) -> None:
        raise AssertionError("computed again")

    monkeypatch.setattr(references, "log_probabilities", never)
    assert _put(tiny_model, rows) == first
    for changes in (
        {"base": "b"},
        {"data": "d"},
        {"max_length": 9},
        {"system": "s"},
        {"chat": "c"},
        {"precision": "bfloat16"},
    ):
        with pytest.raises(AssertionError, match="computed again"):
            _put(tiny_model, rows, **changes)
    assert len(list((cache / "references").iterdir())) == 1


def test_nothing_stays_of_a_computation_that_fails(
    tiny_model: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: Any) -> None:
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(references, "save_file", fail)
        with pytest.raises(MemoryError):
            _put(tiny_model, encoded(tiny_model, 2))
    assert list((cache / "references").iterdir()) == []
    assert all(r.reference for r in _put(tiny_model, encoded(tiny_model, 2)))


def test_those_of_other_rows_are_refused(tiny_model: Path, cache: Path) -> None:
    _put(tiny_model, encoded(tiny_model, 4))
    with pytest.raises(ModelError, match="delete that folder"):
        _put(tiny_model, encoded(tiny_model, 5))
    path = next(_key().folder.iterdir())
    stored = load_file(path)
    save_file(stored | {"counts": stored["counts"].flip(0)}, path)
    with pytest.raises(ModelError, match="aren't those of the training rows"):
        _put(tiny_model, encoded(tiny_model, 4))
