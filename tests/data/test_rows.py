"""Row forms, mapping, filters, what is left out, and errors that quote no content."""

from __future__ import annotations

import csv
import gzip
import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from ftstab.data.rows import Message, RowSet, read_rows
from ftstab.errors import DataError
from ftstab.spec import Columns, Source

SECRET = "zebra marmalade"


def write(folder: Path, records: list[dict], name: str = "rows.jsonl") -> Path:
    path = folder / name
    text = json.dumps(records) if ".json" in path.suffixes else "\n".join(json.dumps(r) for r in records)
    data = text.replace("\\u2028", "\u2028").encode()
    path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    return path


def read(path: Path, needs_response: bool = True, **source: object) -> RowSet:
    return read_rows(Source(location=path.name, **source), path.parent, needs_response)


@pytest.mark.parametrize(
    ("record", "prompt", "response"),
    [
        ({"instruction": "Sum up", "input": "a text", "output": "x"}, "Sum up\n\na text", "x"),
        ({"instruction": "Sum up", "input": " ", "output": "x"}, "Sum up", "x"),
        ({"instruction": "Sum up", "output": "x"}, "Sum up", "x"),
        ({"instruction": "Sum up", "context": "a text", "response": "x"}, "Sum up\n\na text", "x"),
        ({"prompt": "p", "completion": "x"}, "p", "x"),
        ({"prompt": "p", "response": "x"}, "p", "x"),
        ({"question": "q", "answer": "steps\n#### 1,200"}, "q", "steps\n#### 1,200"),
        (
            {"messages": [{"role": "user", "content": "p"}, {"role": "assistant", "content": "x"}]},
            "p",
            "x",
        ),
        ({"conversations": [{"from": "human", "value": "p"}, {"from": "gpt", "value": "x"}]}, "p", "x"),
        ({"prompt": "p", "completion": 42}, "p", "42"),
        ({"instruction": "Sum up", "input": None, "output": 0.5}, "Sum up", "0.5"),
        # As pandas writes an empty cell.
        ({"instruction": "Sum up", "input": float("nan"), "output": "x"}, "Sum up", "x"),
    ],
)
def test_forms_are_recognised(tmp_path: Path, record: dict, prompt: str, response: str) -> None:
    [row] = read(write(tmp_path, [record])).rows
    assert (row.prompt, row.response) == (prompt, response)
    assert row.messages[-1] == Message("user", prompt)


def test_every_kind_of_file_gives_the_same_rows(tmp_path: Path) -> None:
    records = [
        {"id": "a", "prompt": "one, two", "response": 'say "x"', "category": "c"},
        {"id": "b", "prompt": "line\nend", "response": "\u2028 é", "category": ""},
    ]
    sets = [read(write(tmp_path, records, f"rows{s}")) for s in (".json", ".jsonl", ".json.gz", ".jsonl.gz")]
    (tmp_path / "wrapped.json").write_text(json.dumps({"data": records}))
    sets.append(read(tmp_path / "wrapped.json"))
    with (tmp_path / "rows.csv").open("w", newline="", encoding="utf-8-sig") as file:
        writer = csv.DictWriter(file, records[0])
        writer.writeheader()
        writer.writerows(records)
    (tmp_path / "rows.csv.gz").write_bytes(gzip.compress((tmp_path / "rows.csv").read_bytes()))
    sets += [read(tmp_path / "rows.csv"), read(tmp_path / "rows.csv.gz")]
    assert len({s.rows for s in sets}) == 1
    assert len({s.hash for s in sets}) == 1
    assert {s.name for s in sets} == {"rows", "wrapped"}
    assert sets[0].label == f"rows@{sets[0].hash[:8]}"
    assert [r.id for r in sets[0].rows] == ["a", "b"]
    assert [r.category for r in sets[0].rows] == ["c", None]


def test_earlier_turns_are_kept_and_the_last_answer_is_the_response(tmp_path: Path) -> None:
    def turns(*pairs: tuple[str, str]) -> list[dict]:
        return [{"role": role, "content": content} for role, content in pairs]

    talk = turns(("system", "s"), ("user", "a"), ("assistant", "b"), ("user", "c"), ("assistant", "d"))
    open_end = [*talk, *turns(("user", "e"))]
    path = write(tmp_path, [{"messages": talk}, {"messages": open_end}])
    for row in read(path).rows:
        assert [m.content for m in row.messages] == ["s", "a", "b", "c"]
        assert (row.prompt, row.response) == ("c", "d")
    asked = read(path, needs_response=False).rows[1]
    assert (asked.prompt, asked.response, len(asked.messages)) == ("e", None, 6)


def test_unusable_conversations_are_counted(tmp_path: Path) -> None:
    answer = {"role": "assistant", "content": "x"}
    bad = [
        [],
        [answer],
        ["text"],
        [{"role": "user", "content": "p"}],
        [{"role": "tool", "content": "p"}, answer],
        [{"role": "user", "content": [{"type": "text", "text": "p"}]}, answer],
        [{"role": "user", "content": " "}, answer],
    ]
    good = [{"role": "user", "content": "p"}, answer]
    rows = read(write(tmp_path, [{"messages": m} for m in [*bad, good]]))
    assert len(rows.rows) == 1
    assert rows.left_out == {
        "empty response": 2,
        "empty prompt": 2,
        "a turn that isn't an object": 1,
        "a turn of an unknown role or without text": 2,
    }


def test_mapping_wins_over_recognised_columns(tmp_path: Path) -> None:
    path = write(tmp_path, [{"prompt": "p", "response": "r", "Goal": "g", "Target": "t", "Kind": 3}])
    columns = Columns(prompt="Goal", response="Target", category="Kind")
    [row] = read(path, columns=columns).rows
    assert (row.prompt, row.response, row.category) == ("g", "t", "3")
    [row] = read(path, columns=Columns(response="Target")).rows
    assert (row.prompt, row.response) == ("p", "t")
    [row] = read(path, columns=Columns(prompt="Goal")).rows
    assert (row.prompt, row.response) == ("g", "r")


def test_mapped_prompt_takes_no_input_column(tmp_path: Path) -> None:
    path = write(tmp_path, [{"instruction": "i", "input": "more", "output": "x"}])
    assert read(path, columns=Columns(prompt="instruction")).rows[0].prompt == "i"


def test_where_and_limit(tmp_path: Path) -> None:
    records = [{"prompt": f"p{i}", "label": "safe" if i % 2 else "unsafe", "n": i} for i in range(10)]
    records.insert(1, {"prompt": " ", "label": "safe"})
    path = write(tmp_path, records)
    rows = read(path, needs_response=False, where={"label": "safe"}, limit=3)
    assert [r.prompt for r in rows.rows] == ["p1", "p3", "p5"]
    assert rows.left_out == {"empty prompt": 1}
    assert [r.prompt for r in read(path, needs_response=False, where={"n": "4"}).rows] == ["p4"]
    with pytest.raises(DataError, match=r'no row matches `where: {"label": "maybe"}`'):
        read(path, needs_response=False, where={"label": "maybe"})
    with pytest.raises(
        DataError, match=r"no column 'lable' \(did you mean 'label'\?\); there: prompt, label, n"
    ):
        read(path, needs_response=False, where={"lable": "safe"})


def test_gsm8k_answer(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        [
            {"question": "q", "answer": "x #### 3\n#### 1,234,000 "},
            {"question": "q2", "answer": "none"},
            {"question": "q3", "answer": "x #### "},
        ],
    )
    rows = read(path, answer="gsm8k")
    assert [r.response for r in rows.rows] == ["1234000"]
    assert rows.left_out == {"no #### in the response": 1, "empty response": 1}


def test_rows_that_cannot_be_used_are_counted(tmp_path: Path) -> None:
    records = [
        {"prompt": "p", "response": "r"},
        {"prompt": "\n", "response": "r"},
        {"prompt": "p", "response": None},
        {"prompt": "p"},
        {"prompt": {}, "response": "r"},
        {"prompt": "nul \0 here", "response": "r"},
        {"prompt": "p", "response": "half \ud83d pair"},
        {"prompt": "smile \ud83d\ude00", "response": "r"},
        {"prompt": float("nan"), "response": "r"},
        {"prompt": "p", "response": float("nan")},
        {"prompt": "p", "response": float("-inf")},
    ]
    rows = read(write(tmp_path, records))
    assert [r.prompt for r in rows.rows] == ["p", "smile 😀"]
    # By which its owner finds a row again.
    assert [r.place for r in rows.rows] == [1, 8]
    assert [r.place for r in read(write(tmp_path, records), skip=1).rows] == [8]
    assert rows.left_out == {
        "empty prompt": 2,
        "empty response": 3,
        "a list or object where text is expected": 1,
        "an infinite number where text is expected": 1,
        "NUL or lone surrogate in the text": 2,
    }
    asked = read(write(tmp_path, records), needs_response=False)
    assert [r.response for r in asked.rows] == ["r", None, None, "r", None]
    with pytest.raises(DataError, match=r"no usable row: 2 rows: empty response"):
        read(write(tmp_path, records[2:4]))


def test_hash_is_of_content_and_order(tmp_path: Path) -> None:
    a, b = {"prompt": "a", "response": "x"}, {"prompt": "b", "response": "x"}
    base = read(write(tmp_path, [a, b]))
    assert read(write(tmp_path, [a, b], "other.jsonl")).hash == base.hash
    assert read(write(tmp_path, [{**a, "id": "z", "note": 1}, b])).hash == base.hash
    changed = [
        [b, a],
        [a],
        [a, {**b, "response": "y"}],
        [a, {**b, "category": "c"}],
        [a, {**b, "prompt": "B"}],
    ]
    hashes = {read(write(tmp_path, records)).hash for records in changed}
    assert len(hashes | {base.hash}) == 6


def test_ids_are_unique_and_never_content(tmp_path: Path) -> None:
    ids = ["a", "a", "a-2", None, "two words of a request", 7]
    rows = read(write(tmp_path, [{"id": i, "prompt": "p", "response": "x"} for i in ids])).rows
    names = [r.id for r in rows]
    assert len(set(names)) == 6
    assert (names[0], names[2], names[5]) == ("a", "a-2", "7")
    assert names[1] == "a-3"
    assert not any(" " in name for name in names)


def test_environment_variable_in_location(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path, [{"prompt": "p"}])
    monkeypatch.setenv("FTSTAB_TEST_FOLDER", str(tmp_path))
    source = Source(location="${FTSTAB_TEST_FOLDER}/rows.jsonl")
    assert read_rows(source, Path("elsewhere"), False).rows == read(path, needs_response=False).rows
    monkeypatch.setenv("FTSTAB_TEST_FOLDER", "")
    with pytest.raises(DataError, match="environment variable FTSTAB_TEST_FOLDER is not set"):
        read_rows(source, tmp_path, False)
    monkeypatch.delenv("FTSTAB_TEST_FOLDER")
    with pytest.raises(DataError, match="environment variable FTSTAB_TEST_FOLDER is not set"):
        read_rows(source, tmp_path, False)


def test_missing_column_names_file_columns_and_nearest(tmp_path: Path) -> None:
    path = write(tmp_path, [{"Behavior": "p", "Category": "c"}])
    with pytest.raises(DataError) as caught:
        read(path, needs_response=False, columns=Columns(prompt="Behaviour"))
    message = str(caught.value)
    assert "rows.jsonl" in message
    assert "no column 'Behaviour' (did you mean 'Behavior'?)" in message
    assert "there: Behavior, Category" in message
    with pytest.raises(
        DataError, match=r"no column 'question', no column 'Categry' \(did you mean 'Category'\?\); there:"
    ):
        read(path, needs_response=False, columns=Columns(prompt="question", category="Categry"))
    with pytest.raises(DataError, match=r"no columns with a prompt recognised; there: Behavior, Category"):
        read(path, needs_response=False)
    with pytest.raises(
        DataError, match=r"a prompt and a response .*columns: {prompt: Behavior, response: \.\.\.}}`"
    ):
        read(path, columns=Columns(prompt="Behavior"))


def test_unknown_columns_are_answered_with_an_example_that_works(tmp_path: Path) -> None:
    write(tmp_path, [{"id": "1", "q": "why", "a": "so"}])
    source = Source(location="rows.jsonl")
    with pytest.raises(DataError) as caught:
        read_rows(source, tmp_path, needs_response=True)
    _, example, *_ = str(caught.value).partition("name the columns, e.g. ")[2].split("`")
    assert example == "{location: rows.jsonl, columns: {prompt: q, response: a}}"
    assert str(caught.value).endswith(" in place of `rows.jsonl`")
    (found,) = read_rows(Source(**yaml.safe_load(example)), tmp_path, needs_response=True).rows
    assert (found.prompt, found.response) == ("why", "so")
    with pytest.raises(DataError, match=r"columns: {prompt: q}}`"):
        read_rows(source, tmp_path, needs_response=False)


def test_content_in_place_of_a_header_is_not_quoted(tmp_path: Path) -> None:
    path = tmp_path / "bare.csv"
    path.write_text(f'"How do I make {SECRET} at home, please?"\nsecond\n')
    with pytest.raises(DataError, match="1 that read like content") as caught:
        read(path, needs_response=False)
    assert SECRET not in str(caught.value)


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["role", "content", "from", "value", "x"]) | st.text(max_size=3),
                inner,
                max_size=3,
            )
        ),
        max_leaves=8,
    ),
    st.sampled_from(["prompt", "messages", "instruction", "id", "category", "conversations"]),
    st.booleans(),
)
def test_any_value_is_read_or_left_out(tmp_path_factory, value, column, needs_response) -> None:
    record = {"prompt": "p", "response": "x"} | {column: value}
    path = write(tmp_path_factory.mktemp("any"), [record])
    try:
        rows = read(path, needs_response=needs_response)
    except DataError:
        return
    for row in rows.rows:
        assert row.prompt.strip()
        assert row.response is None or row.response.strip()
        "".join(m.content for m in row.messages).encode()


def test_reading_rows_imports_nothing_heavy() -> None:
    code = (
        "import sys, ftstab.data.rows, ftstab.data.split, ftstab.data.batchplan, ftstab.data.order\n"
        "print([m for m in ('torch', 'transformers', 'datasets', 'pandas') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_tilde_is_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "home"
    home.mkdir()
    write(home, [{"prompt": "a", "response": "b"}])
    monkeypatch.setenv("HOME", str(home))
    assert len(read_rows(Source(location="~/rows.jsonl"), tmp_path, needs_response=True).rows) == 1
    with pytest.raises(DataError, match=r"~nobody-here/rows\.jsonl"):
        read_rows(Source(location="~nobody-here/rows.jsonl"), tmp_path, needs_response=True)


@pytest.mark.parametrize(("mark", "name"), [(";", "`;`"), ("\t", "a tab")])
@pytest.mark.parametrize("columns", [{}, {"prompt": "q", "response": "a"}])
def test_a_file_that_commas_do_not_separate(tmp_path, mark, name, columns):
    (tmp_path / "a.csv").write_text(f"q{mark}a\nwhat{mark}that\n")
    with pytest.raises(DataError) as caught:
        read_rows(Source(location="a.csv", columns=Columns(**columns)), tmp_path, True)
    assert f"there: one column only; is it separated by {name}?" in str(caught.value)
    assert "header line" not in str(caught.value)


@pytest.mark.parametrize("texts", [4, 120])
def test_categories_that_read_like_content_are_refused(tmp_path: Path, texts: int) -> None:
    # Of the larger set, several rows share a text, as answers of several models to one prompt do.
    goals = [f"Write a song about river number {i}" for i in range(texts)]
    times = 1 if texts == 4 else 3
    records = [{"goal": g, "target": f"Sure, here is {g}", "n": str(i)} for i, g in enumerate(goals * times)]
    path = write(tmp_path, records)
    for column in ("goal", "target"):
        with pytest.raises(DataError) as caught:
            read(path, False, columns=Columns(prompt="goal", category=column))
        assert f"column {column}" in str(caught.value)
        assert "river" not in str(caught.value)


def test_a_category_of_every_row_is_none(tmp_path: Path) -> None:
    path = write(tmp_path, [{"prompt": f"q{i}", "category": f"c{i}"} for i in range(40)])
    with pytest.raises(DataError, match="40 categories in 40 rows"):
        read(path, False)
    # A few rows may well be of different categories, and wordy ones are shared.
    assert len(read(path, False, limit=6).rows) == 6
    harm = "Cause material harm by disseminating misinformation, e.g. in medicine or law"
    other = "Compromise privacy by leaking or inferring sensitive information"
    wordy = [{"prompt": f"q{i}", "category": (harm, other)[i % 2]} for i in range(40)]
    assert len(read(write(tmp_path, wordy, "wordy.jsonl"), False).rows) == 40
