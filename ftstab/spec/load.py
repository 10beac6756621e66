"""Reading a study file: all its faults at once, each with its dotted path and the nearest known name."""

from __future__ import annotations

import json
import re
import typing
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from ftstab.errors import SpecError, nearest
from ftstab.spec.closed import UNSHOWN
from ftstab.spec.judges import JudgeFile, JudgeSpec
from ftstab.spec.study import Study


class _Loader(yaml.SafeLoader):
    """YAML without its two surprises: `1e-4` is a number, and a key given twice is an error."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str):
                raise yaml.MarkedYAMLError(
                    problem=f"key {key!r} is not a text", problem_mark=key_node.start_mark
                )
            if key in seen:
                raise yaml.MarkedYAMLError(
                    problem=f"key {key!r} stands twice", problem_mark=key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep=deep)


_Loader.yaml_implicit_resolvers = {
    first: [pair for pair in pairs if pair[0] != "tag:yaml.org,2002:timestamp"]
    for first, pairs in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?[0-9][0-9_]*(\.[0-9]*)?[eE][-+]?[0-9]+$"),
    list("-+0123456789"),
)


def load_study(path: str | Path) -> Study:
    """Read and check the study file at ``path``.

    Raises:
        SpecError: the file is missing, isn't YAML, or has faults (all are listed).
    """
    return parse_study(_read(Path(path)), where=str(path))


def load_judge(path: str | Path) -> JudgeSpec:
    """Read and check a file that describes one judge, as an entry of `judges` in a study file does.

    Raises:
        SpecError: the file is missing, isn't YAML, or has faults (all are listed).
    """
    raw = {"judge": _yaml(_read(Path(path)), str(path))}
    try:
        return JudgeFile.model_validate(raw).judge
    except ValidationError as error:
        faults = [_fault(e, raw, JudgeFile).removeprefix("judge.") for e in error.errors()]
        raise SpecError(str(path), faults) from None


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        near = (
            nearest(path.name, [p.name for p in path.parent.glob("*.yaml")]) if path.parent.is_dir() else ""
        )
        raise SpecError(str(path), [f"no such file{near}"]) from None
    except (OSError, UnicodeDecodeError) as error:
        raise SpecError(str(path), [f"can't be read as UTF-8 text: {error}"]) from None


def _yaml(text: str, where: str) -> Any:
    try:
        # _Loader is a SafeLoader: it makes plain data only.
        return yaml.load(text, Loader=_Loader)  # noqa: S506
    except yaml.YAMLError as error:
        raise SpecError(where, [f"not valid YAML: {' '.join(str(error).split())}"]) from None


def parse_study(text: str, where: str = "study") -> Study:
    """Read a study from YAML ``text``; ``where`` names it in errors.

    Raises:
        SpecError: the text isn't YAML or has faults (all are listed).
    """
    raw = _yaml(text, where)
    if not isinstance(raw, dict):
        raise SpecError(
            where, ["not a study: the file must hold keys such as `study`, `base`, `data`, `axes`"]
        )
    faults = _given_twice(raw)
    try:
        study = Study.model_validate(raw)
    except ValidationError as error:
        raise SpecError(where, [*faults, *(_fault(e, raw) for e in error.errors())]) from None
    faults += study.check()
    if faults:
        raise SpecError(where, faults)
    return study


def study_text(study: Study) -> str:
    """The study as YAML with every default, which `parse_study` reads back as an equal study."""
    plain = study.model_dump()
    plain["axes"] = {name: values for name, values in plain["axes"].items() if values is not None}
    plain["training"] = {
        name: value for name, value in plain["training"].items() if name not in plain["axes"]
    }
    if None not in (study.axes.of("beta2_half_life") or [study.training.beta2_half_life]):
        # The half-life decides it: both would be a fault.
        plain["training"].pop("adam_beta2", None)
    return str(yaml.safe_dump(plain, sort_keys=False))


def _given_twice(raw: dict[str, Any]) -> list[str]:
    """Axes that are fixed as well; after validation a default can't be told from a given value."""
    fixed, varied = raw.get("training"), raw.get("axes")
    if not isinstance(fixed, dict) or not isinstance(varied, dict):
        return []
    return [
        f"axes.{name}: given under `training` and under `axes`; keep one of the two"
        for name in varied
        if name in fixed
    ]


def _fault(error: Any, raw: Any, whole: type[BaseModel] = Study) -> str:
    """One line for one pydantic error in ``raw``, which should be a ``whole``."""
    kind, given = error["type"], error.get("input")
    loc = _place(error["loc"], raw, kind)
    path = ".".join(str(p) for p in loc)
    if kind == "extra_forbidden":
        known = _known_keys(whole, loc[:-1], raw)
        return f"{path}: unknown key{nearest(str(loc[-1]), known)}; known here: {', '.join(sorted(known))}"
    if kind == "missing":
        return f"{path}: missing"
    if kind == "literal_error":
        allowed = error["ctx"]["expected"]
        names = re.findall(r"'([^']*)'", allowed)
        return f"{path}: given {_short(given)}; allowed: {allowed}{nearest(str(given), names)}"
    message = error["msg"].removeprefix("Value error, ")
    if kind == UNSHOWN:
        return f"{path}: {message}"
    message = message[:1].lower() + message[1:]
    return f"{path}: given {_short(given)}; {message}" if path else message


def _place(loc: tuple[int | str, ...], raw: Any, kind: str) -> list[int | str]:
    """The part of a pydantic location that stands in the file: names of union members and validators don't."""
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
    try:
        text = json.dumps(value, ensure_ascii=False, default=str)
    except ValueError:  # an alias inside its own anchor
        text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _known_keys(model: type[BaseModel], loc: list[Any], raw: Any) -> list[str]:
    """Keys known at the place ``loc`` below ``model``; ``raw`` is what was given for it."""
    named, sections = False, [model]
    for part in loc:
        raw = raw[part]
        if isinstance(part, int) or named:  # an entry of a list, or of a mapping with names of its own
            model, named = _chosen(sections, raw), False
            continue
        annotation = model.model_fields[part].annotation
        sections = _sections(annotation)
        if not sections:
            return []
        model, named = _chosen(sections, raw), typing.get_origin(annotation) is dict
    return list(model.model_fields)


def _chosen(sections: list[type[BaseModel]], raw: Any) -> type[BaseModel]:
    """The section that ``raw`` is meant to be: by its `kind`, where there are several."""
    kind = raw.get("kind") if isinstance(raw, dict) else None
    fitting = (s for s in sections if "kind" in s.model_fields and kind in _literals(s.model_fields["kind"]))
    return next(fitting, sections[0])


def _literals(info: FieldInfo) -> tuple[Any, ...]:
    return typing.get_args(info.annotation)


def _sections(annotation: Any) -> list[type[BaseModel]]:
    """The section models inside a field's annotation (through lists, dicts, unions and Annotated)."""
    if isinstance(annotation, type) and not typing.get_args(annotation):
        return [annotation] if issubclass(annotation, BaseModel) else []
    return [model for inner in typing.get_args(annotation) for model in _sections(inner)]


def schema_text() -> str:
    """The whole study file as commented YAML: every key, what it means, its type and its default."""
    lines: list[str] = ["# The study file of ftstab: every key with its default.  Required keys say so."]
    _describe(Study, lines, "", {})
    return "\n".join(lines) + "\n"


def _describe(
    model: type[BaseModel], lines: list[str], indent: str, told: dict[str, str], before: str = ""
) -> None:
    """Describe the keys of ``model``, which stands at ``before``; ``told``: where each choice of sections was told."""
    schema = model.model_json_schema()
    for name, info in model.model_fields.items():
        text = " ".join((info.description or "").split())
        lines.append(f"{indent}# {text}")
        sections = _sections(info.annotation)
        allowed = _allowed(schema["properties"][name], schema.get("$defs", {}))
        if sections:
            default = info.get_default(call_default_factory=True)
            if info.is_required():
                note = " (required)"
            elif isinstance(default, BaseModel):
                note = ""
            else:
                note = f" (default: {json.dumps(default)})"
            choice = " | ".join(s.__name__ for s in sections)
            if len(sections) > 1:
                choice = f"{choice}, or a name"
            seen = told.get(choice)
            where = f"; as in {seen}" if seen else ""
            lines.append(f"{indent}{name}:  # {_container(info.annotation)}section {choice}{note}{where}")
            if len(sections) > 1 and seen is None:
                told[choice] = before + name
            for section in sections if seen is None else ():
                if len(sections) > 1:
                    lines.append(f"{indent}  # {section.__name__}: {_first_line(section)}")
                _describe(section, lines, indent + "  ", told, f"{before}{name}.")
        elif info.is_required():
            lines.append(f"{indent}{name}:  # required; {allowed}")
        else:
            value = json.dumps(info.get_default(call_default_factory=True), default=str)
            lines.append(f"{indent}{name}: {value}  # {allowed}")


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
    if "anyOf" in schema:
        return " or ".join(_allowed(s, defs) for s in schema["anyOf"])
    if "enum" in schema:
        return " | ".join(str(v) for v in schema["enum"])
    if "const" in schema:
        return str(schema["const"])
    if schema.get("type") == "array":
        return f"list of {_allowed(schema.get('items', {}), defs)}"
    words = [str(schema.get("type", "any"))]
    for key, sign in (
        ("minimum", ">="),
        ("exclusiveMinimum", ">"),
        ("maximum", "<="),
        ("exclusiveMaximum", "<"),
    ):
        if key in schema:
            words.append(f"{sign} {schema[key]}")
    return " ".join(words)
