"""Reading a study file: all its faults at once, each with its dotted path and the nearest known name."""

from __future__ import annotations

import re
import reprlib
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError
from yaml.reader import ReaderError

from ftstab.errors import SpecError, nearest_file
from ftstab.spec.closed import RECORDED
from ftstab.spec.faults import fault_line
from ftstab.spec.judges import JudgeFile, JudgeSpec
from ftstab.spec.parts import Parts, fault_places, without_faults
from ftstab.spec.study import Study
from ftstab.spec.trained import idle_faults

_MOST, _DEEPEST, _LARGEST = 100_000, 100, 2**63 - 1
_TOO_DEEP = f"nested more than {_DEEPEST} deep, or in itself by an alias"


class _Loader(yaml.SafeLoader):
    """YAML without its surprises: `1e-4` is a number, a key given twice is an error, and so, with its place, is what no
    study file needs: more values than fit one, aliases that multiply them, whole numbers of more than 64 bits."""

    def get_single_node(self) -> yaml.Node | None:
        try:
            whole = super().get_single_node()
        except RecursionError:
            raise _error(_TOO_DEEP, self.get_mark()) from None
        # Every alias counts as often as it stands: what reads the study follows each of them anew.
        open_nodes, count = [(whole, 0)] if whole is not None else [], 0
        while open_nodes:
            node, depth = open_nodes.pop()
            count += 1
            if depth > _DEEPEST:
                raise _error(_TOO_DEEP, node.start_mark)
            if count > _MOST:
                raise _error(f"it holds more than {_MOST:,} values, aliases written out", node.start_mark)
            if isinstance(node, yaml.MappingNode):
                open_nodes += [(inner, depth + 1) for pair in node.value for inner in pair]
            elif isinstance(node, yaml.SequenceNode):
                open_nodes += [(inner, depth + 1) for inner in node.value]
        return whole

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            found = super().construct_object(node, deep=deep)
        except (ArithmeticError, AttributeError, LookupError, ValueError):  # PyYAML's own conversions
            said = f"{reprlib.repr(node.value)} can't be read as {node.tag.rpartition(':')[2]}"
            raise _error(f"{said}; a text stands in quotes", node.start_mark) from None
        if isinstance(found, int) and abs(found) > _LARGEST:
            raise _error(f"{reprlib.repr(node.value)} has more than 64 bits", node.start_mark)
        return found

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value if isinstance(node, yaml.MappingNode) else ():
            if key_node.tag == "tag:yaml.org,2002:merge":
                raise _error(
                    "merge keys (<<) aren't read; write the keys that it would bring out here",
                    key_node.start_mark,
                )
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str):
                raise _error(f"key {key!r} is not a text", key_node.start_mark)
            if key in seen:
                raise _error(f"key {key!r} stands twice", key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep=deep)


def _error(problem: str, at: yaml.Mark) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=problem, problem_mark=at)


_Loader.yaml_implicit_resolvers = {
    first: [pair for pair in pairs if pair[0] != "tag:yaml.org,2002:timestamp"]
    for first, pairs in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_EXPONENT = (
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?[0-9][0-9_]*(\.[0-9]*)?[eE][-+]?[0-9]+$"),
    list("-+0123456789"),
)
_Loader.add_implicit_resolver(*_EXPONENT)


class _Dumper(yaml.SafeDumper):
    """Puts quotes around texts that `_Loader` would take for something else, and around those that plain YAML would."""


_Dumper.add_implicit_resolver(*_EXPONENT)


def load_study(path: str | Path) -> Study:
    """Read and check the study file at ``path``.

    Raises:
        SpecError: the file is missing, isn't YAML, or has faults (all are listed).
    """
    return parse_study(_read(Path(path)), where=str(path))


def load_parts(path: str | Path) -> Parts:
    """Read the study file at ``path``, and what of it can be used if it has faults.

    Raises:
        SpecError: the file is missing, isn't YAML, or holds no keys of a study.
    """
    return _parts(_yaml(_read(Path(path)), str(path)), where=str(path))


def load_judge(path: str | Path) -> JudgeSpec:
    """Read and check a file that describes one judge, as an entry of `judges` in a study file does.

    Raises:
        SpecError: the file is missing, isn't YAML, or has faults (all are listed).
    """
    raw = {"judge": _yaml(_read(Path(path)), str(path))}
    try:
        return JudgeFile.model_validate(raw).judge
    except ValidationError as error:
        faults = [fault_line(e, raw, JudgeFile).removeprefix("judge.") for e in error.errors()]
        raise SpecError(str(path), faults) from None


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        near = (
            nearest_file(path.name, [p.name for p in path.parent.glob("*.yaml")])
            if path.parent.is_dir()
            else ""
        )
        raise SpecError(str(path), [f"no such file{near}"]) from None
    except (OSError, UnicodeDecodeError) as error:
        raise SpecError(str(path), [f"can't be read as UTF-8 text: {error}"]) from None


def _yaml(text: str, where: str, loader: type[yaml.SafeLoader] = _Loader) -> Any:
    try:
        reader = loader(text)
        reader.name = where  # what errors call the text
        return reader.get_single_data()
    except yaml.YAMLError as error:
        if isinstance(error, ReaderError):
            error.name = where
        said, mark = " ".join(str(error).split()), None
        if isinstance(error, yaml.MarkedYAMLError) and (mark := error.problem_mark) is not None:
            said = f"line {mark.line + 1}, column {mark.column + 1}: "
            if error.context and error.context_mark is not None:
                said += f"{error.context} (from line {error.context_mark.line + 1}), "
            said += str(error.problem)
        if mark is not None and "${" in "".join(text.split("\n")[mark.line : mark.line + 1]):
            said += '; inside { } or [ ] a text with ${NAME} stands in quotes: "${NAME}/rows.csv"'
        raise SpecError(where, [f"not usable YAML: {said}"]) from None


def parse_study(text: str, where: str = "study") -> Study:
    """Read a study from YAML ``text``; ``where`` names it in errors.

    Raises:
        SpecError: the text isn't YAML or has faults (all are listed).
    """
    return _study(_yaml(text, where), where)


def parse_recorded(text: str, where: str) -> Study:
    """Read the file of a study that was run, which `study_text` wrote, maybe in an earlier version of ftstab.

    That version's defaults of a search stand in a grid's file too, where later ones would be faults; it left texts such
    as 1e5 without quotes, which are no numbers here: a fraction that it wrote has a point.  A secret in the place of a
    variable's name, which it took, is left out.

    Raises:
        SpecError: as `parse_study`.
    """
    raw = _yaml(text, where, yaml.SafeLoader)
    if (
        isinstance(raw, dict)
        and isinstance(raw.get("search"), dict)
        and raw["search"].get("method") == "grid"
    ):
        raw = raw | {"search": {"method": "grid"}}
    return _study(raw, where, RECORDED)


def _study(raw: Any, where: str, context: str | None = None) -> Study:
    parts = _parts(raw, where, context)
    if parts.faults or parts.study is None:
        raise SpecError(where, parts.faults)
    return parts.study


def _parts(raw: Any, where: str, context: str | None = None) -> Parts:
    if not isinstance(raw, dict):
        raise SpecError(
            where, ["not a study: the file must hold keys such as `study`, `base`, `data`, `axes`"]
        )
    twice = _given_twice(raw)
    try:
        study = Study.model_validate(raw, context=context)
    except ValidationError as error:
        return without_faults(raw, [*twice, *(fault_line(e, raw, Study) for e in error.errors())], twice)
    # A study that was run with such an axis has the settings that it has without it.
    idle = () if context == RECORDED else idle_faults(study)
    faults = (*twice, *study.check(), *idle)
    return Parts(study, faults, tuple(fault_places(faults)))


def study_text(study: Study) -> str:
    """The study as YAML with every default, which `parse_study` and `parse_recorded` read back as an equal study."""
    plain = study.model_dump()
    plain["axes"] = {name: values for name, values in plain["axes"].items() if values is not None}
    plain["training"] = {
        name: value for name, value in plain["training"].items() if name not in plain["axes"]
    }
    if None not in (study.axes.of("beta2_half_life") or [study.training.beta2_half_life]):
        # The half-life decides it: both would be a fault.
        plain["training"].pop("adam_beta2", None)
    return str(yaml.dump(plain, Dumper=_Dumper, sort_keys=False))


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
