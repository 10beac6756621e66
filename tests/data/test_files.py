"""Broken files end in an error that names file and line and quotes nothing."""

from __future__ import annotations

import csv
import gzip
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ftstab.data.files import read_records
from ftstab.errors import DataError

SECRET = "zebra marmalade"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", b"", "the file is empty"),
        ("a.csv", f"x,y\n1,2\n{SECRET},2,3\n".encode(), r"line 3: 3 fields where the first line has 2"),
        ("a.csv", f"x,y\n1,2\n{SECRET}\n".encode(), r"line 3: 1 fields where"),
        ("a.csv", f'x,y\n1,"{SECRET}\n'.encode(), r"line 2: not valid CSV"),
        ("a.csv", f'x,y\n1,"{SECRET}" and\n'.encode(), r"line 2: not valid CSV"),
        ("a.csv", b"x,x\n1,2\n", "line 1: two columns have the same name"),
        ("a.csv", b"x,y\n1,\xff2\n", r"line 2: not UTF-8"),
        ("a.jsonl", f'{{"x": 1}}\n\n{{"x": {SECRET}}}\n'.encode(), r"line 3: not valid JSON"),
        ("a.jsonl", b'{"x": 1}\n[1]\n', r"line 2: not a JSON object"),
        ("a.jsonl", b'{"x": 1}\n{"x": "\xe9"}\n', r"line 2: not UTF-8"),
        ("a.jsonl", b"[" * 100_000, r"line 1: not valid JSON"),
        ("a.jsonl", b'{"x": ' + b"9" * 5000 + b"}", r"line 1: not valid JSON"),
        ("a.json", f'[{{"x": 1}},\n {SECRET}]'.encode(), r"line 2: not valid JSON"),
        ("a.json", b'{"x": 1}\n{"x": 2}\n', r"one object a line is named \.jsonl"),
        ("a.json", b'{"rows": []}', r"must hold a list"),
        ("a.json", b"3", r"must hold a list"),
        ("a.json", b'[{"x": 1}, 2]', r"item 2 of the list is not an object"),
        ("a.json", b"[" * 100_000, r"nested too deep"),
        ("a.json", b"[" + b"9" * 5000 + b"]", r"a number too long"),
        ("a.jsonl.gz", b"plain", r"not a whole gzip file"),
        # Without a time, which may differ between the processes that collect the tests.
        ("a.jsonl.gz", gzip.compress(b'{"x": 1}\n' * 99, mtime=0)[:-9], r"not a whole gzip file"),
        ("a.txt", b"x", r"allowed: \.csv, \.json, \.jsonl"),
        ("a.gz", b"x", r"allowed: \.csv, \.json, \.jsonl"),
    ],
)
def test_broken_files(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        read_records(tmp_path / name)
    assert str(tmp_path / name) in str(caught.value)
    assert SECRET not in str(caught.value)


def test_missing_file_names_the_nearest(tmp_path: Path) -> None:
    (tmp_path / "advbench.csv").write_text("x\n1\n")
    with pytest.raises(DataError, match=r"no such file \(did you mean 'advbench.csv'\?\)"):
        read_records(tmp_path / "advbnch.csv")
    with pytest.raises(DataError, match="no such file"):
        read_records(tmp_path / "nowhere" / "advbench.csv")
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(DataError, match="can't be read"):
        read_records(tmp_path / "folder.csv")
    with pytest.raises(DataError, match="not the path of a file"):
        read_records(tmp_path / "nul\0.csv")


def test_huge_csv_field_and_restored_limit(tmp_path: Path) -> None:
    before = 131_072
    csv.field_size_limit(before)
    (tmp_path / "a.csv").write_text("x\n" + "y" * 1_000_000 + "\n")
    [record] = read_records(tmp_path / "a.csv")
    assert len(record["x"]) == 1_000_000
    assert csv.field_size_limit() == before


def test_csv_line_ends_blank_lines_and_quotes(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b'x,y\r\n\r\n"a\r\nb","say ""c"""\r\n\0,2\r\n')
    assert read_records(tmp_path / "a.csv") == [{"x": "a\r\nb", "y": 'say "c"'}, {"x": "\0", "y": "2"}]


@given(st.binary(max_size=200), st.sampled_from([".csv", ".json", ".jsonl", ".csv.gz"]))
def test_any_bytes_give_records_or_a_data_error(tmp_path_factory, content: bytes, suffix: str) -> None:
    path = tmp_path_factory.mktemp("bytes") / f"a{suffix}"
    path.write_bytes(content)
    try:
        records = read_records(path)
    except DataError:
        return
    assert all(isinstance(record, dict) for record in records)
