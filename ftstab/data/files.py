"""Reading records (column name to value) out of .csv, .json and .jsonl files, plain or gzipped.

Reads files and nothing else.  An error names the file and the line, never what stands there.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
import sys
import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ftstab.errors import DataError, nearest

SUFFIXES = (".csv", ".json", ".jsonl")
_CSV_LIMIT = threading.Lock()


def named_path(name: str, base_dir: Path) -> Path:
    """Return the file or folder that a study file names: ``~`` is the home folder, and a relative path starts from
    ``base_dir``."""
    # Unlike `Path.expanduser`, no error where there is no such user.
    return base_dir / os.path.expanduser(name)


def read_records(path: Path) -> list[dict[str, Any]]:
    """Return the records of the file at ``path``, in its order.

    Raises:
        DataError: the file is missing, of no known kind, not UTF-8, or malformed.
    """
    name = path.name.lower()
    kind = Path(name.removesuffix(".gz")).suffix
    if kind not in SUFFIXES:
        raise DataError(
            f"{path}: not a kind of file that can be read; allowed: {', '.join(SUFFIXES)}, each also with .gz"
        )
    text = _text(path, zipped=name.endswith(".gz"))
    if kind == ".csv":
        return _csv(text, path)
    return _json(text, path) if kind == ".json" else _jsonl(text, path)


def _text(path: Path, zipped: bool) -> str:
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        names = os.listdir(path.parent) if os.access(path.parent, os.R_OK) else []
        raise DataError(f"{path}: no such file{nearest(path.name, names)}") from None
    except OSError as error:
        raise DataError(f"{path}: can't be read: {error.strerror}") from None
    except ValueError:
        raise DataError(f"{str(path)!r}: not the path of a file") from None
    if zipped:
        try:
            raw = gzip.decompress(raw)
        except (OSError, EOFError, zlib.error):
            raise DataError(f"{path}: not a whole gzip file; download or compress it again") from None
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise DataError(f"{path}, line {line}: not UTF-8 text; save the file as UTF-8") from None


@contextmanager
def _any_field_size() -> Iterator[None]:
    # The limit of 131,072 characters a field belongs to the whole process, so it is put back.
    with _CSV_LIMIT:
        before = csv.field_size_limit(min(sys.maxsize, 2**31 - 1))
        try:
            yield
        finally:
            csv.field_size_limit(before)


def _csv(text: str, path: Path) -> list[dict[str, Any]]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    records = []
    with _any_field_size():
        try:
            header = next(reader, None)
            if header is None:
                raise DataError(f"{path}: the file is empty")
            named = [h for h in header if h]
            if len(set(named)) < len(named):
                raise DataError(f"{path}, line 1: two columns have the same name")
            for fields in reader:
                if not fields:
                    continue
                if len(fields) != len(header):
                    raise DataError(
                        f"{path}, line {reader.line_num}: {len(fields)} fields where the first line has "
                        f"{len(header)} columns"
                    )
                records.append(dict(zip(header, fields, strict=True)))
        except csv.Error:
            raise DataError(
                f"{path}, line {reader.line_num}: not valid CSV; a field that holds commas, quotes or line "
                'ends stands in double quotes, and a quote inside it is written ""'
            ) from None
    return records


def _json(text: str, path: Path) -> list[dict[str, Any]]:
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        hint = "; a file with one object a line is named .jsonl" if error.msg == "Extra data" else ""
        raise DataError(f"{path}, line {error.lineno}: not valid JSON{hint}") from None
    except (ValueError, RecursionError):
        raise DataError(f"{path}: not usable JSON: nested too deep, or a number too long") from None
    if isinstance(value, dict) and isinstance(value.get("data"), list):
        value = value["data"]
    if not isinstance(value, list):
        raise DataError(f'{path}: must hold a list of objects, or {{"data": [...]}}')
    for number, record in enumerate(value, start=1):
        if not isinstance(record, dict):
            raise DataError(f"{path}: item {number} of the list is not an object")
    return value


def _jsonl(text: str, path: Path) -> list[dict[str, Any]]:
    records = []
    # Split at "\n" alone: splitlines() would also cut at separators that are allowed inside JSON strings.
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            raise DataError(f"{path}, line {number}: not valid JSON") from None
        if not isinstance(record, dict):
            raise DataError(f"{path}, line {number}: not a JSON object")
        records.append(record)
    return records
