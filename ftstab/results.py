"""What a study has found so far, read from its store: the way in for frontier, pick, report and sync."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ftstab.errors import MisuseError, SpecError, StudyError, nearest, nearest_file
from ftstab.frontier import FrontierRow
from ftstab.hopeless import founded
from ftstab.identity import digest
from ftstab.judging.refusals import with_refusals
from ftstab.outcome import Outcome
from ftstab.plan import Plan, Point, carried, fresh_plan, start_precision, study_plan
from ftstab.search.history import History, history
from ftstab.spec import Study, load_study, parse_recorded
from ftstab.stopping import stopping_rule
from ftstab.store import Lease, Records, open_store, store_root
from ftstab.store.location import FORMAT_FILE

FRESH = "fresh"
"""Under this name a study's record holds the fresh seeds that were asked for, by recipe."""
ASKED = "asked"
"""Under this name it holds the points that a search has asked, in their order."""
OVER = "search_over"
"""Under this name it says why the search asked for nothing more, at the end of the last run; null: it may go on."""


@dataclass(frozen=True)
class Identities:
    """Keys that a plan needs beside the study file; recorded when a study is run.

    Attributes:
        base: key of the start model.
        data: key of the training rows.
        evaluation: key of everything that is asked, with its judges.
        asked: key of the part of the study file that `evaluation` came from.
    """

    base: str
    data: str
    evaluation: str
    asked: str

    @property
    def key(self) -> str:
        """Identity of the evaluation."""
        return self.evaluation

    def outcome_key(self, setting: str) -> str:
        """Key of the outcome of ``setting``, as `Questions.outcome_key` makes it."""
        return digest({"setting": setting, "evaluation": self.evaluation})


@dataclass(frozen=True)
class Results:
    """A study with what its store has.

    Attributes:
        study: the study as its file says now.
        folder: the study's folder.
        records: its store.
        identities: keys recorded by the last run.
        plan: the plan, with what is done.
        start: outcome of the start model, if it was asked.
        outcomes: outcomes of the plan's settings, in the plan's order.
        fresh_plan: the fresh seeds that were asked for (`ftstab run --frontier-seeds`), with what is done.
        fresh: outcomes of its settings.  They are no settings to choose among.
        about: what the last run recorded beside the study file.
    """

    study: Study
    folder: Path
    records: Records
    identities: Identities
    plan: Plan
    start: Outcome | None
    outcomes: tuple[Outcome, ...]
    fresh_plan: Plan
    fresh: tuple[Outcome, ...] = ()
    about: dict[str, Any] = field(default_factory=dict)

    def need_start(self) -> Outcome:
        """The start model's outcome.

        Raises:
            StudyError: it hasn't been asked yet.
        """
        if self.start is None:
            raise StudyError(
                f"study {self.study.study}: the start model hasn't been measured yet; "
                f"`ftstab run` does that before anything else"
            )
        return self.start

    def searched(self, rows: Sequence[FrontierRow]) -> History | None:
        """What the search of the study has asked, and what that brought; None where the study doesn't search.

        Args:
            rows: `frontier.frontier_rows` of the outcomes.
        """
        if self.study.search.method == "grid":
            return None
        keys = self.identities.base, self.identities.data
        return history(self.study, asked_points(self.about), rows, *keys, self.about.get(OVER))

    def signals(self) -> dict[str, list[dict[str, Any]]]:
        """Signals of every trajectory, of the attempt that its outcomes name (the last one, if several)."""
        attempts = {o.trajectory: o.attempt for o in self.outcomes}
        return {t: self.records.signals(t, attempt) for t, attempt in attempts.items()}


def study_folder(study: Study) -> Path:
    """Folder of the study: its databases and reports, beside the shared trajectories of the store."""
    return store_root(study.store) / study.study


def evaluation_part(study: Study) -> str:
    """Key of the part of the study file that decides what is asked."""
    part: dict[str, Any] = {
        "evaluation": study.evaluation.model_dump(),
        "template": study.template.model_dump(),
        "model": [study.base.model, study.base.revision],
        "max_length": study.training.max_length,
    }
    rule = stopping_rule(study)
    if rule is not None:
        part["stopping"] = rule.identity()
    if study.search.hopeless is not None:
        # Some settings have no numbers for it, which another study would ask for.
        part["hopeless"] = study.search.hopeless.identity()
    if (precision := start_precision(study)) is not None:
        part["start"] = precision
    return digest(part)


def recorded(name: str, stored: tuple[str, dict[str, Any]]) -> Identities:
    """Return the keys that the last run of study ``name`` recorded.

    The one of what was asked is made anew from the file that was run: a later version of ftstab knows more keys of a
    study file, whose defaults change nothing.
    """
    text, about = stored
    return Identities(**about["identities"] | {"asked": evaluation_part(parse_recorded(text, where=name))})


def changed_since(before: Identities, base: str, data: str, evaluation: str | None) -> list[str]:
    """Return what isn't as it was in the last run, by the keys ``before`` that it recorded.

    Args:
        before: the keys.
        base: key of the start model now.
        data: key of the training rows now.
        evaluation: key of what is asked now; None where it can't be told.
    """
    pairs = (
        ("the start model", before.base, base),
        ("the training data", before.data, data),
        ("what is measured", before.evaluation, before.evaluation if evaluation is None else evaluation),
    )
    return [what for what, old, new in pairs if old != new]


def changed_text(study: str, changed: Sequence[str]) -> str:
    """Return why `run` refuses a study of which so much has changed since it was measured, and what to do."""
    return (
        f"study {study}: its store holds results with another setup; changed: {', '.join(changed)}. Give the study a "
        "new name (trajectories that agree are shared), or undo the change. Where you changed nothing, ftstab has "
        "another version of a judge or a check (CHANGELOG.md): the ftstab that ran it goes on with it"
    )


def asked_points(about: dict[str, Any]) -> list[Point]:
    """Return the points that the search of a study has asked, from what is recorded about it."""
    return [Point(**plain) for plain in about.get(ASKED, [])]


def about_now(study: Study, stored: tuple[str, dict[str, Any]]) -> dict[str, Any]:
    """Return what is recorded beside the file of ``study`` that was run, as it is for ``study``, which may ask for more
    since: its axes may be wider, so that points that a search has asked read otherwise, and a search that was over may
    go on."""
    text, about = stored
    if study.search.method == "grid" or not about.get(ASKED):
        return about
    before = parse_recorded(text, where=study.study)
    points = carried(asked_points(about), before, study)
    found = about | {ASKED: [point.as_dict() for point in points]}
    return found | {OVER: None} if study.search.asks_for_more(before.search) else found


def planned_elsewhere(records: Records, study: str) -> set[str]:
    """Return the settings that other studies of the store plan: trajectories are shared, so their weights are too.

    Raises:
        StudyError: what one of them plans can't be read.
    """
    found: set[str] = set()
    for other, keys, about in other_studies(records, study):
        points = asked_points(about)
        plans = (
            study_plan(other, keys.base, keys.data, points=points),
            fresh_plan(other, keys.base, keys.data, about.get(FRESH, {}), points=points),
        )
        found |= {s.key for plan in plans for s in plan.settings}
    return found


def at_work_elsewhere(records: Records, study: str) -> set[str]:
    """Return the trajectories that other studies of the store are at work on, or may go on with: states and copies of
    them aren't ``study``'s to delete, although it has all that it asked of them.

    Raises:
        StudyError: what one of them plans can't be read.
    """
    found: set[str] = set()
    for other, keys, about in other_studies(records, study):
        results = gather(other, records, keys, about)
        searches = other.search.method != "grid" and about.get(OVER) is None
        busy = searches or Lease(records.store, other.study).holder() is not None
        for plan in (results.plan, results.fresh_plan):
            jobs = plan.jobs if busy else plan.open_jobs
            found |= {trajectory.key for job in jobs for trajectory in job.trajectories}
    return found


def other_studies(records: Records, study: str) -> Iterator[tuple[Study, Identities, dict[str, Any]]]:
    """Yield every other study of the store, with its keys and what was recorded beside its file."""
    for name in records.studies():
        stored = records.study(name)
        if stored is None or name == study:
            continue
        try:
            found = parse_recorded(stored[0], where=name), recorded(name, stored), stored[1]
        except SpecError as error:
            raise StudyError(
                f"study {study}: what study {name} of the same store still needs can't be told, because the record of "
                f"its file has faults in this version of ftstab ({'; '.join(error.faults)}); use the version that ran "
                f"it, or, if it isn't needed any more, move the folder {name} out of the store"
            ) from None
        yield found


def find_study(argument: str) -> tuple[Study, Path]:
    """Return the study that ``argument`` names, and the folder that relative paths of its data start from.

    ``argument`` is a study file, or the folder of a study that was run.

    Raises:
        SpecError: the file has faults.
        MisuseError: there is no such file or folder, or the folder is of no study.
        StoreError: the folder's store can't be read.
    """
    path = Path(os.path.expanduser(argument))
    if path.exists() and not path.is_dir():
        return load_study(path), data_folder(path)
    if path.is_dir():
        folder = path.absolute()
        if not (folder.parent / FORMAT_FILE).exists():
            raise MisuseError(
                f"{argument}: a folder that is in no store of studies; give a study file (.yaml) or the folder of a "
                "study that was run"
            )
        records = Records(open_store(folder.parent))
        stored = records.study(folder.name)
        if stored is None:
            raise MisuseError(
                f"{path}: no study of that name in its store{nearest(folder.name, records.studies())}; give a study "
                "file, or the folder of a study that was run"
            )
        study = parse_recorded(stored[0], where=str(path)).model_copy(update={"store": str(folder.parent)})
        return study, Path(stored[1]["base_dir"])
    siblings = sorted(p.name for p in path.parent.iterdir()) if path.parent.is_dir() else []
    raise MisuseError(
        f"{argument}: no such file or folder{nearest_file(path.name, siblings)}; give a study file (.yaml) or the "
        "folder of a study that was run"
    )


def data_folder(path: Path) -> Path:
    """Return the folder that relative paths of a study file's data start from: the file's, or for a pipe, which lies
    nowhere, the one that the command is given in."""
    return path.absolute().parent if path.is_file() else Path.cwd()


def gather(study: Study, records: Records, identities: Identities, about: dict[str, Any]) -> Results:
    """Read every outcome of ``study`` from its store."""
    asked, points = about.get(FRESH, {}), asked_points(about)
    plan = study_plan(study, identities.base, identities.data, points=points)
    extra = fresh_plan(study, identities.base, identities.data, asked, points=points)
    wanted = [plan.start, *plan.settings, *extra.settings]
    stored = {
        s.key: with_refusals(outcome, records, study)
        for s in wanted
        if (outcome := records.outcome(s.trajectory, identities.outcome_key(s.key))) is not None
    }
    found = founded(extra, founded(plan, stored, study), study)
    return Results(
        study=study,
        folder=study_folder(study),
        records=records,
        identities=identities,
        plan=study_plan(study, identities.base, identities.data, found, points),
        start=found.get(plan.start.key),
        outcomes=tuple(found[s.key] for s in plan.settings if s.key in found),
        fresh_plan=fresh_plan(study, identities.base, identities.data, asked, found, points),
        fresh=tuple(found[s.key] for s in extra.settings if s.key in found),
        about=about,
    )


def open_results(argument: str) -> Results:
    """Return what the study that ``argument`` names has found so far.

    Raises:
        StudyError: it was never run, or its file asks for something else since.
    """
    study, base_dir = find_study(argument)
    root = store_root(study.store)
    stored = Records(open_store(root)).study(study.study) if root.is_dir() else None
    if stored is None:
        command = shlex.join(["ftstab", "run", argument])
        elsewhere = (
            ""
            if Path(study.store).is_absolute()
            else f"; where it was run from another folder, whose `store: {study.store}` is another, name the study's "
            "own folder in there"
        )
        raise StudyError(f"study {study.study}: nothing of it in {root}; run `{command}` first{elsewhere}")
    identities = recorded(study.study, stored)
    ran = parse_recorded(stored[0], where=str(root / study.study))
    changed = [section for section in ("base", "data") if getattr(study, section) != getattr(ran, section)]
    if identities.asked != evaluation_part(study):
        changed.append(
            "what is measured (evaluation, template, training.max_length, stopping and what it decides)"
        )
    if changed:
        raise StudyError(
            f"study {study.study}: changed in the study file since it was run: {', '.join(changed)}; undo that, or "
            "give the study a new name and run it"
        )
    # The folder of the file that was named, which may have moved since.
    about = about_now(study, stored) | {"base_dir": str(base_dir)}
    return gather(study, Records(open_store(root)), identities, about)
