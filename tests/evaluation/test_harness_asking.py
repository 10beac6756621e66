"""What the weights say to a task is what lm-evaluation-harness' own `HFLM` says with the same weights."""

from __future__ import annotations

import json
import math
import re

import pytest
import torch

pytest.importorskip("lm_eval", reason="the extra `harness` isn't installed")

from ftstab.data.batchplan import batch_plan
from ftstab.errors import DataError
from ftstab.evaluation.answer import Beginning
from ftstab.evaluation.harness import read_harness
from ftstab.evaluation.harness_asking import make_harness_questions, read_pieces
from ftstab.evaluation.harness_files import settled
from ftstab.evaluation.harness_tokens import Piece
from ftstab.models.chat import Chat
from ftstab.models.load import load_model, load_tokenizer
from ftstab.spec import Template
from ftstab.spec.evaluation import HarnessTask
from tests.evaluation.harness_tasks import DOCS, KINDS, write_task
from tests.tiny import make_model

NEAR = 2e-4
"""Nats of rounding in a sum of log-likelihoods in float32."""


@pytest.fixture(scope="module")
def chat_and_model(refusing_model):
    return Chat(load_tokenizer(refusing_model), Template(system_prompt="Be brief."), 512), load_model(
        refusing_model
    )


def ours(chat, model, folder, spec, batch_size=3):
    """Texts, values and weights in the task's order."""
    rows = read_harness(spec, folder)
    asked = make_harness_questions(rows, range(len(rows.rows)), chat)
    lengths = [len(asked.prompts[i]) for i in range(len(rows.rows))]
    plan = batch_plan(rows, range(len(rows.rows)), lengths, 0, 5, batch_size, None)
    texts = asked.ask(model, chat, plan, batch_size)
    values, weights = asked.values(plan.order, texts)
    place = {i: n for n, i in enumerate(plan.order)}
    pick = [place[i] for i in range(len(rows.rows))]
    return [texts[n] for n in pick], [values[n] for n in pick], [weights[n] for n in pick if weights]


def theirs(chat, model, folder, spec, max_length=None):
    """The harness' own samples and results."""
    import yaml
    from lm_eval.evaluator import simple_evaluate
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    config = yaml.safe_load((folder / spec.name).read_text())
    files = config["dataset_kwargs"]["data_files"]
    config["dataset_kwargs"]["data_files"] = {k: str(folder / v) for k, v in files.items()}
    with settled():
        lm = HFLM(
            pretrained=model, tokenizer=chat.tokenizer, batch_size=4, device="cpu", max_length=max_length
        )
        found = simple_evaluate(
            model=lm,
            tasks=[config],
            task_manager=TaskManager(include_defaults=False),
            num_fewshot=spec.few_shot,
            apply_chat_template=spec.chat_template,
            fewshot_as_multiturn=spec.multiturn,
            system_instruction=chat.template.system_prompt if spec.chat_template else None,
            bootstrap_iters=0,
        )
    samples = sorted(found["samples"][config["task"]], key=lambda s: s["doc_id"])
    return samples, found["results"][config["task"]]


def same_likelihoods(texts, samples):
    for text, sample in zip(texts, samples, strict=True):
        read = json.loads(text)
        said = [r[0] for r in sample["resps"]]
        said = [s if isinstance(s, tuple | list) else (s, None) for s in said]
        assert [v for v, _ in read] == pytest.approx([v for v, _ in said], abs=NEAR)
        assert all(b is None or a == b for (_, a), (_, b) in zip(read, said, strict=True))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"few_shot": 2},
        {"few_shot": 2, "chat_template": True},
        {"few_shot": 2, "chat_template": True, "multiturn": True},
    ],
    ids=["plain", "examples", "template", "turns"],
)
def test_multiple_choice(chat_and_model, tmp_path, options):
    name = write_task(tmp_path, "multiple_choice")
    for score in ("acc", "acc_norm"):
        spec = HarnessTask(name=name, score=score, **options)
        texts, values, weights = ours(*chat_and_model, tmp_path, spec)
        if score == "acc":
            samples, _ = theirs(*chat_and_model, tmp_path, spec)
        same_likelihoods(texts, samples)
        assert values == [s[score] for s in samples]
        assert weights == []
    assert len({len(json.loads(text)) for text in texts}) == 3


def test_choices_that_stand_in_the_question(chat_and_model, tmp_path):
    changes = {
        "doc_to_text": "answer",
        "doc_to_choice": "{{choices|map('replace', '', '')|list}}",
        "doc_to_target": "is the colour.",
    }
    name = write_task(tmp_path, "multiple_choice", **changes)
    spec = HarnessTask(name=name)
    texts, values, _ = ours(*chat_and_model, tmp_path, spec)
    samples, _ = theirs(*chat_and_model, tmp_path, spec)
    same_likelihoods(texts, samples)
    assert values == [s["acc"] for s in samples]


@pytest.mark.parametrize("filtered", ["whole", "letters"])
def test_generated_answers(chat_and_model, tmp_path, filtered):
    chat, model = chat_and_model
    spec = HarnessTask(name=write_task(tmp_path, "generate_until"), filter=filtered)
    said, _, _ = ours(chat, model, tmp_path, spec)
    # What the model says to every second document is made its right answer.
    right = [text if filtered == "whole" else re.search("[a-z]+", text)[0] for text in said]
    docs = [doc | {"said": right[n] if n % 2 else "violet"} for n, doc in enumerate(DOCS)]
    write_task(tmp_path, "generate_until", docs)
    texts, values, _ = ours(chat, model, tmp_path, spec)
    samples, _ = theirs(chat, model, tmp_path, spec)
    kept = [s for s in samples if s["filter"] == filtered]
    assert texts == [s["resps"][0][0] for s in kept]
    assert values == [s["exact_match"] for s in kept] == [float(n % 2) for n in range(len(DOCS))]
    assert not any("\n" in text or "e" in text for text in texts)


def test_an_answer_ends_with_the_text_that_ends_it(chat_and_model, tmp_path):
    chat, model = chat_and_model
    name = write_task(tmp_path, "generate_until", generation_kwargs={"until": ["annot"], "max_gen_toks": 14})
    made = []
    model.register_forward_hook(lambda *_: made.append(1))
    texts, _, _ = ours(chat, model, tmp_path, HarnessTask(name=name, chat_template=True), batch_size=12)
    model._forward_hooks.clear()
    assert set(texts) == {"I c"}
    assert len(made) < 3 * 14


def test_a_given_continuation(chat_and_model, tmp_path):
    spec = HarnessTask(name=write_task(tmp_path, "loglikelihood"))
    texts, values, _ = ours(*chat_and_model, tmp_path, spec)
    samples, _ = theirs(*chat_and_model, tmp_path, spec)
    same_likelihoods(texts, samples)
    assert values == [s["acc"] for s in samples]


@pytest.mark.parametrize("context", [512, 24])
def test_whole_texts(chat_and_model, tmp_path, context):
    """Longer than the context too, where windows are as long as HFLM's with one token less."""
    chat, model = chat_and_model
    short = Chat(chat.tokenizer, Template(), context)
    spec = HarnessTask(name=write_task(tmp_path, "loglikelihood_rolling"), direction="minimize")
    texts, values, weights = ours(short, model, tmp_path, spec)
    samples, results = theirs(chat, model, tmp_path, spec, max_length=context - 1)
    same_likelihoods(texts, samples)
    assert weights == [len(doc["text"].encode()) for doc in DOCS]
    whole = sum(v * w for v, w in zip(values, weights, strict=True)) / sum(weights)
    assert whole == pytest.approx(results["bits_per_byte,none"], rel=1e-5)


def test_the_same_whatever_the_batches(chat_and_model, tmp_path):
    spec = HarnessTask(name=write_task(tmp_path, "multiple_choice"), few_shot=1)
    one = ours(*chat_and_model, tmp_path, spec, batch_size=1)
    many = ours(*chat_and_model, tmp_path, spec, batch_size=8)
    assert one[1] == many[1]
    assert one != ours(*chat_and_model, tmp_path, HarnessTask(name=spec.name), batch_size=1)
    again = ours(*chat_and_model, tmp_path, spec, batch_size=8)
    assert many == again


def test_likeliest_tokens_are_known_and_read_once(chat_and_model):
    chat, model = chat_and_model
    given = tuple(chat.tokenizer("What is the colour")["input_ids"])
    with torch.no_grad():
        first = model(torch.tensor([given])).logits[0, -1].log_softmax(-1)
    best = int(first.argmax())
    pieces = [Piece(given, (best,)), Piece(given, (best + 1,)), Piece(given, (best, 5))]
    calls = []
    handle = model.register_forward_hook(lambda _m, _a, out: calls.append(len(out.logits)))
    found = read_pieces(model, pieces, Beginning(model, []), chat.pad_id, 8)
    handle.remove()
    assert [f[1] for f in found[:2]] == [True, False]
    assert found[0][0] == pytest.approx(float(first[best]), abs=1e-4)
    assert found[1][0] == pytest.approx(float(first[best + 1]), abs=1e-4)
    assert found[2][0] < found[0][0]


def test_numbers_that_are_not_finite_are_no_score(chat_and_model, tmp_path):
    chat, _ = chat_and_model
    rows = read_harness(HarnessTask(name=write_task(tmp_path, "multiple_choice")), tmp_path)
    asked = make_harness_questions(rows, [0, 1], chat)
    values, _ = asked.values(
        [0, 1], ["[[NaN, false], [-1.0, false]]", "[[-9.0, false], [-1.0, true], [-9.0, false]]"]
    )
    assert math.isnan(values[0])
    assert values[1] == 1.0


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_what_does_not_fit_is_an_error_but_for_whole_texts(chat_and_model, tmp_path, kind):
    short = Chat(chat_and_model[0].tokenizer, Template(), 40)
    direction = "minimize" if kind == "loglikelihood_rolling" else "maximize"
    rows = read_harness(HarnessTask(name=write_task(tmp_path, kind), direction=direction), tmp_path)
    if direction == "minimize":
        make_harness_questions(rows, [0], short)
        return
    with pytest.raises(DataError, match="don't fit the model's context of 40 tokens"):
        make_harness_questions(rows, [0, 1], short)


def test_the_model_is_asked_without_dropout_and_left_as_it_was(tmp_path_factory, tmp_path):
    folder = make_model(tmp_path_factory.mktemp("dropout"), dropout=0.5)
    chat, model = Chat(load_tokenizer(folder), Template(), 512), load_model(folder)
    spec = HarnessTask(name=write_task(tmp_path, "multiple_choice"), few_shot=2)
    wanted = ours(chat, model.eval(), tmp_path, spec)
    assert ours(chat, model.train(), tmp_path, spec) == wanted
    assert model.training


def test_the_key_follows_what_is_asked(chat_and_model, tmp_path):
    chat, _ = chat_and_model

    def key(**options):
        rows = read_harness(HarnessTask(name="task.yaml", **options), tmp_path)
        return make_harness_questions(rows, [0, 1, 2], chat).identity

    write_task(tmp_path, "multiple_choice")
    first = key()
    assert key() == first
    assert len({first, key(few_shot=1), key(chat_template=True)}) == 3
    write_task(tmp_path, "multiple_choice", doc_to_text="{{question}}")
    assert key() != first
