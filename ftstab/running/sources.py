"""Every set of rows that a study file names, by its place there: reading them all, so that all faults are said at once.

Reads what the study names; writes nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from ftstab.data.rows import RowSet, read_rows
from ftstab.errors import DataError, NotHereError
from ftstab.evaluation.questions import read_tasks
from ftstab.running.remarks import asked_place
from ftstab.spec import Study

Readers = dict[str, Callable[[], RowSet]]


def learned_readers(study: Study, base_dir: Path) -> Readers:
    """Return what reads each set that is trained on, by place."""
    sources = {"data.train": study.data.train}
    if study.data.mix is not None:
        sources["data.mix"] = study.data.mix
    if (align := study.base.align) is not None:
        sources |= {f"base.align.{name}": getattr(align, name) for name in ("data", "ordinary", "lookalikes")}
    return {where: partial(read_rows, s, base_dir, True) for where, s in sources.items()}


def asked_readers(study: Study, base_dir: Path) -> Readers:
    """Return what reads each set that is asked, by place."""
    evaluation, utility = study.evaluation, study.evaluation.utility
    sources = {"evaluation.harmful.benchmark": evaluation.harmful.benchmark}
    if evaluation.over_refusal is not None:
        sources["evaluation.over_refusal.benchmark"] = evaluation.over_refusal.benchmark
    found: Readers = {where: partial(read_rows, source, base_dir, False) for where, source in sources.items()}
    found[asked_place(study, "utility")] = partial(read_tasks, utility, base_dir)
    if utility.held_out is not None:
        found[asked_place(study, "held_out")] = partial(read_rows, utility.held_out, base_dir, True)
    return found


def placed(where: str, error: Exception) -> str:
    """Return what ``error`` says, after the place in the study file unless it begins with one of the same section."""
    text = str(error)
    return text if text.startswith((where, f"{where.partition('.')[0]}.")) else f"{where}: {text}"


def check_sources(study: Study, base_dir: Path, absent: bool = False) -> None:
    """Read every set that ``study`` names.

    Args:
        study: the study.
        base_dir: folder that relative locations start from.
        absent: sets that can't be had on this machine are no fault.

    Raises:
        DataError: some can't be read, lack a column, or have no usable row: all of them, each with its place.
    """
    faults = []
    for where, read in (learned_readers(study, base_dir) | asked_readers(study, base_dir)).items():
        try:
            read()
        except DataError as error:
            if not (absent and isinstance(error, NotHereError)):
                faults.append(placed(where, error))
    if len(faults) == 1:
        raise DataError(faults[0])
    if faults:
        raise DataError(
            f"{len(faults)} faults in the data that the study names\n  - " + "\n  - ".join(faults)
        )
