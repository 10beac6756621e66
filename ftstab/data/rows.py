"""Rows: requests with their answers and categories, read from built-in sets, files or the hub.

Reads files (and, for `hf:`, the hub); writes nothing.  No error quotes the content of a row.
"""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

from ftstab.data.files import named_path, read_records
from ftstab.data.forms import Form, check_categories, recognise, require, source_example
from ftstab.data.frozen import builtin_path
from ftstab.data.hub import hub_records
from ftstab.data.tasks import Instruction, UnusableError, cell_text, part, read_choices, read_instructions
from ftstab.errors import DataError, NotHereError
from ftstab.identity import digest
from ftstab.spec import Choices, Columns, Source

ROLES = {
    "system": "system",
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "model": "assistant",
}
_UNUSABLE = re.compile("[\x00\ud800-\udfff]")
_ID = re.compile(r"[A-Za-z0-9_.:/-]{1,64}")


class Message(NamedTuple):
    """One turn; ``role`` is system, user or assistant."""

    role: str
    content: str


@dataclass(frozen=True)
class Row:
    """One request.

    Attributes:
        id: unique in its set; from the column `id`, or from the content.
        messages: the turns up to the answer and without it; the last one is the user's.
        response: the answer, if the row has one.
        category: what rates are also reported by.
        choices: answers to choose from (multiple choice), the response among them.
        instructions: what rules can check of an answer (IFEval's form).
        place: number of its record in the source, from 1; 0 where it comes from none.  No part of what it is.
    """

    id: str
    messages: tuple[Message, ...]
    response: str | None
    category: str | None
    choices: tuple[str, ...] = ()
    instructions: tuple[Instruction, ...] = ()
    place: int = field(default=0, compare=False)

    @property
    def spot(self) -> str:
        """How it is found in its source: the number of its record where it comes from one, else its id."""
        return f"record {self.place}" if self.place else self.id

    @property
    def prompt(self) -> str:
        """What the user says last."""
        return self.messages[-1].content


@dataclass(frozen=True)
class RowSet:
    """Rows in the order of their source.

    Attributes:
        name: `builtin:<name>`, `hf:<owner>/<dataset>`, or the file's name without its suffixes.
        rows: the rows.
        hash: key of all content (turns, answers, categories, choices, instructions) in this order; ids don't count.
        left_out: how many rows of the source can't be used, by reason.
    """

    name: str
    rows: tuple[Row, ...]
    hash: str
    left_out: dict[str, int] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """Name and hash, as printed beside every number."""
        return f"{self.name}@{self.hash[:8]}"


def read_rows(source: Source, base_dir: Path, needs_response: bool, choices: Choices | None = None) -> RowSet:
    """Read the rows of ``source``.

    Rows without a prompt, or without a response where one is needed, are left out and counted.  `limit` keeps
    the first rows of those that can be used.

    Args:
        source: location, column mapping, filter.
        base_dir: folder that a relative location starts from (that of the study file).
        needs_response: leave out rows without an answer.
        choices: where the choices of a multiple-choice task stand, if it is one; the response column names the
            right one.

    Raises:
        DataError: the source can't be read, lacks a column, or has no usable row.
        NotHereError: it can't be had on this machine as it is set up.
    """
    location = _fill(source.location)
    columns = source.columns
    if location.startswith("builtin:"):
        path = builtin_path(location)
        name, where, records = f"builtin:{path.stem}", location, read_records(path)
        if columns.category is None and records and "kind" in records[0]:
            # The task sets say `kind`: the kind of record that a note becomes.
            columns = Columns(prompt=columns.prompt, response=columns.response, category="kind")
    elif location.startswith("hf:"):
        name, where, records = location, location, hub_records(location, source)
    else:
        path = named_path(location, base_dir)
        name, where, records = Path(re.sub(r"(?i)\.gz$", "", path.name)).stem, str(path), read_records(path)
    return _row_set(name, where, records, source, columns, needs_response, choices)


def _fill(location: str) -> str:
    """Replace ``${NAME}`` by the environment's value."""

    def value(match: re.Match[str]) -> str:
        found = os.environ.get(match[1])
        if not found:
            raise NotHereError(
                f"{location}: the environment variable {match[1]} is not set; set it to a folder or name",
                f"{location} can't be found, for the environment variable {match[1]} is not set",
            )
        return found

    return re.sub(r"\$\{(\w+)\}", value, location)


def _row_set(
    name: str,
    where: str,
    records: Iterable[Mapping[str, Any]],
    source: Source,
    columns: Columns,
    needs_response: bool,
    choices: Choices | None,
) -> RowSet:
    records = list(records)
    there = list(dict.fromkeys(column for record in records for column in record))
    if not records:
        raise DataError(f"{where}: no rows")
    form = recognise(there, columns, needs_response, where, source_example(source.location))
    require([*source.where, *([choices.column] if choices and choices.column else [])], there, where)
    rows: list[Row] = []
    left_out: Counter[str] = Counter()
    for place, record in enumerate(records, start=1):
        if any(cell_text(record.get(column)) != value for column, value in source.where.items()):
            continue
        try:
            rows.append(replace(_row(record, form, source, needs_response, choices), place=place))
        except UnusableError as reason:
            left_out[str(reason)] += 1
        if source.limit is not None and len(rows) == source.skip + source.limit:
            break
    rows = rows[source.skip :]
    if not rows:
        if left_out:
            why = "; ".join(f"{count} rows: {reason}" for reason, count in left_out.items())
        elif source.skip:
            why = f"`skip: {source.skip}` leaves none"
        else:
            why = f"no row matches `where: {json.dumps(source.where)}`"
        raise DataError(f"{where}: no usable row: {why}")
    check_categories(form, [row.category for row in rows], where)
    return RowSet(name, tuple(_with_unique_ids(rows)), digest([_content(r) for r in rows]), dict(left_out))


def _content(row: Row) -> list[Any]:
    """What of a row counts.  What it hasn't leaves no trace, so that the key of a set stays as it was."""
    whole: list[Any] = [row.messages, row.response, row.category]
    if row.choices:
        whole.append({"choices": row.choices})
    if row.instructions:
        whole.append({"instructions": row.instructions})
    return whole


def _row(
    record: Mapping[str, Any], form: Form, source: Source, needs_response: bool, spec: Choices | None
) -> Row:
    response: str | None
    value = record.get(form.prompt)
    if isinstance(value, list):
        messages, response = _conversation(value, needs_response and form.response is None)
        if form.response is not None:
            response = part(record, form.response)
    else:
        parts = [part(record, form.prompt), *(part(record, column) for column in form.inputs)]
        if not parts[0].strip():
            raise UnusableError("empty prompt")
        messages = (Message("user", "\n\n".join([parts[0], *(p for p in parts[1:] if p.strip())])),)
        response = None if form.response is None else part(record, form.response)
    if response is not None and source.answer == "gsm8k":
        response = _gsm8k(response)
    if response is not None and not response.strip():
        response = None
    if response is None and needs_response:
        raise UnusableError("empty response")
    offered: tuple[str, ...] = ()
    if spec is not None:
        offered, response = read_choices(record, messages[-1].content, response or "", spec)
    category = None if form.category is None else part(record, form.category).strip() or None
    if any(
        _UNUSABLE.search(text)
        for text in (*(m.content for m in messages), response or "", category or "", *offered)
    ):
        raise UnusableError("NUL or lone surrogate in the text")
    given = cell_text(record.get("id")) or ""
    name = given if _ID.fullmatch(given) else digest([messages, response, category])[:12]
    return Row(name, messages, response, category, offered, read_instructions(record))


def _conversation(turns: list[Any], needs_response: bool) -> tuple[tuple[Message, ...], str | None]:
    """The turns up to the answer, and the answer: the last assistant turn.

    Without an assistant turn at the end, a prompt set asks what the user says last; where an answer is
    needed, what follows the last one is dropped.
    """
    messages = []
    for turn in turns:
        if not isinstance(turn, dict):
            raise UnusableError("a turn that isn't an object")
        role = ROLES.get(str(turn.get("role", turn.get("from"))))
        content = turn.get("content", turn.get("value"))
        if role is None or not isinstance(content, str):
            raise UnusableError("a turn of an unknown role or without text")
        messages.append(Message(role, content))
    response = None
    if needs_response:
        while messages and messages[-1].role != "assistant":
            messages.pop()
        if not messages:
            raise UnusableError("empty response")
    if messages and messages[-1].role == "assistant":
        response = messages.pop().content
    if not messages or messages[-1].role != "user" or not messages[-1].content.strip():
        raise UnusableError("empty prompt")
    return tuple(messages), response


def _gsm8k(answer: str) -> str:
    _, mark, right = answer.rpartition("####")
    if not mark:
        raise UnusableError("no #### in the response")
    return right.strip().replace(",", "")


def _with_unique_ids(rows: list[Row]) -> list[Row]:
    """Number the ids that stand more than once."""
    given = {row.id for row in rows}
    taken: set[str] = set()
    unique = []
    for row in rows:
        name, number = row.id, 1
        while name in taken or (number > 1 and name in given):
            number += 1
            name = f"{row.id}-{number}"
        taken.add(name)
        unique.append(replace(row, id=name))
    return unique
