"""The likeliest choice is the one that a plain loop over whole sequences finds."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from ftstab.data.batchplan import BatchPlan
from ftstab.data.rows import Message, Row, read_rows
from ftstab.data.split import split_sets
from ftstab.evaluation import likelihood
from ftstab.evaluation.choice import encode_choices, likeliest, mark_choices, random_baseline
from ftstab.evaluation.judges import Answer
from ftstab.evaluation.likelihood import choose, log_likelihoods
from ftstab.models.chat import Chat
from ftstab.models.load import load_model, load_tokenizer
from ftstab.spec import Choices, Columns, Source, Template
from tests.tiny import make_turns_model

WORDS = ["the city", "the city is Rome", "a", "zinc", "of a record and of a note", "Bern"]
ROUNDING = {torch.float32: 2e-5, torch.bfloat16: 0.15}
"""What a log-likelihood of some 60 nats may differ by."""


def row(prompt: str, choices: tuple[str, ...]) -> Row:
    return Row(prompt, (Message("user", prompt),), choices[0], None, choices)


# Prompts and choices of all lengths: one token, several, one that begins another; two to five a row.
ROWS = [
    row("Where?", ("Rome", "Bern")),
    row("A long question about records " * 6, ("a", "zinc", "of a record and of a note", "b", "c")),
    row("What is the colour of the box?", ("blue", "red and green")),
    row("Which city", ("the city", "the city is Rome", "zinc")),
    row("One", ("1", "2")),
]


@pytest.fixture(scope="module", params=[torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])
def chat_and_model(request, tiny_model):
    return Chat(load_tokenizer(tiny_model), Template(), 512), load_model(tiny_model, request.param)


def prompts_of(chat, rows):
    return {i: chat.prompt_ids(r) for i, r in enumerate(rows)}


def one_plan(order, size):
    return BatchPlan((tuple(tuple(order[i : i + size]) for i in range(0, len(order), size)),), "hash")


def said(texts):
    return [Answer(str(n), "a prompt", text) for n, text in enumerate(texts)]


def plain_loop(chat, model, rows):
    """Each choice read behind its own prompt, alone."""
    found = []
    for r in rows:
        prompt, values = chat.prompt_ids(r), []
        for tokens in encode_choices(chat, r):
            ids = torch.tensor([[*prompt, *tokens]])
            with torch.no_grad():
                logs = torch.log_softmax(model(input_ids=ids).logits[0].float(), dim=-1)
            values.append(sum(float(logs[len(prompt) - 1 + n, t]) for n, t in enumerate(tokens)))
        found.append(values)
    return found


@pytest.mark.parametrize("size", [1, 3, 5])
def test_log_likelihoods_are_those_of_a_plain_loop_whatever_the_batches(chat_and_model, size):
    chat, model = chat_and_model
    order, near = [3, 0, 4, 1, 2], ROUNDING[next(model.parameters()).dtype]
    tokens = {i: encode_choices(chat, r) for i, r in enumerate(ROWS)}
    found = log_likelihoods(model, chat, one_plan(order, size), prompts_of(chat, ROWS), tokens)
    wanted = plain_loop(chat, model, ROWS)
    assert max(len(t) for some in tokens.values() for t in some) > 3
    for i, values in zip(order, found, strict=True):
        assert values == pytest.approx(wanted[i], abs=near)


def test_prompts_that_are_read_in_parts_have_the_same_log_likelihoods(chat_and_model):
    chat, model = chat_and_model
    near, prompts = ROUNDING[next(model.parameters()).dtype], prompts_of(chat, ROWS)
    order = tuple(sorted(prompts, key=lambda i: len(prompts[i])))
    assert len(prompts[order[0]]) < len(prompts[order[-1]])
    tokens = {i: encode_choices(chat, r) for i, r in enumerate(ROWS)}
    plan = BatchPlan(((order,),), "hash", {order: (2, 3)})
    found = log_likelihoods(model, chat, plan, prompts, tokens)
    wanted = plain_loop(chat, model, ROWS)
    for i, values in zip(order, found, strict=True):
        assert values == pytest.approx(wanted[i], abs=near)


def test_a_model_that_keeps_no_plain_cache_is_read_whole(chat_and_model, monkeypatch):
    chat, model = chat_and_model
    near, tokens = (
        ROUNDING[next(model.parameters()).dtype],
        {i: encode_choices(chat, r) for i, r in enumerate(ROWS)},
    )
    monkeypatch.setattr(likelihood, "DynamicLayer", type(None))
    found = log_likelihoods(model, chat, one_plan(range(5), 2), prompts_of(chat, ROWS), tokens)
    for values, wanted in zip(found, plain_loop(chat, model, ROWS), strict=True):
        assert values == pytest.approx(wanted, abs=near)


def test_prompts_without_a_beginning_in_common(chat_and_model):
    chat, model = chat_and_model
    near = ROUNDING[next(model.parameters()).dtype]
    prompts = {0: [300], 1: [301, 302, 303], 2: [304, 305]}
    tokens = {i: ((7,), (8, 9), (10, 11, 12)) for i in prompts}
    found = log_likelihoods(model, chat, one_plan([0, 1, 2], 3), prompts, tokens)
    for i, values in enumerate(found):
        for value, some in zip(values, tokens[i], strict=True):
            with torch.no_grad():
                logits = model(input_ids=torch.tensor([[*prompts[i], *some]])).logits[0].float()
            logs = torch.log_softmax(logits, -1)[len(prompts[i]) - 1 : -1]
            assert value == pytest.approx(float(sum(logs[n, t] for n, t in enumerate(some))), abs=near)


def test_choosing_leaves_the_mode_of_the_model_alone(chat_and_model):
    chat, model = chat_and_model
    model.train()
    choose(model, chat, one_plan([0], 1), prompts_of(chat, ROWS), ROWS, "none")
    assert model.training
    model.eval()


def test_weights_that_give_no_numbers_choose_nothing(tiny_model):
    chat, model = Chat(load_tokenizer(tiny_model), Template(), 512), load_model(tiny_model)
    with torch.no_grad():
        model.get_input_embeddings().weight.fill_(math.nan)
    chosen = choose(model, chat, one_plan([0, 1], 2), prompts_of(chat, ROWS), ROWS, "none")
    assert chosen == ["", ""]
    assert mark_choices(said(chosen), ROWS[:2])[0] == "II"


def test_a_choice_that_begins_another_ends_its_turn(chat_and_model):
    chat, _ = chat_and_model
    first, second, third = encode_choices(chat, ROWS[3])
    assert first[-1] == second[-1] == third[-1] == chat.eos_id
    assert second[: len(first) - 1] == first[:-1]
    assert all(chat.eos_id not in tokens for tokens in encode_choices(chat, ROWS[0]))


def test_a_choice_ends_its_turn_as_the_template_does(tiny_model, tmp_path):
    chat = Chat(load_tokenizer(make_turns_model(tmp_path / "turns", tiny_model)), Template(), 512)
    assert [tokens[-1] for tokens in encode_choices(chat, ROWS[3])] == [chat.end_id] * 3
    assert chat.end_id != chat.eos_id


def test_a_choice_that_is_written_like_the_end_is_text(chat_and_model):
    chat, _ = chat_and_model
    for tokens in encode_choices(chat, row("Which?", ("<|im_end|>", "not <|im_end|> here"))):
        assert chat.end_id not in tokens


def test_likeliest_by_the_length_it_is_divided_by():
    values, choices, tokens = [-4.0, -6.0, -7.0], ["ab", "abcdef", "abcdefghij"], [(1,), (2, 3), (4, 5)]
    assert likeliest(values, choices, tokens, "none") == "ab"
    assert likeliest(values, choices, tokens, "tokens") == "abcdef"
    assert likeliest(values, choices, tokens, "characters") == "abcdefghij"
    assert likeliest([-1.0, -1.0], ["a", "b"], [(1,), (2,)], "none") == "a"
    assert likeliest([-1.0, math.nan], ["a", "b"], [(1,), (2,)], "none") == ""


def test_marks_and_what_a_blind_guess_scores():
    marks, rows = mark_choices(said(["Rome", "zinc", ""]), ROWS[:3])
    assert marks == "10I"
    assert [r.mark for r in rows] == ["1", "0", "I"]
    assert random_baseline(ROWS[:2]) == pytest.approx((1 / 2 + 1 / 5) / 2)
    assert random_baseline([]) is None


ARC = {"location": "utility/ARC-Challenge_test.json", "columns": Columns(response="answer")}
BOOLQ = {"location": "utility/boolq_test.json", "columns": Columns(response="answer")}
FORMAT = Choices(after="Answer format:")


def test_public_arc_and_boolq_are_read_as_they_lie(public_data: Path):
    arc = read_rows(Source(**ARC), public_data, True, FORMAT)
    assert (len(arc.rows), arc.left_out) == (1000, {})
    assert random_baseline(arc.rows) == pytest.approx((995 / 4 + 3 / 3 + 2 / 5) / 1000)
    assert all(r.choices[:2] == ("answer1", "answer2") and r.response in r.choices for r in arc.rows)
    boolq = read_rows(Source(**BOOLQ), public_data, True, Choices(fixed=["true", "false"]))
    assert (len(boolq.rows), boolq.left_out) == (1000, {})
    assert {r.choices for r in boolq.rows} == {("true", "false")}
    assert sum(r.response == "true" for r in boolq.rows) == 625
    assert random_baseline(boolq.rows) == 0.5
    # The words that all questions share make no near-duplicates of them.
    halves = split_sets({"arc": arc, "boolq": boolq}, 0.5, 0.5, 0)
    assert all(480 <= len(half.search) <= 520 for half in halves.values())


@pytest.mark.parametrize("source", [ARC, BOOLQ], ids=["ARC", "BoolQ"])
def test_public_rows_are_chosen_as_a_plain_loop_chooses(public_data, tiny_model, source):
    chat, model = Chat(load_tokenizer(tiny_model), Template(), 512), load_model(tiny_model)
    rows = read_rows(Source(**source, limit=12), public_data, True, FORMAT).rows
    prompts = prompts_of(chat, rows)
    chosen = choose(model, chat, one_plan(range(12), 4), prompts, rows, "none")
    for one, r, values in zip(chosen, rows, plain_loop(chat, model, rows), strict=True):
        assert one == r.choices[values.index(max(values))]
