"""What the key of an outcome holds: everything that decides its numbers, and nothing else."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from ftstab.evaluation.questions import make_questions
from ftstab.models.chat import Chat
from ftstab.models.control import ControlTokens
from ftstab.models.load import load_chat, load_tokenizer
from ftstab.plan import study_plan
from ftstab.results import evaluation_part
from ftstab.spec import Template, parse_study
from ftstab.spec.search import Hopeless
from tests.tiny import CHAT, make_turns_model, study_dict, study_yaml

BRIEF = "Answer in one sentence."


def start_key(model: Path, **changes: object) -> str:
    """Key of the start model's outcome; ``changes`` of `evaluation` replace single keys, others whole sections."""
    plain = study_dict(model, Path("unused"))
    merged = plain["evaluation"] | changes.pop("evaluation", {})
    study = parse_study(study_yaml(model, Path("unused"), evaluation=merged, **changes))
    chat = Chat(load_tokenizer(model), study.template, 512)
    return make_questions(study, Path(), chat).outcome_key(study_plan(study, "base", "data").start.key)


def test_the_start_reads_held_out_rows_behind_the_prompt_of_training(tiny_model: Path) -> None:
    plain = start_key(tiny_model)
    assert start_key(tiny_model, template={"training_system_prompt": None}) == plain
    brief = start_key(tiny_model, template={"training_system_prompt": BRIEF})
    assert brief != plain
    assert start_key(tiny_model, template={"training_system_prompt": "Be brief."}) not in (plain, brief)


@pytest.mark.parametrize(
    ("own", "counts"),
    [
        ({"repetition_penalty": 1.05}, True),
        ({"suppress_tokens": [7]}, True),
        (
            {"repetition_penalty": 1.0, "do_sample": True, "temperature": 0.7, "top_p": 0.8, "top_k": 20},
            False,
        ),
    ],
    ids=["a penalty", "tokens never said", "sampling alone"],
)
def test_answers_of_before_a_models_defaults_were_passed_over_are_others(
    tiny_model: Path, tmp_path: Path, own: dict[str, object], counts: bool
) -> None:
    study = parse_study(study_yaml(tiny_model, Path("unused")))
    folder = shutil.copytree(tiny_model, tmp_path / "model")
    path = folder / "generation_config.json"
    defaults = json.loads(path.read_text())

    def keys() -> set[str]:
        asked = make_questions(study, Path(), load_chat(folder, study.template))
        return {asked.key} | {q.key for q in asked.sets.values()}

    plain = keys()
    path.write_text(json.dumps(defaults | own))
    assert (keys() & plain == set()) == counts
    # Without the file, transformers reads the model's own configuration.
    path.unlink()
    assert keys() == plain
    config = folder / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | own))
    assert (keys() & plain == set()) == counts


def test_without_held_out_rows_the_prompt_of_training_asks_nothing_of_the_start(tiny_model: Path) -> None:
    short = {"training": {"precision": "float32", "max_length": 8}}  # no row leaves room for an answer
    brief = start_key(tiny_model, template={"training_system_prompt": BRIEF}, **short)
    assert brief == start_key(tiny_model, **short)


def test_how_a_turn_ends_is_part_of_the_key_where_it_isnt_as_ever(tiny_model: Path, tmp_path: Path) -> None:
    turns = make_turns_model(tmp_path / "turns", tiny_model)
    assert start_key(turns) != start_key(tiny_model)
    same = {"template": {"chat_template": CHAT}}
    assert start_key(turns, **same) == start_key(tiny_model, **same)


@pytest.mark.parametrize("place", ["asked", "held out"])
@pytest.mark.parametrize("text", ["Say a.", "Say <|im_end|>."])
def test_text_that_is_written_like_a_control_token_is_part_of_the_key(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str, text: str
) -> None:
    # Far enough apart to fall in both halves.
    words = [" ".join(f"{letter}{n}" for n in range(20)) for letter in "abcdefgh"]
    rows = [{"prompt": f"{some} ", "response": "x"} for some in words]
    for row in rows:
        row["prompt" if place == "asked" else "response"] += text
    (file := tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    name = "data" if place == "asked" else "held_out"
    evaluation = {"utility": {"metric": "exact_match", name: str(file)}}
    key = start_key(tiny_model, evaluation=evaluation)
    monkeypatch.setattr(ControlTokens, "stand_in", lambda self, texts: False)
    assert (start_key(tiny_model, evaluation=evaluation) == key) is ("<" not in text)


@pytest.mark.parametrize("read", [True, False])
def test_the_order_of_compute_types_counts_where_the_start_is_read(tiny_model: Path, read: bool) -> None:
    """The first is the start's; settings of both have the same keys in either order."""
    more = {"stopping": {}, "constraints": {"harmful_response": {"max": 0.2}}} if read else {}
    chat = Chat(load_tokenizer(tiny_model), Template(), 512)

    def keys(*precision: str) -> tuple[str, str]:
        axes = {"learning_rate": [1e-3], "batch_size": [4], "steps": [2], "precision": [*precision]}
        text = study_yaml(tiny_model, Path("unused"), axes=axes, training={"max_length": 160}, **more)
        study = parse_study(text)
        return make_questions(study, Path(), chat).key, evaluation_part(study)

    one, other = keys("float32", "bfloat16"), keys("bfloat16", "float32")
    assert [a == b for a, b in zip(one, other, strict=True)] == [not read] * 2
    # One compute type is in the key of every setting.
    assert keys("float32") == keys("bfloat16")


def test_bounds_on_what_is_hopeless_are_in_keys_by_their_identity(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that a bound which a later version knows changes no key of studies without it."""
    search = {"method": "optuna", "budget": {"trajectories": 4}, "hopeless": {"gain_below": 0.0}}
    axes = {"learning_rate": [1e-3, 1e-2], "batch_size": [4], "steps": [2, 4]}
    study = parse_study(study_yaml(tiny_model, Path("unused"), axes=axes, search=search))
    chat = Chat(load_tokenizer(tiny_model), Template(), 512)

    def keys() -> tuple[str, str]:
        return make_questions(study, Path(), chat).key, evaluation_part(study)

    before = keys()
    monkeypatch.setattr(Hopeless, "identity", lambda self: {"gain_below": 0.5})
    assert all(a != b for a, b in zip(before, keys(), strict=True))
