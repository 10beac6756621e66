"""One line for each fault of a study file: where, what was given, what is allowed, the nearest known name."""

from __future__ import annotations

import json
import re
import typing
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from ftstab.errors import nearest
from ftstab.spec.closed import NAME, NAME_WORDS, UNSHOWN
from ftstab.spec.elsewhere import meant


def fault_line(error: Any, raw: Any, whole: type[BaseModel]) -> str:
    """Return one line for one pydantic error in ``raw``, which should be a ``whole``."""
    kind, given = error["type"], error.get("input")
    loc = place(error["loc"], raw, kind)
    path = ".".join(str(p) for p in loc)
    if kind == "extra_forbidden":
        known = _known_keys(whole, loc[:-1], raw)
        instead = meant(str(loc[-1]), ".".join(map(str, loc[:-1])), known)
        return f"{path}: unknown key{instead}; known here: {', '.join(sorted(known))}"
    if kind == "missing":
        return f"{path}: missing"
    if kind == "literal_error":
        allowed = error["ctx"]["expected"]
        names = re.findall(r"'([^']*)'", allowed)
        return f"{path}: given {_short(given)}; allowed: {allowed}{nearest(str(given), names)}"
    message = error["msg"].removeprefix("Value error, ")
    if kind == UNSHOWN:
        return f"{path}: {message}"
    if kind == "list_type" and isinstance(given, int | float | str) and _lists_values(whole, loc, raw):
        # "1e-4, 3e-4" lacks nothing but its brackets.
        inner = given if isinstance(given, str) and "," in given else _short(given)
        return f"{path}: given {_short(given)}; a list is wanted: write [{inner}]"
    message = message[:1].lower() + message[1:]
    if kind == "model_type":
        keys = ", ".join(_known_keys(whole, loc, raw))
        return f"{path}: given {_short(given)}; a section is wanted, with keys of its own: {keys}"
    if kind == "string_pattern_mismatch" and error["ctx"]["pattern"] == NAME:
        message = NAME_WORDS
    if kind == "too_short" and not given:
        message = "give at least one value"
    if kind == "less_than_equal" and error["ctx"]["le"] == 1 and loc[0] == "constraints" and 1 < given <= 100:
        message += f"; a share is wanted: {given / 100:g} for {given:g} %"
    return f"{path}: given {_short(given)}; {message}" if path else message


def place(loc: tuple[int | str, ...], raw: Any, kind: str) -> list[int | str]:
    """Return the part of a pydantic location that stands in the file: names of union members and validators don't."""
    found: list[int | str] = []
    node = raw
    for i, part in enumerate(loc):
        listed = isinstance(node, list) and isinstance(part, int) and part < len(node)
        if listed or (isinstance(node, dict) and part in node):
            node = node[part]
        elif kind != "missing" or i < len(loc) - 1:
            continue
        found.append(part)
    return found


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 60 else text[:57] + "..."


def _known_keys(model: type[BaseModel], loc: list[Any], raw: Any) -> list[str]:
    """Keys known at the place ``loc`` below ``model``; ``raw`` is what was given for it."""
    section = _section(model, loc, raw)
    return list(section.model_fields) if section else []


def _lists_values(model: type[BaseModel], loc: list[Any], raw: Any) -> bool:
    """Whether the field at ``loc`` takes a list of numbers or texts, and not of sections alone."""
    section = _section(model, loc[:-1], raw)
    if section is None or loc[-1] not in section.model_fields:
        return False
    items = _items(section.model_fields[loc[-1]].annotation)
    return any(not sections(item) or str in _inside(item) for item in items)


def _items(annotation: Any) -> list[Any]:
    """What the lists in an annotation hold."""
    inner = typing.get_args(annotation)
    return [inner[0]] if typing.get_origin(annotation) is list else [i for a in inner for i in _items(a)]


def _inside(annotation: Any) -> list[Any]:
    """The types that an annotation is made of."""
    inner = typing.get_args(annotation)
    return [t for a in inner for t in _inside(a)] if inner else [annotation]


def _section(model: type[BaseModel], loc: list[Any], raw: Any) -> type[BaseModel] | None:
    """The section at the place ``loc`` below ``model``; ``raw`` is what was given for it."""
    named, fitting = False, [model]
    for part in loc:
        raw = raw[part]
        if isinstance(part, int) or named:  # an entry of a list, or of a mapping with names of its own
            model, named = _chosen(fitting, raw), False
            continue
        annotation = model.model_fields[part].annotation
        fitting = sections(annotation)
        if not fitting:
            return None
        model, named = _chosen(fitting, raw), typing.get_origin(annotation) is dict
    return model


def _chosen(fitting: list[type[BaseModel]], raw: Any) -> type[BaseModel]:
    """The section that ``raw`` is meant to be: by its `kind`, where there are several."""
    kind = raw.get("kind") if isinstance(raw, dict) else None
    meant = (s for s in fitting if "kind" in s.model_fields and kind in _literals(s.model_fields["kind"]))
    return next(meant, fitting[0])


def _literals(info: FieldInfo) -> tuple[Any, ...]:
    return typing.get_args(info.annotation)


def sections(annotation: Any) -> list[type[BaseModel]]:
    """Return the section models inside a field's annotation (through lists, dicts, unions and Annotated)."""
    if isinstance(annotation, type) and not typing.get_args(annotation):
        return [annotation] if issubclass(annotation, BaseModel) else []
    return [model for inner in typing.get_args(annotation) for model in sections(inner)]
