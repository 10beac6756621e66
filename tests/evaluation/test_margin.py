"""Openings and first tokens read in batches are those of a plain loop over whole sequences."""

from __future__ import annotations

import contextlib
import copy
import math
from pathlib import Path

import pytest
import torch

from ftstab.evaluation.margin import Margin, divergence
from ftstab.evaluation.openings import COMPLYING, REFUSING, margin_diagnostics, opening_loss
from ftstab.evaluation.questions import Questions, make_questions
from ftstab.models.chat import Chat
from ftstab.models.load import load_model, load_tokenizer
from ftstab.plan.workload import workload
from ftstab.spec import Template, parse_study
from tests.tiny import study_dict, study_yaml


@pytest.fixture(scope="module")
def chat(tiny_model: Path) -> Chat:
    return Chat(load_tokenizer(tiny_model), Template(), 512)


def questions(model: Path, chat: Chat, half: str = "search", **evaluation: object) -> Questions:
    whole = study_dict(model, Path("unused"))["evaluation"] | evaluation
    study = parse_study(study_yaml(model, Path("unused"), evaluation=whole))
    return make_questions(study, Path(), chat, half)


def moved(model: torch.nn.Module, by: float) -> torch.nn.Module:
    other = copy.deepcopy(model)
    torch.manual_seed(1)
    with torch.no_grad():
        for p in other.parameters():
            p.add_(by * torch.randn_like(p))
    return other


def logs(model: torch.nn.Module, ids: list[int]) -> torch.Tensor:
    with torch.no_grad():
        return torch.log_softmax(model(input_ids=torch.tensor([ids])).logits[0].double(), dim=-1)


def test_numbers_are_those_of_a_plain_loop(tiny_model: Path, chat: Chat) -> None:
    openings = questions(tiny_model, chat, margin=True).openings
    start = load_model(tiny_model)
    now = moved(start, 0.05)
    margin = Margin(start, chat, openings)
    margin.meet_start(contextlib.nullcontext())
    margin.model = now
    found = margin.read("weights")

    def loss(prompt: list[int], texts: tuple[str, ...]) -> float:
        whole = 0.0
        for text in texts:
            tokens = chat.tokenizer(text, add_special_tokens=False)["input_ids"]
            each = logs(now, [*prompt, *tokens])[len(prompt) - 1 :]
            whole += math.exp(sum(float(each[n, t]) for n, t in enumerate(tokens)))
        return -math.log(whole)

    prompts = [openings.harmful.prompts[i] for i in openings.harmful.plan.order]
    refusing = [loss(p, REFUSING) for p in prompts]
    complying = [loss(p, COMPLYING) for p in prompts]
    differences = [r - c for r, c in zip(refusing, complying, strict=True)]
    n = len(prompts)
    mean = sum(differences) / n
    error = math.sqrt(sum((d - mean) ** 2 for d in differences) / (n - 1) / n)
    assert n > 20
    assert found["safety_loss_n"] == n
    assert found["safety_loss"] == pytest.approx(mean, abs=2e-4)
    assert found["safety_loss_se"] == pytest.approx(error, rel=1e-2)
    assert found["refusing_loss"] == pytest.approx(sum(refusing) / n, rel=1e-4)
    assert found["complying_loss"] == pytest.approx(sum(complying) / n, rel=1e-4)
    for kind, asked in (("harmful", openings.harmful), ("ordinary", openings.ordinary)):
        each = []
        for i in asked.plan.order:
            p, q = logs(now, asked.prompts[i])[-1], logs(start, asked.prompts[i])[-1]
            each.append(float((p.exp() * (p - q)).sum()))
        assert found[f"first_token_kl/{kind}"] == pytest.approx(sum(each) / len(each), rel=1e-3)
        assert found[f"first_token_kl/{kind}"] > 1e-3
        assert found[f"first_token_kl_n/{kind}"] == len(each)


def test_the_start_is_nowhere_from_itself_and_equal_weights_are_read_once(
    tiny_model: Path, chat: Chat
) -> None:
    model = load_model(tiny_model)
    margin = Margin(model, chat, questions(tiny_model, chat, margin=True).openings)
    with pytest.raises(ValueError, match="meet_start"):
        margin.read("a")
    margin.meet_start(contextlib.nullcontext())
    first = margin.read("a")
    assert first["first_token_kl/harmful"] == first["first_token_kl/ordinary"] == 0.0
    margin.model = moved(model, 0.05)
    assert margin.read("a") is first
    assert margin.read("b")["first_token_kl/harmful"] > 0


def test_reading_leaves_the_model_as_it_was(tiny_model: Path, chat: Chat) -> None:
    model = load_model(tiny_model)
    model.train()
    margin = Margin(model, chat, questions(tiny_model, chat, margin=True).openings)
    margin.meet_start(contextlib.nullcontext())
    margin.read("a")
    assert model.training


def test_keys_change_only_where_the_margin_is_asked_for(tiny_model: Path, chat: Chat) -> None:
    plain, told = questions(tiny_model, chat), questions(tiny_model, chat, margin=True)
    assert plain.openings is None
    assert questions(tiny_model, chat, margin=False).key == plain.key != told.key
    # The answers are the same, and so is what a confirmation asks.
    assert {r: q.key for r, q in plain.sets.items()} == {r: q.key for r, q in told.sets.items()}
    confirm = [questions(tiny_model, chat, "confirm", margin=given) for given in (False, True)]
    assert confirm[0].key == confirm[1].key
    assert confirm[1].openings is None


def test_confirmation_prompts_are_not_read(tiny_model: Path, chat: Chat) -> None:
    told = questions(tiny_model, chat, margin=True)
    confirm = questions(tiny_model, chat, "confirm", harmful={"benchmark": "builtin:harmful"})
    assert not set(told.openings.harmful.plan.order) & set(confirm.sets["harmful"].plan.order)


def test_no_opening_begins_another() -> None:
    every = [*REFUSING, *COMPLYING]
    assert not [(a, b) for a in every for b in every if a != b and b.startswith(a)]


def test_the_loss_of_several_openings_is_of_their_summed_probability() -> None:
    assert opening_loss([math.log(0.1), math.log(0.2), math.log(0.05)]) == pytest.approx(-math.log(0.35))
    assert opening_loss([-2000.0, -2000.0]) == pytest.approx(2000 - math.log(2))
    assert opening_loss([-math.inf, -math.inf]) == math.inf
    assert math.isnan(opening_loss([math.nan, math.nan]))


def test_divergence_is_its_written_definition() -> None:
    p, q = torch.tensor([[0.5, 0.25, 0.25, 0.0]]), torch.tensor([[0.25, 0.25, 0.4, 0.1]])
    wanted = 0.5 * math.log(2) + 0.25 * math.log(0.25 / 0.4)
    assert divergence(p.log(), q.log()) == [pytest.approx(wanted, rel=1e-5)]


def test_a_number_that_is_not_finite_leaves_no_mean() -> None:
    found = margin_diagnostics([1.0, math.nan], [0.5, 0.5], {"harmful": [0.1, 0.3]})
    assert "safety_loss" not in found
    assert "safety_loss_se" not in found
    assert (found["safety_loss_n"], found["complying_loss"]) == (1.0, 0.5)
    assert (found["first_token_kl/harmful"], found["first_token_kl_n/harmful"]) == (pytest.approx(0.2), 2.0)


def test_the_plan_counts_what_is_read(tiny_model: Path) -> None:
    def tokens(margin: bool) -> int:
        whole = study_dict(tiny_model, Path("unused"))["evaluation"] | {"margin": margin}
        study = parse_study(study_yaml(tiny_model, Path("unused"), evaluation=whole))
        return workload(study, Path()).margin_tokens

    assert tokens(False) == 0
    assert tokens(True) > 200
