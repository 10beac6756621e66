"""`ftstab validate`: everything that can be wrong with a study file and with what it names.

Reads the data, and the tokenizer of a base model that is on this machine; loads no weights.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

from ftstab.changes import refusal, refusal_text
from ftstab.cli.crew import find_crew
from ftstab.data.rows import RowSet
from ftstab.data.split import Split, split_sets
from ftstab.data.training import TrainingData, check_mix
from ftstab.errors import FtstabError
from ftstab.evaluation.judges import get_judge
from ftstab.evaluation.judges.roles import role_judges
from ftstab.evaluation.questions import Half, make_questions
from ftstab.models.chat import Chat
from ftstab.models.load import load_chat
from ftstab.models.source import here, identify
from ftstab.results import data_folder, find_study
from ftstab.running.remarks import (
    arm_remarks,
    asked_place,
    left_out_remarks,
    limit_remarks,
    out_of_reach_remarks,
    overlap_remarks,
    sample_remarks,
    schedule_remarks,
    stall_remarks,
    training_remarks,
    unused_remarks,
)
from ftstab.running.sources import Readers, asked_readers, learned_readers, placed
from ftstab.spec import Parts, Study, Template, load_parts
from ftstab.stopping import stopping_rule
from ftstab.store import Records, open_store, store_root
from ftstab.store.location import FORMAT_FILE
from ftstab.training.posthoc import check_posthoc

T = TypeVar("T")
_ALIGN = ("data", "ordinary", "lookalikes")
_PLANNED = ("training", "axes", "seeds", "posthoc", "arms", "settings", "search")
"""What decides which settings a study has."""


@dataclass(frozen=True)
class Checked:
    """What is wrong with a study.

    Attributes:
        faults: a line each, with the place in the study file: those of the file first.
        notes: what is no fault but may not be meant, and what couldn't be checked.
    """

    faults: tuple[str, ...]
    notes: tuple[str, ...]


def check(argument: str) -> Checked:
    """Check the study that ``argument`` names; where its file has faults, the parts that have none.

    Raises:
        SpecError: it can't be read at all.
        MisuseError: there is no such study.
    """
    path = Path(os.path.expanduser(argument))
    if path.exists() and not path.is_dir():
        parts, base_dir = load_parts(path), data_folder(path)
    else:
        study, base_dir = find_study(argument)
        parts = Parts(study)
    if parts.study is None:
        return Checked(parts.faults, ("the data weren't checked; mend the file first",))
    checks = _Checks(parts, parts.study, base_dir)
    checks.all()
    if not parts.faults and not checks.faults:
        checks.changes()
    return Checked((*parts.faults, *checks.faults), tuple(checks.notes))


class _Checks:
    """Collects faults and notes of the parts of a study that stand in its file as they were meant."""

    def __init__(self, parts: Parts, study: Study, base_dir: Path) -> None:
        self.parts, self.study, self.base_dir = parts, study, base_dir
        self.faults: list[str] = []
        self.notes: list[str] = []

    def attempt(self, where: str, reads: tuple[str, ...], action: Callable[[], T]) -> T | None:
        """Carry out ``action``, which reads some places of the file, unless one of them is at fault."""
        if not all(map(self.parts.holds, reads)):
            return None
        try:
            return action()
        except FtstabError as error:
            self.faults.append(placed(where, error))
            return None

    def all(self) -> None:
        """Check everything that can be checked."""
        study, base_dir = self.study, self.base_dir
        self.attempt("stopping", ("stopping", "constraints", *_PLANNED), lambda: stopping_rule(study))
        self.attempt("posthoc", ("posthoc", "axes", "training"), lambda: check_posthoc(study))
        self.notes += self.attempt("axes.steps", ("axes", "training"), lambda: schedule_remarks(study)) or []
        self.notes += self.attempt("search.stall", ("search", "seeds"), lambda: stall_remarks(study)) or []
        self.notes += self.attempt("arms", ("arms", "axes", "seeds"), lambda: arm_remarks(study)) or []
        if self.parts.holds("resources") and (why := find_crew(self.study.resources).refused):
            self.notes.append(why)  # no fault: a study may be checked on another machine than it is run on
        known = self.attempt(
            "base.model", ("base.model", "base.revision"), lambda: identify(study.base, base_dir)
        )
        self._judges()
        learned = self._read(learned_readers(study, base_dir))
        every = asked_readers(study, base_dir)
        asked = self._read(every)
        trained = {where: rows for where, rows in learned.items() if where.startswith("data.")}
        if "data.mix" in trained:
            judged = {where: rows for where, rows in asked.items() if where.endswith(".benchmark")}
            before = len(self.faults)
            self.attempt("data.mix", (), lambda: check_mix(trained["data.mix"], judged))
            if len(self.faults) > before:
                del trained["data.mix"]  # once is enough
        self.notes += overlap_remarks(trained, asked)
        self.notes += left_out_remarks({where: s.left_out for where, s in (learned | asked).items()})
        split = study.evaluation.split
        halves = None
        if asked.keys() == every.keys():
            halves = self.attempt(
                "evaluation.split",
                ("evaluation.split",),
                lambda: split_sets(asked, split.search, split.confirm, split.seed),
            )
        counts = {where: len(half.search) for where, half in (halves or {}).items()}
        self.notes += limit_remarks(study, learned | asked, counts)
        if halves is not None:
            self._reach(halves)
        if known is not None:
            self._lengths(learned, can_ask=halves is not None)

    def changes(self) -> None:
        """Note that what the study was measured with has changed since."""
        root = store_root(self.study.store)
        if not (root / FORMAT_FILE).exists():
            return
        records = self.attempt("store", (), lambda: Records(open_store(root)))
        if records is not None and (why := refusal(self.study, self.base_dir, records)) is not None:
            self.notes.append(refusal_text(why))

    def _reach(self, halves: Mapping[str, Split]) -> None:
        """Note small sets, and limits that no setting can keep, by the sets as they are split, by place."""
        study, evaluation = self.study, self.study.evaluation
        search, confirm = {}, {}
        for role, benchmark in (("harmful", evaluation.harmful), ("over_refusal", evaluation.over_refusal)):
            if benchmark is not None:
                half = halves[asked_place(study, role)]
                search[role] = len(half.search[: benchmark.limit])
                confirm[role] = len(half.confirm)
        said = self.attempt(
            "constraints",
            ("constraints", "evaluation"),
            lambda: [*sample_remarks(study, search), *out_of_reach_remarks(study, search, confirm)],
        )
        self.notes += said or []

    def _judges(self) -> None:
        evaluation, base_dir, before = self.study.evaluation, self.base_dir, len(self.faults)
        for role, benchmark in (("harmful", evaluation.harmful), ("over_refusal", evaluation.over_refusal)):
            for spec in benchmark.judges if benchmark else []:
                self.attempt(f"evaluation.{role}.judges", (), partial(get_judge, spec, base_dir))
        if len(self.faults) == before:
            self.attempt("evaluation", (), lambda: role_judges(evaluation, base_dir))

    def _read(self, readers: Readers) -> dict[str, RowSet]:
        """The sets that can be read, by place."""
        found = {}
        for where, reader in readers.items():
            # How a task is read is decided by other keys of its section.
            reads = "evaluation.utility" if where.startswith("evaluation.utility") else where
            rows = self.attempt(where, (reads,), reader)
            if rows is not None:
                found[where] = rows
        return found

    def _lengths(self, learned: Mapping[str, RowSet], can_ask: bool) -> None:
        """Check lengths in tokens, where the tokenizer is on this machine."""
        study, base_dir = self.study, self.base_dir
        folder = here(study.base, base_dir)
        if folder is None:
            self.notes.append(
                f"base.model: {study.base.model} isn't on this machine yet, so whether rows and prompts fit "
                "`max_length` and the model wasn't checked; `ftstab run` fetches it and checks that first"
            )
            return
        chat = self.attempt("base.model", ("template",), lambda: load_chat(folder, study.template))
        if chat is None:
            return
        if "data.train" in learned and ("data.mix" in learned) == (study.data.mix is not None):
            data = TrainingData(learned["data.train"], learned.get("data.mix"))
            said = self.attempt(
                "",  # it says itself which place is at fault
                ("training.max_length", "axes.max_length"),
                lambda: training_remarks(study, data, chat),
            )
            self.notes += said or []
        if (align := study.base.align) is not None:
            plain = Chat(chat.tokenizer, Template(), chat.context, chat.vocabulary)
            for where in [f"base.align.{name}" for name in _ALIGN if f"base.align.{name}" in learned]:
                key, lengths = "base.align.max_length", [align.max_length]
                said = self.attempt(
                    where, (key,), partial(unused_remarks, plain, learned[where], where, key, lengths)
                )
                self.notes += said or []
        if not can_ask or any(fault.startswith("evaluation") for fault in self.faults):
            return
        # How long a prompt is doesn't depend on when asking ends.
        asked = study.model_copy(update={"stopping": None})
        halves: dict[Half, str] = {"search": "evaluation"}
        if study.evaluation.split.confirm > 0:
            # Nothing but a confirmation asks it, and that is late to find out.
            halves["confirm"] = "evaluation, confirmation half"
        for half, where in halves.items():
            self.attempt(
                where,
                ("evaluation", "training.max_length"),
                partial(make_questions, asked, base_dir, chat, half),
            )
