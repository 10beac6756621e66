"""The whole study file as commented YAML, for people; editors get its JSON Schema."""

from __future__ import annotations

import json
import typing
from collections.abc import Collection, Sequence
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from ftstab.spec.closed import Closed
from ftstab.spec.faults import sections
from ftstab.spec.study import Study


def schema_text() -> str:
    """The whole study file as commented YAML: every key, what it means, its type and its default.

    Sections that stand in several places, or among which one chooses, follow in a second document, each once.
    """
    named = _named_sections()
    lines = [
        "# The study file of ftstab: every key with its default.  Required keys say so.  A section that is only named",
        "# here is told below.",
    ]
    _describe(Study, lines, "", named)
    lines += ["---", "# Sections that several keys take, by name."]
    for section in named:
        lines += [f"# {_first_line(section)}", f"{section.__name__}:"]
        above = _above(section)
        if above is not None:
            lines.append(f"  # The keys of {above.__name__}, and:")
        _describe(section, lines, "  ", named, () if above is None else above.model_fields)
    return "\n".join(lines) + "\n"


def _named_sections() -> list[type[BaseModel]]:
    """Sections that are told by name, in the order of the file: those of several places and those of a choice."""
    places: dict[type[BaseModel], int] = {}
    chosen: set[type[BaseModel]] = set()
    waiting: list[type[BaseModel]] = [Study]
    while waiting:
        for info in waiting.pop(0).model_fields.values():
            found = sections(info.annotation)
            chosen |= set(found) if len(found) > 1 else set()
            waiting += [section for section in found if section not in places]
            for section in found:
                places[section] = places.get(section, 0) + 1
    told: list[type[BaseModel]] = []
    for section, count in places.items():
        above = _above(section)
        if count > 1 or section in chosen or above is not None:
            told += [section] if above is None else [above, section]
    return list(dict.fromkeys(told))


def _above(section: type[BaseModel]) -> type[BaseModel] | None:
    """The section whose keys ``section`` has too."""
    base = section.__mro__[1]
    return (
        base
        if issubclass(base, Closed) and base is not Closed and not base.__name__.startswith("_")
        else None
    )


def _describe(
    model: type[BaseModel],
    lines: list[str],
    indent: str,
    named: Collection[type[BaseModel]],
    told: Collection[str] = (),
) -> None:
    """Describe the keys of ``model`` but those that are ``told``; the sections ``named`` are told elsewhere."""
    schema = model.model_json_schema()
    for name, info in model.model_fields.items():
        if name in told:
            continue
        lines.append(f"{indent}# {' '.join((info.description or '').split())}")
        fitting = sections(info.annotation)
        allowed = _allowed(schema["properties"][name], schema.get("$defs", {}))
        if fitting:
            lines.append(f"{indent}{name}:  # {_container(info.annotation)}{_choice(info, fitting, allowed)}")
            for section in fitting:
                if section not in named:
                    _describe(section, lines, indent + "  ", named)
        elif info.is_required():
            lines.append(f"{indent}{name}:  # required; {allowed}")
        else:
            value = json.dumps(info.get_default(call_default_factory=True), default=str)
            lines.append(f"{indent}{name}: {value}  # {allowed}")


def _choice(info: FieldInfo, fitting: Sequence[type[BaseModel]], allowed: str) -> str:
    """Which sections a key takes, what else it takes, and what it is by default."""
    listed = (
        ""
        if _container(info.annotation) or not allowed.startswith("list of")
        else allowed.split(" or ")[0] + ", or "
    )
    default = info.get_default(call_default_factory=True)
    names = " | ".join(s.__name__ for s in fitting) + (", or a name" if len(fitting) > 1 else "")
    if info.is_required():
        return f"{listed}section {names} (required)"
    return f"{listed}section {names}" + (
        "" if isinstance(default, BaseModel) else f" (default: {json.dumps(default)})"
    )


def _first_line(section: type[BaseModel]) -> str:
    return (section.__doc__ or "").strip().partition("\n")[0]


def _container(annotation: Any) -> str:
    """What holds the sections of a field that may have several."""
    for inner in (annotation, *typing.get_args(annotation)):
        origin, parts = typing.get_origin(inner), typing.get_args(inner)
        if origin is dict:
            names = typing.get_args(parts[0]) if typing.get_origin(parts[0]) is typing.Literal else ()
            return f"under each of {', '.join(names)}: " if names else "under each name: "
        if origin is typing.Annotated:
            origin = typing.get_origin(parts[0])
        if origin is list:
            return "list, each entry: "
    return ""


def _allowed(schema: dict[str, Any], defs: dict[str, Any]) -> str:
    """What a value may be, in a few words."""
    if "$ref" in schema:
        return str(schema["$ref"].rsplit("/", 1)[-1])
    for several in ("anyOf", "oneOf"):
        if several in schema:
            return " or ".join(_allowed(s, defs) for s in schema[several])
    if "enum" in schema:
        return " | ".join(str(v) for v in schema["enum"])
    if "const" in schema:
        return str(schema["const"])
    if schema.get("type") == "array":
        return f"list of {_allowed(schema.get('items', {}), defs)}"
    bounds = []
    for key, sign in (
        ("minimum", ">="),
        ("exclusiveMinimum", ">"),
        ("maximum", "<="),
        ("exclusiveMaximum", "<"),
    ):
        if key in schema:
            bounds.append(f"{sign} {schema[key]}")
    return " ".join([str(schema.get("type", "any")), ", ".join(bounds)]).rstrip()
