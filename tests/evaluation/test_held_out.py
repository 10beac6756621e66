"""The held-out loss is that of each row read alone, whether it is read whole or behind its prompt."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
import torch

from ftstab.data.batchplan import BatchPlan
from ftstab.evaluation.answer import answers
from ftstab.evaluation.held_out import Behind, held_out_losses, losses_behind
from ftstab.models.chat import Chat, EncodedRow
from ftstab.models.load import load_model, load_tokenizer
from ftstab.spec import Template
from tests.tiny import make_model

SHARED = [300, 301, 302, 303, 304]
PROMPTS = [SHARED + tail for tail in ([7], [8, 9, 10], [11] * 9, [12, 13], [14, 7, 8, 9], [15])]
RIGHT = {0: (8, 9), 1: (13,), 2: (16, 17, 18, 19), 4: (9,), 5: (20, 21, 22)}
"""Answers by prompt; the fourth prompt has none."""
PLAN = BatchPlan((((2, 0), (1,)), ((3, 5), (4,))), "hash")
NEW = 6


@pytest.fixture(scope="module")
def chat_and_model(tmp_path_factory):
    folder = make_model(tmp_path_factory.mktemp("held-out") / "model")
    return Chat(load_tokenizer(folder), Template(), 512), load_model(folder)


def alone(model, row):
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([row.ids])).logits[0, row.answer_start - 1 : -1]
    return float(torch.nn.functional.cross_entropy(logits, torch.tensor(row.ids[row.answer_start :])))


def rows_of(prompts):
    return {i: EncodedRow((*prompts[i], *right), len(prompts[i])) for i, right in RIGHT.items()}


@dataclass
class Counting(Behind):
    """Counts the batches that it is told of."""

    told: list[int] = field(default_factory=list)

    def read(self, model, chat, batch, *rest):
        self.told.append(len(batch))
        super().read(model, chat, batch, *rest)


@pytest.mark.parametrize("beginning", [[], SHARED], ids=["nothing in common", "a beginning in common"])
def test_held_out_losses_are_those_of_each_row_alone(chat_and_model, beginning):
    chat, model = chat_and_model
    rows = [
        EncodedRow((*beginning, *request, *right), len(beginning) + len(request))
        for request, right in (
            ((7,), (8, 9)),
            ((10, 11, 12), (13,)),
            ((14, 15), (16, 17, 18, 19)),
            ((9, 9), (9,)),
        )
    ]
    found = held_out_losses(model, rows, chat.pad_id, batch_size=3)
    for row, loss in zip(rows, found, strict=True):
        assert loss == pytest.approx(alone(model, row), abs=1e-5)


def test_no_rows_have_no_losses(chat_and_model):
    chat, model = chat_and_model
    assert held_out_losses(model, [], chat.pad_id, 4) == []


@pytest.mark.parametrize(
    ("plan", "told"),
    [
        (PLAN, [2, 1, 2, 1]),
        (BatchPlan((((0, 5, 3, 1), (4, 2)),), "hash", {(0, 5, 3, 1): (2, 1, 1), (4, 2): (1, 1)}), [4, 2]),
    ],
    ids=["read at once", "read in parts"],
)
def test_losses_behind_the_prompts_are_those_of_each_row_alone_and_change_no_answer(
    chat_and_model, plan, told
):
    chat, model = chat_and_model
    prompts, rows = dict(enumerate(PROMPTS)), rows_of(PROMPTS)
    behind = Counting(rows)
    texts = answers(model, chat, plan, prompts, NEW, then=behind.read)
    assert texts == answers(model, chat, plan, prompts, NEW)
    assert behind.told == told
    assert set(behind.losses) == set(rows)
    found = behind.all(model, chat, 3)
    assert found == [behind.losses[i] for i in rows]
    for loss, row in zip(found, rows.values(), strict=True):
        assert loss == pytest.approx(alone(model, row), abs=1e-5)
    # Without answers they are the same bits.
    assert losses_behind(model, chat, plan, prompts, rows, 3) == found


def test_prompts_without_a_beginning_in_common_leave_the_rows_to_be_read_whole(chat_and_model):
    chat, model = chat_and_model
    different = [[i + 40, *prompt] for i, prompt in enumerate(PROMPTS)]
    prompts, rows = dict(enumerate(different)), rows_of(different)
    behind = Counting(rows)
    answers(model, chat, PLAN, prompts, NEW, then=behind.read)
    assert behind.told == []
    whole = held_out_losses(model, list(rows.values()), chat.pad_id, 3)
    assert behind.all(model, chat, 3) == losses_behind(model, chat, PLAN, prompts, rows, 3) == whole


def test_answers_that_end_at_once_leave_the_losses_alone(chat_and_model):
    chat, model = chat_and_model
    prompts, rows = dict(enumerate(PROMPTS)), rows_of(PROMPTS)
    behind = Behind(rows)
    answers(model, chat, PLAN, prompts, 1, then=behind.read)
    assert behind.all(model, chat, 3) == losses_behind(model, chat, PLAN, prompts, rows, 3)
