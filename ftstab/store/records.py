"""Typed access to a store: the one place that knows the layout of keys.

    _store                                               random id of the store: about.json
    <study>/file                                         study.yaml, about.json
    <study>/failures/<t>                                 why a trajectory couldn't be finished: about.json
    <study>/stop/<driver>                                stop request: about.json
    <study>/lease/<generation>                           a driver's lease (`ftstab.store.lease`)
    <study>/looks/<n>                                    the n-th look at the confirmation half: about.json
    <study>/looks/<n>/result                             what it found: about.json
    <study>/samples/<sample>                             answers drawn for labelling: rows.jsonl.gz, about.json
    <study>/labels/<unit>/<person>                       what a person says of one answer: about.json
    trajectories/<t>/attempts/<attempt>                  about.json
    trajectories/<t>/outcomes/<setting>                  outcome.json
    trajectories/<t>/responses/<key>                     rows.jsonl.gz, about.json
    trajectories/<t>/verdicts/<key>                      rows.jsonl.gz, about.json
    trajectories/<t>/signals/<attempt>/<first>-<last>-<n>  rows.jsonl.gz of the n-th flush
    trajectories/<t>/states/<n>/<step>/<attempt>         the n-th resume state, files as given
    trajectories/<t>/copies/<attempt>                    copies that are kept: about.json
    trajectories/<t>/copies/<attempt>/<step>             shadows after a step, for post-hoc EMA, files as given
    trajectories/<t>/weights/<setting>                   weights of a setting, files as given

Trajectories are shared by all studies of a store (so no study is called `trajectories`; no name of one begins with
`_`).  Numbers are padded with zeros, so that keys sort by them.  JSON here may hold NaN and infinities: a training that
diverged is worth its record.
"""

from __future__ import annotations

import gzip
import json
import time
import uuid
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from ftstab.errors import StoreError
from ftstab.outcome import Outcome
from ftstab.store.contract import Content, Piece, Store, read_piece

_STORE = "_store"
_OUTCOME, _ABOUT, _ROWS, _STUDY = "outcome.json", "about.json", "rows.jsonl.gz", "study.yaml"


@dataclass(frozen=True)
class State:
    """A resume state: masters, optimizer, shadows, random state and data cursor after ``step`` updates."""

    step: int
    attempt: str
    piece: Piece


@dataclass(frozen=True)
class LookRecord:
    """One look at the confirmation half, as it is stored.

    Attributes:
        number: from 1, in the order in which they were begun.
        about: who asked what, and when.
        result: what came of it; None while it isn't finished.
    """

    number: int
    about: dict[str, Any]
    result: dict[str, Any] | None


@dataclass(frozen=True)
class Records:
    """The records of a store.  Every method raises StoreError as the store does.

    ``trajectory``, ``setting``, ``key``, ``attempt``, ``name`` and ``driver`` are single parts of a key.
    """

    store: Store

    # The store itself

    def store_id(self) -> str:
        """Random id of the store, made when it is first asked for; a copy of the store has the same."""
        while (about := read_piece(self.store, _STORE, _about)) is None:
            # Of drivers that ask at once one makes it, and all read that one.
            self.store.put_if_absent(_STORE, {_ABOUT: _json({"id": uuid.uuid4().hex})})
        return str(about["id"])

    # Outcomes

    def put_outcome(self, outcome: Outcome) -> None:
        """Record the outcome of a setting, replacing an earlier one."""
        self.store.put(
            _trajectory(outcome.trajectory, "outcomes", outcome.key), {_OUTCOME: _json(outcome.model_dump())}
        )

    def outcome(self, trajectory: str, key: str) -> Outcome | None:
        """The outcome of a setting, if it is known."""
        return read_piece(self.store, _trajectory(trajectory, "outcomes", key), _outcome)

    def outcomes(self, trajectory: str) -> list[Outcome]:
        """All outcomes of a trajectory, sorted by key."""
        found = (
            read_piece(self.store, k, _outcome) for k in self.store.list(_trajectory(trajectory, "outcomes"))
        )
        return [o for o in found if o is not None]

    # Responses and verdicts

    def put_responses(
        self, trajectory: str, key: str, rows: Sequence[Mapping[str, Any]], about: Mapping[str, Any]
    ) -> None:
        """Record the answers of a setting, one JSON object a row, and how they were made."""
        self._put_table(_trajectory(trajectory, "responses", key), rows, about)

    def responses(self, trajectory: str, key: str) -> tuple[list[dict[str, Any]], dict[str, Any]] | None:
        """Answers of a setting in the order they were put, and how they were made."""
        return read_piece(self.store, _trajectory(trajectory, "responses", key), _table)

    def put_verdicts(
        self, trajectory: str, key: str, rows: Sequence[Mapping[str, Any]], about: Mapping[str, Any]
    ) -> None:
        """Record one judge's verdicts on answers, one JSON object a row, and how they were made."""
        self._put_table(_trajectory(trajectory, "verdicts", key), rows, about)

    def verdicts(self, trajectory: str, key: str) -> tuple[list[dict[str, Any]], dict[str, Any]] | None:
        """One judge's verdicts in the order they were put, and how they were made."""
        return read_piece(self.store, _trajectory(trajectory, "verdicts", key), _table)

    def _put_table(self, key: str, rows: Sequence[Mapping[str, Any]], about: Mapping[str, Any]) -> None:
        self.store.put(key, {_ROWS: _pack(rows), _ABOUT: _json(about)})

    # Attempts

    def put_attempt(self, trajectory: str, attempt: str, about: Mapping[str, Any]) -> None:
        """Record a physical training of a trajectory and its environment."""
        self.store.put(_trajectory(trajectory, "attempts", attempt), {_ABOUT: _json(about)})

    def attempts(self, trajectory: str) -> dict[str, dict[str, Any]]:
        """What is recorded of every attempt, by its name."""
        found = {
            k: read_piece(self.store, k, _about) for k in self.store.list(_trajectory(trajectory, "attempts"))
        }
        return {k.rsplit("/", 1)[1]: about for k, about in found.items() if about is not None}

    # Stability signals

    def put_signals(self, trajectory: str, attempt: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Record the signals since the last flush; every row has an integer ``step``.  No rows, no piece."""
        if not rows:
            return
        steps = [row["step"] for row in rows]
        folder = _trajectory(trajectory, "signals", attempt)
        flush = 1 + max((int(k.rsplit("-", 1)[1]) for k in self.store.list(folder)), default=0)
        self.store.put(f"{folder}/{min(steps):09d}-{max(steps):09d}-{flush:06d}", {_ROWS: _pack(rows)})

    def signals(self, trajectory: str, attempt: str) -> list[dict[str, Any]]:
        """Signals of an attempt in order of step; of a step flushed twice (after a resume) the later rows."""
        keys = self.store.list(_trajectory(trajectory, "signals", attempt))
        by_step: dict[int, list[dict[str, Any]]] = {}
        for key in sorted(keys, key=lambda k: int(k.rsplit("-", 1)[1])):
            flushed: dict[int, list[dict[str, Any]]] = {}
            for row in read_piece(self.store, key, _rows) or []:
                flushed.setdefault(row["step"], []).append(row)
            by_step.update(flushed)
        return [row for step in sorted(by_step) for row in by_step[step]]

    # Resume states

    def save_state(self, trajectory: str, attempt: str, step: int, files: Content) -> None:
        """Save a resume state; once it is whole, the older ones of the trajectory are deleted."""
        folder = _trajectory(trajectory, "states")
        older = self.store.list(folder)
        number = 1 + max((int(k.split("/")[3]) for k in older), default=0)
        self.store.put(_trajectory(trajectory, "states", f"{number:06d}", f"{step:09d}", attempt), files)
        for key in older:
            self.store.delete(key)

    def latest_state(self, trajectory: str) -> State | None:
        """The resume state saved last, if there is one."""
        while keys := self.store.list(_trajectory(trajectory, "states")):
            piece = self.store.get(keys[-1])
            if piece is not None:
                step, attempt = keys[-1].split("/")[4:]
                return State(int(step), attempt, piece)
        return None

    def drop_states(self, trajectory: str) -> None:
        """Delete every resume state of a trajectory."""
        for key in self.store.list(_trajectory(trajectory, "states")):
            self.store.delete(key)

    # Copies of shadows, for post-hoc EMA

    def put_copy(self, trajectory: str, attempt: str, step: int, files: Content) -> None:
        """Store the shadows of an attempt after ``step`` updates."""
        self.store.put(_trajectory(trajectory, "copies", attempt, f"{step:09d}"), files)

    def copy(self, trajectory: str, attempt: str, step: int) -> Piece | None:
        """The shadows of an attempt after ``step`` updates, if they are stored."""
        return self.store.get(_trajectory(trajectory, "copies", attempt, f"{step:09d}"))

    def keep_copies(self, trajectory: str, attempt: str, about: Mapping[str, Any]) -> None:
        """Say that the copies of an attempt are whole and stay."""
        self.store.put(_trajectory(trajectory, "copies", attempt), {_ABOUT: _json(about)})

    def kept_copies(self, trajectory: str) -> dict[str, dict[str, Any]]:
        """What is said of the attempts whose copies stay, by their name."""
        keys = [k for k in self.store.list(_trajectory(trajectory, "copies")) if k.count("/") == 3]
        found = {k: read_piece(self.store, k, _about) for k in keys}
        return {k.rsplit("/", 1)[1]: about for k, about in found.items() if about is not None}

    def drop_copies(self, trajectory: str) -> None:
        """Delete the copies of every attempt of a trajectory that aren't said to stay."""
        for keys in self.loose_copies(trajectory).values():
            for key in keys:
                self.store.delete(key)

    def loose_copies(self, trajectory: str) -> dict[str, list[str]]:
        """Keys of the copies that aren't said to stay, by attempt."""
        keys = self.store.list(_trajectory(trajectory, "copies"))
        kept = {k for k in keys if k.count("/") == 3}
        found: dict[str, list[str]] = {}
        for key in keys:
            folder = key.rsplit("/", 1)[0]
            if key not in kept and folder not in kept:
                found.setdefault(folder.rsplit("/", 1)[1], []).append(key)
        return found

    # Weights

    def put_weights(self, trajectory: str, setting: str, files: Content) -> None:
        """Keep the weights of a setting."""
        self.store.put(_trajectory(trajectory, "weights", setting), files)

    def weights(self, trajectory: str, setting: str) -> Piece | None:
        """The weights of a setting, if they were kept."""
        return self.store.get(_trajectory(trajectory, "weights", setting))

    def weight_settings(self, trajectory: str) -> list[str]:
        """Keys of the settings whose weights are kept, sorted."""
        return [k.rsplit("/", 1)[1] for k in self.store.list(_trajectory(trajectory, "weights"))]

    def delete_weights(self, trajectory: str, setting: str) -> None:
        """Delete the weights of a setting."""
        self.store.delete(_trajectory(trajectory, "weights", setting))

    # Studies

    def put_study(self, name: str, yaml_text: str, about: Mapping[str, Any]) -> None:
        """Record a study file as it was run."""
        self.store.put(_study(name, "file"), {_STUDY: yaml_text.encode(), _ABOUT: _json(about)})

    def study(self, name: str) -> tuple[str, dict[str, Any]] | None:
        """The study file that was run last under this name, and what was recorded with it."""
        return read_piece(self.store, _study(name, "file"), lambda p: (p.read(_STUDY).decode(), _about(p)))

    def studies(self) -> list[str]:
        """Names of all studies, sorted."""
        parts = (k.split("/") for k in self.store.list())
        return [p[0] for p in parts if p[1:] == ["file"]]

    # Trajectories that couldn't be finished

    def put_failure(self, name: str, trajectory: str, why: str) -> None:
        """Record why the last run of a study couldn't finish a trajectory."""
        self.store.put(_study(name, "failures", trajectory), {_ABOUT: _json({"why": why, "at": time.time()})})

    def failure(self, name: str, trajectory: str) -> str | None:
        """Why the last run of a study couldn't finish a trajectory; None where nothing kept it from that."""
        about = read_piece(self.store, _study(name, "failures", trajectory), _about)
        return None if about is None else str(about["why"])

    def drop_failure(self, name: str, trajectory: str) -> None:
        """Forget why a trajectory couldn't be finished: it was gone on with."""
        self.store.delete(_study(name, "failures", trajectory))

    # Looks at the confirmation half

    def add_look(self, name: str, about: Mapping[str, Any]) -> int:
        """Record that a look at the confirmation half begins, and return its number; nothing ever replaces it."""
        number = 0
        while True:
            number += 1
            # A number that is taken stays taken, so that callers at once get different ones.
            if self.store.put_if_absent(_look(name, number), {_ABOUT: _json(about)}):
                return number

    def put_look_result(self, name: str, number: int, result: Mapping[str, Any]) -> None:
        """Record what a look found."""
        self.store.put(_look(name, number) + "/result", {_ABOUT: _json(result)})

    def looks(self, name: str) -> list[LookRecord]:
        """Every look of a study at the confirmation half, in order."""
        found = []
        for key in self.store.list(_study(name, "looks")):
            about = None if key.endswith("/result") else read_piece(self.store, key, _about)
            if about is not None:
                result = read_piece(self.store, f"{key}/result", _about)
                found.append(LookRecord(int(key.rsplit("/", 1)[1]), about, result))
        return found

    # Samples of a study's answers, and what people say of them

    def put_sample(
        self, name: str, sample: str, rows: Sequence[Mapping[str, Any]], about: Mapping[str, Any]
    ) -> bool:
        """Record which answers were drawn; of any number of callers at once exactly one is told True."""
        return self.store.put_if_absent(
            _study(name, "samples", sample), {_ROWS: _pack(rows), _ABOUT: _json(about)}
        )

    def samples(self, name: str) -> dict[str, tuple[list[dict[str, Any]], dict[str, Any]]]:
        """Rows of every sample of a study and how they were drawn, by the sample's key."""
        found = {k: read_piece(self.store, k, _table) for k in self.store.list(_study(name, "samples"))}
        return {k.rsplit("/", 1)[1]: table for k, table in found.items() if table is not None}

    def put_label(self, name: str, unit: str, person: str, about: Mapping[str, Any]) -> None:
        """Record what ``person`` says of the answer ``unit``, replacing what they said before."""
        self.store.put(_study(name, "labels", unit, person), {_ABOUT: _json(about)})

    def labels(self, name: str) -> dict[tuple[str, str], dict[str, Any]]:
        """Every label of a study by unit and person."""
        found = {k: read_piece(self.store, k, _about) for k in self.store.list(_study(name, "labels"))}
        return {
            (k.split("/")[-2], k.split("/")[-1]): about for k, about in found.items() if about is not None
        }

    # Stop requests

    def request_stop(self, name: str, driver: str) -> None:
        """Ask the driver of a study to stop (`ftstab.store.Lease.driver` names one)."""
        self.store.put(_study(name, "stop", driver), {_ABOUT: _json({"asked": time.time()})})

    def stop_requested(self, name: str, driver: str) -> bool:
        """Whether the driver was asked to stop."""
        return self.store.exists(_study(name, "stop", driver))

    def clear_stop(self, name: str, driver: str) -> None:
        """Forget the request."""
        self.store.delete(_study(name, "stop", driver))


def _trajectory(*parts: str) -> str:
    return _joined("trajectories", *parts)


def _study(*parts: str) -> str:
    return _joined(*parts)


def _look(name: str, number: int) -> str:
    return _study(name, "looks", f"{number:06d}")


def _joined(*parts: str) -> str:
    for part in parts:
        if "/" in part:
            raise StoreError(f"store key: {part!r} must be a single part of a key, without '/'")
    return "/".join(parts)


def _json(value: Any) -> bytes:
    return json.dumps(value).encode()


def _pack(rows: Sequence[Mapping[str, Any]]) -> bytes:
    # No time in the header, so that equal rows give equal bytes.
    return gzip.compress(b"".join(_json(row) + b"\n" for row in rows), mtime=0)


def _rows(piece: Piece) -> list[dict[str, Any]]:
    packed = piece.read(_ROWS)
    try:
        return [json.loads(line) for line in gzip.decompress(packed).splitlines()]
    except (OSError, EOFError, ValueError, zlib.error):
        raise StoreError(
            f"piece {piece.key!r} is damaged: {_ROWS} can't be unpacked; delete it and run the same command "
            "again"
        ) from None


def _about(piece: Piece) -> dict[str, Any]:
    about: dict[str, Any] = piece.json(_ABOUT)
    return about


def _table(piece: Piece) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    return _rows(piece), _about(piece)


def _outcome(piece: Piece) -> Outcome:
    try:
        return Outcome.model_validate(piece.json(_OUTCOME))
    except ValidationError as error:
        fields = ", ".join(sorted({".".join(map(str, e["loc"])) for e in error.errors()}))
        raise StoreError(
            f"piece {piece.key!r} is no outcome of this version of ftstab (wrong or unknown: {fields}); use "
            "the version that wrote it, or delete it and run the same command again"
        ) from None
