"""Every error that ftstab raises on purpose.

FtstabError
├── MisuseError        the command line asks for what there isn't, or for what doesn't go together
├── SpecError          the study file is wrong (all its faults at once)
├── DataError          a data file can't be used
│   └── NotHereError   data that this machine lacks, or can't reach or read as it is set up
├── ModelError         a base model can't be used
├── StoreError         the store can't be read or written
│   └── LeaseError     another driver runs this study
├── TrackingError      MLflow or Optuna can't be reached
├── StudyError         the study can't do what was asked (nothing finished yet, no such setting ...)
└── InterruptedStudyError  the user stopped the study; everything finished is saved

A message says where, what was given, what is allowed and what to do.  No message quotes a harmful prompt or an
answer to one.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import PurePath


class FtstabError(Exception):
    """Base of every error that ftstab raises on purpose; the command line prints it without a traceback."""


class MisuseError(FtstabError):
    """What stands on the command line names nothing, is out of range or doesn't go together: exit code 2."""


class SpecError(FtstabError):
    """The study file is wrong.

    Attributes:
        faults: one line per fault, each with its dotted path, what was given, what is allowed.
    """

    def __init__(self, where: str, faults: Iterable[str]) -> None:
        self.where = where
        self.faults = list(faults)
        count = "1 fault" if len(self.faults) == 1 else f"{len(self.faults)} faults"
        super().__init__(f"{where}: {count}\n" + "\n".join(f"  - {fault}" for fault in self.faults))


class DataError(FtstabError):
    """A data file is missing, lacks a column, or has no usable row."""


class NotHereError(DataError):
    """Data that this machine lacks, or can't reach or read as it is set up: of the hub, which can't be reached or may
    not be asked; read by an extra that isn't installed; named by an environment variable that isn't set.

    Attributes:
        why: a clause that says so, e.g. "hf:owner/set isn't on this machine", for who goes on without the data.
    """

    def __init__(self, message: str, why: str) -> None:
        super().__init__(message)
        self.why = why


class ModelError(FtstabError):
    """A base model can't be found, isn't causal, or would need to run remote code."""


class StoreError(FtstabError):
    """The store can't be read or written, or was made by another format version."""


class LeaseError(StoreError):
    """Another driver holds this study."""


class TrackingError(FtstabError):
    """MLflow or Optuna can't be reached."""


class StudyError(FtstabError):
    """The study can't do what was asked of it."""


class InterruptedStudyError(FtstabError):
    """The user stopped the study.  Finished settings and the training state are saved."""


def nearest(name: str, known: Iterable[str]) -> str:
    """Return ``" (did you mean 'x'?)"`` for the known name nearest to ``name``, or an empty string."""
    found = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f" (did you mean {found[0]!r}?)" if found else ""


def nearest_file(name: str, known: Iterable[str]) -> str:
    """As `nearest`, for names of files: an extension that all share makes no two of them alike."""
    stems = {PurePath(file).stem: file for file in known}
    found = difflib.get_close_matches(PurePath(name).stem, list(stems), n=1, cutoff=0.5)
    return f" (did you mean {stems[found[0]]!r}?)" if found else ""


def first_line(error: BaseException) -> str:
    """Return the first line of what an error of another library says; its class where it says nothing.

    A line that ends in a colon only leads to the next.
    """
    said: list[str] = []
    for line in filter(None, (line.strip() for line in str(error).splitlines())):
        said.append(line)
        if not line.endswith(":"):
            break
    return " ".join(said) or type(error).__name__
