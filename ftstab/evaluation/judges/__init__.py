"""Judges by name, or as a study file describes them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ftstab.errors import StudyError, nearest
from ftstab.evaluation.judges.combined import Combined
from ftstab.evaluation.judges.endpoint import EndpointModel
from ftstab.evaluation.judges.phrase_lists import AdvBenchPhrases
from ftstab.evaluation.judges.protocol import Answer, Judge, Verdict, judge_label
from ftstab.evaluation.judges.refusal_phrases import RefusalPhrases
from ftstab.evaluation.judges.refusal_probe import RefusalProbe
from ftstab.evaluation.judges.weights import WeightsJudge
from ftstab.spec.judges import CombinedJudge, EndpointJudge, JudgeSpec

__all__ = [
    "AdvBenchPhrases",
    "Answer",
    "Combined",
    "EndpointModel",
    "Judge",
    "RefusalPhrases",
    "RefusalProbe",
    "Verdict",
    "WeightsJudge",
    "get_judge",
    "judge_label",
    "known_judges",
]

_JUDGES: dict[str, Callable[[], Judge]] = {j.name: j for j in (RefusalPhrases, AdvBenchPhrases, RefusalProbe)}


def known_judges() -> list[str]:
    """Return the names that a study file may use, in alphabetical order."""
    return sorted(_JUDGES)


def get_judge(spec: JudgeSpec, base_dir: Path | None = None) -> Judge:
    """Return the judge called ``spec``, or described by it; no weights are loaded and nothing is asked for.

    Args:
        spec: a name or a description.
        base_dir: folder that relative folders of models start from; by default the working directory.

    Raises:
        StudyError: no judge has this name, or the description can't be met (no such folder, labels that the
            model doesn't have, members that see different things).
    """
    if isinstance(spec, str):
        if spec not in _JUDGES:
            known = known_judges()
            raise StudyError(
                f"judge {spec!r}: unknown{nearest(spec, known)}; known judges: {', '.join(known)}"
            )
        return _JUDGES[spec]()
    if spec.name in _JUDGES:
        raise StudyError(f"judge {spec.name!r}: that name belongs to a judge of ftstab; choose another")
    base_dir = base_dir or Path()
    if isinstance(spec, CombinedJudge):
        members = [get_judge(member, base_dir) for member in spec.members]
        return Combined(spec.kind, members, spec.name or spec.kind)
    if isinstance(spec, EndpointJudge):
        return EndpointModel(spec)
    return WeightsJudge(spec, base_dir)
