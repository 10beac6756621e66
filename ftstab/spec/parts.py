"""What can be used of a study file with faults: the study without what is at fault, so that the rest can be checked."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from ftstab.spec.faults import place
from ftstab.spec.study import Study

_NEEDED: dict[str, Any] = {
    "study": "unnamed",
    "base": {"model": "unnamed"},
    "data": {"train": "unnamed"},
    "axes": {"steps": [1]},
}
"""Stand in for required keys that are missing or at fault; nothing is checked at their places."""
_ROUNDS = 20
"""What is left out may be what something else needs, which is left out in turn; a study file isn't deeper than this."""


@dataclass(frozen=True)
class Parts:
    """A study file, whatever is wrong with it.

    Attributes:
        study: the study; without what is at fault, and None where nothing can be made of the rest.
        faults: one line per fault of the file itself.
        at: places at fault: what was left out, and what validates by itself but not beside the rest.
    """

    study: Study | None
    faults: tuple[str, ...] = ()
    at: tuple[tuple[int | str, ...], ...] = ()

    def holds(self, path: str) -> bool:
        """Whether ``path`` is as the file says: nothing is at fault there, above or below."""
        wanted = path.split(".")
        return not any(all(str(a) == b for a, b in zip(left, wanted, strict=False)) for left in self.at)


def fault_places(faults: Iterable[str]) -> list[tuple[int | str, ...]]:
    """Return the places of faults as `Study.check` gives them: the dotted path that each begins with."""
    return [tuple(fault.partition(":")[0].split(".")) for fault in faults]


def without_faults(raw: dict[str, Any], faults: Sequence[str], beside: Sequence[str] = ()) -> Parts:
    """Return the study in ``raw``, which doesn't validate, without what is at fault.

    Args:
        raw: the file.
        faults: what is wrong with it.
        beside: those of them that are between parts which validate.
    """
    left = copy.deepcopy(raw)
    at = fault_places(beside)
    for _ in range(_ROUNDS):
        try:
            study = Study.model_validate(left)
            # Not told, for what was left out may be their cause; but nothing may rest on what they are about.
            return Parts(study, tuple(faults), (*at, *fault_places(study.check())))
        except ValidationError as error:
            found = {tuple(place(e["loc"], left, e["type"])): e["type"] for e in error.errors()}
        at += found
        # The last ones first, so that the places of the others stay where they are.
        for where, kind in reversed(found.items()):
            _leave_out(left, where[:-1] if kind == "missing" else where)
        left = _NEEDED | left
    return Parts(None, tuple(faults), tuple(at))


def _leave_out(node: Any, where: Sequence[int | str]) -> None:
    """Take what stands at ``where`` out of ``node``, if it is still there."""
    for part in where[:-1]:
        try:
            node = node[part]
        except (KeyError, IndexError, TypeError):
            return
    for last in where[-1:]:
        if isinstance(node, dict):
            node.pop(last, None)
        elif isinstance(node, list) and isinstance(last, int) and last < len(node):
            node.pop(last)
