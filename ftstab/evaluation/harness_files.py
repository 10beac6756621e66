"""Task files of lm-evaluation-harness: finding, reading and hashing them, and the state that its code runs in.

Reads files only.  The one place that leans on parts of the harness which it doesn't promise to keep.
"""

from __future__ import annotations

import contextlib
import inspect
import io
import logging
import random
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import is_dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from yaml import YAMLError

from ftstab.data.files import named_path
from ftstab.errors import DataError, first_line, nearest

SAID = 200
"""Characters that are told of what another library says is wrong: more may quote the data."""
WHERE = "evaluation.utility.task"
"""Where a task stands in a study file."""
_SEEDS = (0, 1234)
"""What the harness seeds Python's and NumPy's generators with before it loads a task."""
_PLACES = frozenset({"metadata", "dataset_kwargs"})
"""What of a description says where things lie; the documents themselves and the version stand in hash and name."""


def task_path(name: str, base_dir: Path) -> Path:
    """The file that describes the task."""
    if not name.endswith((".yaml", ".yml")):
        return _named(name)
    path = named_path(name, base_dir).resolve()
    if not path.is_file():
        raise DataError(f"{WHERE}: {path} isn't there; name a task file or a task of the harness")
    return path


def task_config(path: Path, resolve: bool) -> dict[str, Any]:
    """What a task file says, its data files found; ``resolve``: its functions imported, which runs code."""
    from lm_eval.tasks._yaml_loader import load_yaml

    try:
        config = dict(load_yaml(path, resolve_func=resolve))
    except (OSError, ValueError, AttributeError, ImportError, YAMLError) as error:
        raise DataError(f"{WHERE}: {path} can't be read: {first_line(error)[:SAID]}") from None
    kwargs = config.get("dataset_kwargs")
    if isinstance(kwargs, dict) and "data_files" in kwargs:
        config["dataset_kwargs"] = kwargs | {"data_files": _beside(kwargs["data_files"], path.parent)}
    return config


def _named(name: str) -> Path:
    """The file of a task of the harness."""
    from lm_eval import tasks

    # Reading all descriptions takes half a minute, finding the one that holds the name a second.
    line = re.compile(rf"""(?m)^task:[ \t]*["']?{re.escape(name)}["']?[ \t]*(?:#.*)?\r?$""")
    for path in sorted(Path(tasks.__file__).parent.glob("**/*.yaml")):
        if (
            line.search(path.read_text(encoding="utf-8"))
            and task_config(path, resolve=False).get("task") == name
        ):
            return path
    index = _index()
    entry = index.get(name)
    if entry is None:
        raise DataError(
            f"{WHERE}: lm-evaluation-harness {version('lm_eval')} knows no task {name!r}{nearest(name, index)}; name "
            "one of its tasks (`lm_eval ls tasks` lists them), or a task file (.yaml)"
        )
    if entry.kind.name in ("GROUP", "TAG") or entry.yaml_path is None:
        members = sorted(entry.tags) if entry.kind.name == "TAG" else _members(entry.cfg or {}, index)
        some = f", e.g. {', '.join(members[:3])}" if members else ""
        raise DataError(
            f"{WHERE}: {name} is a {entry.kind.name.lower()} of several tasks, which have no documents in common; "
            f"name one task{some}"
        )
    return Path(entry.yaml_path)


def _members(config: Mapping[str, Any], index: Mapping[str, Any]) -> list[str]:
    """Some tasks of a group, those of its groups included."""
    found: list[str] = []
    listed = config.get("task")
    for member in listed if isinstance(listed, list) else []:
        name = str(member.get("task") if isinstance(member, dict) else member)
        entry = index.get(name)
        if entry is None:
            continue
        if entry.kind.name == "GROUP":
            found += _members(entry.cfg or {}, index)
        else:
            found += sorted(entry.tags) if entry.kind.name == "TAG" else [name]
    return found


@cache
def _index() -> Mapping[str, Any]:
    """Everything that the installed harness knows by name; takes half a minute."""
    from lm_eval.tasks import TaskManager

    index: Mapping[str, Any] = TaskManager().task_index
    return index


def _beside(files: Any, folder: Path) -> Any:
    """Data files, those that lie beside the task file by their whole path."""
    if isinstance(files, dict):
        return {name: _beside(value, folder) for name, value in files.items()}
    if isinstance(files, list):
        return [_beside(value, folder) for value in files]
    return str(folder / files) if isinstance(files, str) and (folder / files).exists() else files


def plain(value: Any) -> Any:
    """A description as plain data whose digest is the same on every machine: functions as the files they stand in."""
    if is_dataclass(value) and not isinstance(value, type):
        value = {k: v for k, v in vars(value).items() if k not in _PLACES}
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in sorted(value.items(), key=lambda item: str(item[0]))}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    if callable(value):
        return _source(value)
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)


def _source(function: Callable[..., Any]) -> list[str]:
    inner = getattr(function, "func", function)
    path = inspect.getsourcefile(inner)
    text = "" if path is None else Path(path).read_text(encoding="utf-8")
    return [getattr(inner, "__qualname__", type(inner).__name__), text]


@contextlib.contextmanager
def settled() -> Iterator[None]:
    """Run the harness with the seeds that it sets itself, and without its log lines and progress bars, which quote
    documents; afterwards all is as before."""
    logger, state, numpy_state = logging.getLogger("lm_eval"), random.getstate(), np.random.get_state()
    level = logger.level
    random.seed(_SEEDS[0])
    np.random.seed(_SEEDS[1])
    logger.setLevel(logging.CRITICAL)
    try:
        with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logger.setLevel(level)
        random.setstate(state)
        np.random.set_state(numpy_state)
