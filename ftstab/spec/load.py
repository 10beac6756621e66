"""Reading a study file: all its faults at once, each with its dotted path and the nearest known name."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from ftstab.errors import SpecError, nearest
from ftstab.spec.faults import fault_line
from ftstab.spec.judges import JudgeFile, JudgeSpec
from ftstab.spec.parts import Parts, fault_places, without_faults
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
            nearest(path.name, [p.name for p in path.parent.glob("*.yaml")]) if path.parent.is_dir() else ""
        )
        raise SpecError(str(path), [f"no such file{near}"]) from None
    except (OSError, UnicodeDecodeError) as error:
        raise SpecError(str(path), [f"can't be read as UTF-8 text: {error}"]) from None


def _yaml(text: str, where: str, loader: type[yaml.SafeLoader] = _Loader) -> Any:
    try:
        # A SafeLoader makes plain data only.
        return yaml.load(text, Loader=loader)  # noqa: S506
    except yaml.YAMLError as error:
        raise SpecError(where, [f"not valid YAML: {' '.join(str(error).split())}"]) from None


def parse_study(text: str, where: str = "study") -> Study:
    """Read a study from YAML ``text``; ``where`` names it in errors.

    Raises:
        SpecError: the text isn't YAML or has faults (all are listed).
    """
    return _study(_yaml(text, where), where)


def parse_recorded(text: str, where: str) -> Study:
    """Read the file of a study that was run, which `study_text` wrote, maybe in an earlier version of ftstab.

    That version's defaults of a search stand in a grid's file too, where later ones would be faults; and it left texts
    such as 1e5 without quotes, which are no numbers here: a fraction that it wrote has a point.

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
    return _study(raw, where)


def _study(raw: Any, where: str) -> Study:
    parts = _parts(raw, where)
    if parts.faults or parts.study is None:
        raise SpecError(where, parts.faults)
    return parts.study


def _parts(raw: Any, where: str) -> Parts:
    if not isinstance(raw, dict):
        raise SpecError(
            where, ["not a study: the file must hold keys such as `study`, `base`, `data`, `axes`"]
        )
    twice = _given_twice(raw)
    try:
        study = Study.model_validate(raw)
    except ValidationError as error:
        return without_faults(raw, [*twice, *(fault_line(e, raw, Study) for e in error.errors())], twice)
    faults = (*twice, *study.check())
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
