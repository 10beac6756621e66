"""Which column of a record holds what: the row forms that are recognised, and the mapping that wins over it.

Pure.  Column names stand in errors only where they look like names, because the first line of a CSV file
without a header is content.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ftstab.errors import DataError, nearest
from ftstab.spec import Columns

TURNS = ("messages", "conversations")
"""Columns that hold a whole conversation."""
TEXTS = (
    ("instruction", ("output", "response")),
    ("prompt", ("completion", "response")),
    ("question", ("answer",)),
)
"""Prompt column and its response columns: alpaca and dolly, prompt/completion, question/answer."""
INPUTS = ("input", "context")
"""Columns that follow an instruction after a blank line, where they hold something."""
RESPONSES = ("response", "completion", "output", "answer")
"""Response columns looked for when only the prompt is mapped."""


_NO_TEXT = ("id", "idx", "index", "category", "label", "kind")
"""Columns that are rarely a request or an answer."""
_MANY_OWN = 20
"""So many categories, and fewer than two rows of each, are no categories; in a small set they may be."""
_MANY_SENTENCES = 100
"""So many categories of several words each are texts, though rows share them (an answer of each model to one prompt);
the wordiest sets of harms in use have some sixty."""
Example = Callable[[Sequence[tuple[str, str]]], str]
"""Says how columns are named, from pairs of part and column."""


@dataclass(frozen=True)
class Form:
    """Where a record keeps its parts.

    Attributes:
        prompt: column of the request, or of the whole conversation.
        inputs: columns that follow the request.
        response: column of the answer; None where there is none, or where it is the conversation's last turn.
        category: column of the category.
    """

    prompt: str
    inputs: tuple[str, ...]
    response: str | None
    category: str | None


def recognise(
    there: Sequence[str], columns: Columns, needs_response: bool, where: str, example: Example | None = None
) -> Form:
    """Return the form of records with the columns ``there``.

    Args:
        there: columns of the file.
        columns: the mapping of the study file.
        needs_response: whether an answer must be found.
        where: names the source in errors.
        example: how columns are named where the source is named; None: in a study file.

    Raises:
        DataError: a mapped column isn't there, or no form is recognised.
    """
    asked = [c for c in (columns.prompt, columns.response, columns.category) if c is not None]
    require(asked, there, where)
    category = columns.category or ("category" if "category" in there else None)
    for name in TURNS:
        if name == columns.prompt or (columns.prompt is None and name in there):
            return Form(name, (), columns.response, category)
    if columns.prompt is not None:
        response = columns.response or next(
            (c for c in RESPONSES if c in there and c != columns.prompt), None
        )
        if response is not None or not needs_response:
            return Form(columns.prompt, (), response, category)
    else:
        for name, answers in TEXTS:
            response = columns.response or next((c for c in answers if c in there), None)
            if name in there and (response is not None or not needs_response):
                inputs = tuple(c for c in INPUTS if c in there) if name == "instruction" else ()
                return Form(name, inputs, response, category)
    known = [*TURNS, *(f"{p}/{a}" for p, answers in TEXTS for a in answers)]
    wanted = "a prompt and a response" if needs_response else "a prompt"
    raise DataError(
        f"{where}: no columns with {wanted} recognised; there: {shown(there)}; "
        f"recognised: {', '.join(known)}; name the columns, e.g. "
        + _meant(there, columns, needs_response, example or source_example(where))
    )


def source_example(location: str) -> Example:
    """Return how the columns of ``location`` are named in a study file."""
    return lambda named: (
        f"`{{location: {location}, columns: {{{', '.join(f'{part}: {name}' for part, name in named)}}}}}`"
        f" in place of `{location}`"
    )


def _meant(there: Sequence[str], columns: Columns, needs_response: bool, example: Example) -> str:
    """An example that names columns of the file: which of them are meant is for the user to say."""
    parts = ["prompt", "response"] if needs_response else ["prompt"]
    given = {part: getattr(columns, part) for part in parts}
    left = [c for c in there if _is_name(c) and c.lower() not in _NO_TEXT and c not in given.values()]
    named = [(part, given[part] or (left.pop(0) if left else "...")) for part in parts]
    return example(named)


def require(names: Sequence[str], there: Sequence[str], where: str) -> None:
    """Raise DataError unless the columns ``names`` are all ``there``."""
    known = [c for c in there if _is_name(c)]
    lacks = [f"{name!r}{nearest(name, known)}" for name in names if name not in there]
    if lacks:
        raise DataError(f"{where}: no column {', no column '.join(lacks)}; there: {shown(there)}")


def shown(there: Sequence[str]) -> str:
    """Column names for an error; those that may be content are only counted."""
    names = [c for c in there if _is_name(c)]
    rest = len(there) - len(names)
    if rest == len(there) == 1 and (mark := next((m for m in (";", "\t") if m in there[0]), None)):
        # A heading that only commas would have cut: "q;a".
        name = "a tab" if mark == "\t" else f"`{mark}`"
        return f"one column only; is it separated by {name}? Columns are separated by commas"
    if rest:
        names.append(f"{rest} that read like content (is the header line missing?)")
    return ", ".join(names) or "none"


def check_categories(form: Form, given: Sequence[str | None], where: str) -> None:
    """Refuse categories that read like content: they stand in reports, tables and JSON, where no prompt or answer may.

    Args:
        form: the columns.
        given: the category of each row; None belongs to none.
        where: names the source in errors.

    Raises:
        DataError: the column is that of the prompt or answer, nearly every row has a category of its own, or the
            categories are mostly sentences and many.
    """
    values = [value for value in given if value is not None]
    kinds = set(values)
    own = 2 * len(kinds) > len(values)
    sentences = 2 * sum(map(_is_sentence, kinds)) > len(kinds)
    if form.category is None or not kinds:
        return
    if form.category in (form.prompt, form.response, *form.inputs):
        why = "holds the prompts or answers themselves"
    elif (own and (sentences or len(kinds) >= _MANY_OWN)) or (sentences and len(kinds) >= _MANY_SENTENCES):
        why = f"has {len(kinds)} categories in {len(values)} rows, which read like content"
    else:
        return
    raise DataError(
        f"{where}: column {shown([form.category])} {why}; categories are shown in every report, so name a column that "
        "holds few short ones as category"
    )


def _is_sentence(value: str) -> bool:
    """Whether a category is rather a text."""
    return len(value) > 40 or len(value.split()) > 4 or value.endswith((".", "?", "!"))


def _is_name(column: str) -> bool:
    return re.fullmatch(r"[\w.:/()-]{1,40}( [\w.:/()-]{1,20})?", column) is not None
