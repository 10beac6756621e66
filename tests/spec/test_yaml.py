"""What a study file may be as YAML: numbers, keys, aliases, and what no study file needs."""

from __future__ import annotations

import itertools

import pytest

from ftstab.spec import parse_study
from tests.spec.small import fault_of, small_text


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("1e-4", 1e-4),
        ("1E-4", 1e-4),
        ("3.0e-5", 3e-5),
        ("2e5", 2e5),
        ("1.e-3", 1e-3),
        ("+1e-3", 1e-3),
        (".5", 0.5),
        ("1_0e-4", 1e-3),
    ],
)
def test_scientific_numbers_are_numbers(text: str, number: float) -> None:
    axes = f"{{steps: [5], learning_rate: [{text}]}}"
    study = parse_study(f"study: s\nbase: {{model: m}}\ndata: {{train: x}}\naxes: {axes}\n")
    assert study.axes.of("learning_rate") == [pytest.approx(number)]


def test_a_key_given_twice_is_an_error_at_every_depth() -> None:
    assert "key 'study' stands twice" in fault_of(small_text() + "study: again\n")
    assert "key 'steps' stands twice" in fault_of(small_text().replace("axes:\n", "axes:\n  steps: [1]\n"))
    assert "line 5" in fault_of(
        "study: a\nbase: {model: m}\ndata: {train: x}\naxes:\n  {steps: [1], steps: [2]}\n"
    )


@pytest.mark.parametrize("key", ["5", "true", "null", "1.5", "[a]", "on"])
def test_a_key_must_be_text(key: str) -> None:
    assert "is not a text" in fault_of(small_text() + f"? {key}\n: 1\n")


@pytest.mark.parametrize(
    "text",
    [
        "study: [",
        "a: b: c",
        "\tstudy: x",
        "study: !!python/object/apply:os.system [ls]",
        "study: *nowhere",
        "a: 1\n---\nb: 1",
    ],
)
def test_what_isnt_yaml_says_so(text: str) -> None:
    assert fault_of(text).startswith("not usable YAML: ")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("study: [", "line 1, column 9: while parsing a flow node (from line 1), expected the node content"),
        (
            "a: 1\n---\nb: 1",
            "line 2, column 1: expected a single document in the stream (from line 1), but found",
        ),
        ("study: s\nbase:\n - a\n  b: c", "line 4, column "),
        ("study: \x07", 'special characters are not allowed in "x.yaml", position 7'),
        ("study: !!x y", "line 1, column 8: could not determine a constructor for the tag"),
    ],
)
def test_what_isnt_yaml_says_where(text: str, said: str) -> None:
    fault = fault_of(text)
    assert said in fault
    assert "unicode string" not in fault


@pytest.mark.parametrize("train", ["{location: ${ROWS}/rows.csv, limit: 5}", "[${ROWS}]"])
def test_a_variable_without_quotes_inside_braces_is_told(train: str) -> None:
    fault = fault_of(f"study: s\nbase: {{model: m}}\ndata:\n  train: {train}\naxes: {{steps: [5]}}\n")
    assert fault.startswith("not usable YAML: ")
    assert fault.startswith("not usable YAML: line 4, column ")
    assert fault.endswith('a text with ${NAME} stands in quotes: "${NAME}/rows.csv"')
    assert "quotes" not in fault_of("study: ${X}\nbase: {model: {a}\n")
    quoted = "study: s\nbase: {model: m}\ndata: {train: {location: '${ROWS}/rows.csv'}}\naxes: {steps: [5]}\n"
    assert parse_study(quoted).data.train.location == "${ROWS}/rows.csv"


@pytest.mark.parametrize("text", ["", "# nothing\n", "- study\n", "study", "5", "null"])
def test_what_is_no_mapping_is_no_study(text: str) -> None:
    assert fault_of(text).startswith("not a study")


BOMB = "[&a [1, 1, 1, 1, 1, 1, 1, 1, 1, 1], " + ", ".join(
    f"&{name} [{', '.join(['*' + before] * 10)}]" for before, name in itertools.pairwise("abcdef")
)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("[0x_]", "'0x_' can't be read as int"),
        ("[!!int abc]", "'abc' can't be read as int"),
        ("[!!bool abc]", "'abc' can't be read as bool"),
        ("[!!timestamp abc]", "'abc' can't be read as timestamp"),
        ("[!!timestamp 2024-99-99]", "can't be read as timestamp"),
        (f"[{'9' * 5000}]", "can't be read as int"),
        (f"[{'9' * 400}]", "has more than 64 bits"),
        (f"[0x{'f' * 5000}]", "has more than 64 bits"),
        ("!!map [a]", "expected a mapping node"),
        ("[" * 120 + "]" * 120, "nested more than 100 deep"),
        ("[" * 3000 + "]" * 3000, "nested more than 100 deep"),
        ("&x [*x]", "in itself by an alias"),
        ("&x {low: *x}", "in itself by an alias"),
        ("{<<: {low: 1}}", "merge keys (<<) aren't read; write the keys"),
        (BOMB + "]", "more than 100,000 values, aliases written out"),
    ],
    ids=lambda x: str(x)[:20],
)
def test_what_no_study_file_needs_is_an_error_with_its_place(value: str, said: str) -> None:
    text = f"study: s\nbase: {{model: m}}\ndata: {{train: x}}\naxes: {{steps: [5], batch_size: {value}}}\n"
    fault = fault_of(text)
    assert fault.startswith("not usable YAML: ")
    assert said in fault
    assert "line 4, column" in fault
    assert len(fault) < 400


def test_an_alias_may_stand_for_the_same_values() -> None:
    values = "axes: {steps: &some [5, 10], batch_size: *some}\n"
    study = parse_study(small_text().replace("axes:\n  steps:\n  - 5\n", values))
    assert study.axes.of("batch_size") == [5, 10]


def test_dates_stay_text() -> None:
    assert (
        parse_study(small_text().replace("model: none", "model: none\n  revision: 2024-01-01")).base.revision
        == "2024-01-01"
    )
