"""Answers are those that `generate` gives prompt by prompt, however prompts are batched and begin."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest
import torch
from transformers import GenerationConfig

from ftstab.data.batchplan import BatchPlan
from ftstab.evaluation.answer import answers
from ftstab.models.chat import Chat
from ftstab.models.load import load_model, load_tokenizer
from ftstab.spec import Template
from tests.tiny import GEMMA_2, make_model, make_other

NEW = 12
SHARED = [300, 301, 302, 303, 304]
PROMPTS = {
    "a beginning in common": [
        SHARED + tail for tail in ([7], [8, 9, 10], [11] * 9, [12, 13], [14, 7, 8, 9], [15])
    ],
    "nothing in common": [[7, 8], [9, 8, 7, 6], [10], [11, 12, 13]],
    "one holds another": [SHARED, [*SHARED, 7, 8], [*SHARED, 7]],
    "all the same": [SHARED] * 3,
    "one prompt": [SHARED],
}


@pytest.fixture(scope="module")
def chat_and_model(tmp_path_factory):
    folder = make_model(tmp_path_factory.mktemp("answer") / "model")
    return Chat(load_tokenizer(folder), Template(), 512), load_model(folder)


def sharpened(model):
    """With clear opinions: which token is the likeliest changes from place to place."""
    for weight in model.parameters():
        if weight.dim() > 1:
            weight.data *= 6
    return model


def alone(model, chat, prompt):
    config = GenerationConfig(
        max_new_tokens=NEW,
        do_sample=False,
        eos_token_id=chat.eos_id,
        pad_token_id=chat.pad_id,
        use_cache=True,
    )
    ids = torch.tensor([prompt])
    made = model.generate(input_ids=ids, attention_mask=torch.ones_like(ids), generation_config=config)
    return chat.tokenizer.decode(made[0, len(prompt) :], skip_special_tokens=True)


@pytest.mark.parametrize("prompts", PROMPTS.values(), ids=PROMPTS)
def test_answers_are_those_of_each_prompt_alone(chat_and_model, prompts):
    chat, model = chat_and_model
    order = list(reversed(range(len(prompts))))
    batches = tuple(tuple(order[i : i + 4]) for i in range(0, len(order), 4))
    said = answers(model, chat, BatchPlan((batches,), "hash"), dict(enumerate(prompts)), NEW)
    assert said == [alone(model, chat, prompts[i]) for i in order]
    assert any(said)


@pytest.mark.parametrize("parts", [(1, 2, 3), (5, 1), (1,) * 6])
@pytest.mark.parametrize("other", [None, GEMMA_2], ids=["tiny", "gemma2"])
def test_a_batch_that_is_read_in_parts_answers_the_same(chat_and_model, other, parts, tmp_path):
    """Also a part of prompts that are over where the others begin to differ."""
    chat, model = chat_and_model
    if other is not None:
        model = load_model(make_other(tmp_path, Path(model.name_or_path), **other))
    asker = sharpened(copy.deepcopy(model))
    asked = sorted(PROMPTS["a beginning in common"], key=len)
    read = []
    hook = asker.register_forward_pre_hook(
        lambda _module, _args, given: read.append(tuple(given["input_ids"].shape)), with_kwargs=True
    )
    batch = tuple(range(len(asked)))
    said = answers(asker, chat, BatchPlan(((batch,),), "hash", {batch: parts}), dict(enumerate(asked)), NEW)
    hook.remove()
    assert said == [alone(asker, chat, p) for p in asked]
    # The beginning once, each part but for the last tokens, then all together.
    ends = [sum(parts[: n + 1]) for n in range(len(parts))]
    rest = [(size, len(asked[end - 1]) - len(SHARED) - 1) for size, end in zip(parts, ends, strict=True)]
    wanted = [(1, len(SHARED)), *(read_in for read_in in rest if read_in[1]), (len(asked), 1)]
    if other is None:
        assert read[: len(wanted)] == wanted


@pytest.mark.parametrize(
    "other",
    [
        GEMMA_2,
        {"kind": "gptj", "n_embd": 32, "n_layer": 2, "n_head": 4, "rotary_dim": 4},
        {
            "kind": "gpt_neo",
            "hidden_size": 32,
            "num_layers": 2,
            "num_heads": 4,
            "attention_types": [[["global", "local"], 1]],
            "window_size": 6,
        },
    ],
    ids=lambda other: other["kind"],
)
@pytest.mark.parametrize("prompts", ["a beginning in common", "nothing in common"])
def test_other_architectures_answer_as_they_do_alone(chat_and_model, other, prompts, tmp_path):
    chat, model = chat_and_model
    asked = PROMPTS[prompts]
    asker = sharpened(load_model(make_other(tmp_path, Path(model.name_or_path), **other)))
    plan = BatchPlan(((tuple(range(len(asked))),),), "hash")
    assert answers(asker, chat, plan, dict(enumerate(asked)), NEW) == [alone(asker, chat, p) for p in asked]


@pytest.mark.parametrize(
    "own",
    [
        {"repetition_penalty": 1.3},
        {"no_repeat_ngram_size": 1},
        {"suppress_tokens": [*range(0, 600, 2)]},
        {"forced_eos_token_id": 5},
        {"num_return_sequences": 2, "do_sample": True},
        {"do_sample": True, "temperature": 5.0},
    ],
    ids=lambda own: next(iter(own)),
)
def test_greedy_is_greedy_whatever_the_model_does_by_default(chat_and_model, own, tmp_path):
    chat, model = chat_and_model
    prompts = dict(enumerate(PROMPTS["a beginning in common"]))
    plan = BatchPlan((((0, 1, 2, 3), (4, 5)),), "hash")
    plain = answers(sharpened(copy.deepcopy(model)), chat, plan, prompts, NEW)
    model.save_pretrained(tmp_path)
    path = tmp_path / "generation_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | own))
    wilful = sharpened(load_model(tmp_path))
    defaults = wilful.generation_config
    assert answers(wilful, chat, plan, prompts, NEW) == plain
    assert wilful.generation_config is defaults
    assert all(getattr(defaults, name) == value for name, value in own.items())


def test_the_end_of_a_turn_ends_an_answer(chat_and_model):
    """Where it isn't the end of text that the tokenizer names, and the model's own configuration doesn't know it."""
    chat, model = chat_and_model
    ids = torch.tensor([SHARED])
    made = model.generate(
        input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=NEW, do_sample=False
    )[0, len(SHARED) :].tolist()
    end = made[-1]
    other = Chat(chat.tokenizer, Template(), 512)
    other.end_id = end
    said = answers(model, other, BatchPlan((((0,),),), "hash"), {0: SHARED}, NEW)
    assert said == [chat.tokenizer.decode(made[: made.index(end)], skip_special_tokens=True)]
    assert said != answers(model, chat, BatchPlan((((0,),),), "hash"), {0: SHARED}, NEW)


def test_what_is_answered_already_is_not_asked_again(chat_and_model):
    """The rest of a plan, asked later, gets the answers that it gets in one go: what all share is still read first."""
    chat, model = chat_and_model
    prompts = dict(enumerate([*PROMPTS["a beginning in common"], [7, 8]]))
    plan = BatchPlan((((6, 0), (1,)), ((2, 3),), ((4, 5),)), "hash")
    whole = answers(model, chat, plan, prompts, NEW)
    for done in (0, 3, 5, 7):
        assert answers(model, chat, plan, prompts, NEW, answered=done) == whole[done:]
    for within in (1, 4, 8):
        with pytest.raises(ValueError, match="blocks end at"):
            answers(model, chat, plan, prompts, NEW, answered=within)


def test_what_is_shared_is_read_once(chat_and_model):
    chat, model = chat_and_model
    prompts, read = PROMPTS["a beginning in common"], 0

    def count(_module, args, kwargs):
        nonlocal read
        read += kwargs.get("input_ids", args[0] if args else None).numel()

    hook = model.register_forward_pre_hook(count, with_kwargs=True)
    try:
        answers(model, chat, BatchPlan((((0, 1, 2, 3, 4, 5),),), "hash"), dict(enumerate(prompts)), 1)
    finally:
        hook.remove()
    longest = max(map(len, prompts)) - len(SHARED)
    assert read == len(SHARED) + len(prompts) * longest


def test_answering_leaves_the_mode_of_the_model_alone(chat_and_model):
    chat, model = chat_and_model
    model.train()
    answers(model, chat, BatchPlan((((0,),),), "hash"), {0: SHARED}, 1)
    assert model.training
    model.eval()


def test_asking_is_given_up_between_two_tokens(chat_and_model):
    chat, model = chat_and_model
    prompts = dict(enumerate(PROMPTS["a beginning in common"]))
    plan = BatchPlan(((tuple(prompts),),), "hash")
    calls = 0

    def heed():
        nonlocal calls
        calls += 1
        if calls == 3:
            raise TimeoutError

    with pytest.raises(TimeoutError):
        answers(model, chat, plan, prompts, NEW, heed=heed)
    assert calls == 3
    # Whoever only listens changes nothing.
    heard = answers(model, chat, plan, prompts, NEW, heed=lambda: None)
    assert heard == answers(model, chat, plan, prompts, NEW)


def test_no_token_is_written_behind_a_text_that_ends_answers(chat_and_model):
    chat, model = chat_and_model
    prompts = dict(enumerate(PROMPTS["a beginning in common"]))
    plan = BatchPlan(((tuple(prompts),),), "hash")
    whole = answers(model, chat, plan, prompts, NEW)
    steps = 0

    def count():
        nonlocal steps
        steps += 1

    # Each answer ends at once: the first letter of one or the other stands in every text.
    ended = answers(model, chat, plan, prompts, NEW, until=sorted({text[0] for text in whole}), heed=count)
    assert all(text.startswith(end) for text, end in zip(whole, ended, strict=True))
    assert steps < NEW
