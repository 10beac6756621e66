"""The runs of one MLflow experiment, found by identity: what the tracker reads and writes MLflow through."""

from __future__ import annotations

import logging
import os
import sqlite3
import time
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path
from typing import Any, TypeVar

from ftstab.errors import TrackingError
from ftstab.tracking.address import check_reachable, redact, scrub, sqlite_file

T = TypeVar("T")
Point = tuple[str, float, int]
"""Metric, value, step."""

IDENTITY = {"start": "ftstab.setting", "trajectory": "ftstab.trajectory", "setting": "ftstab.setting"}
"""Tag that holds the key of a run, by its `ftstab.kind`."""
TOLD = "ftstab.told"
"""Tag with a digest of what a run shows, written last: a run without it was cut short."""

STORE = "ftstab.store"
"""Tag of an experiment: id of the store that it shows."""

_METRICS_PER_BATCH = 800
_TAGS_PER_BATCH = 100
_SEARCH_PAGE = 1000

ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",  # it would print the address with its login
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "3",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
}
"""What MLflow's client runs under where the user has set nothing: by itself it retries for minutes."""

_ADVICE = (
    "start the server, or set `tracking.mlflow` or MLFLOW_TRACKING_URI to one that runs (null and unset: a "
    "local file); nothing is lost, `ftstab sync` fills MLflow from the store"
)


@dataclass
class Run:
    """What this process knows of one run.

    Attributes:
        id: MLflow's id.
        started: when it began, in milliseconds.
        status: MLflow's word for how it ended, or RUNNING.
        tags: our tags.
        metrics: the latest value by metric.
        curves: every step and value by metric, for the metrics that were read or written here.
        new: True if it was made here, so that it has nothing but what is known.
    """

    id: str
    started: int
    status: str
    tags: dict[str, str]
    metrics: dict[str, float] = field(default_factory=dict)
    curves: dict[str, set[tuple[int, float]]] = field(default_factory=dict)
    new: bool = False


class RunBook:
    """The runs of the experiment ``name`` at ``uri``, by kind and key.

    The first use opens it.  Every method raises TrackingError when MLflow can't be reached or refuses.

    Args:
        uri: tracking URI; may hold a login, which no message repeats.
        name: name of the experiment.
        store: id of the store that it shows; an experiment of another one is refused.
        artifacts: folder for artifacts, used where ``uri`` is no server that has its own.
    """

    def __init__(self, uri: str, name: str, store: str, artifacts: Path) -> None:
        self.added = 0
        self._uri, self._name, self._store, self._artifacts = uri, name, store, artifacts
        self._client: Any = None
        self._experiment = ""
        self._runs: dict[tuple[str, str], Run] = {}

    def check(self) -> None:
        """Try within seconds whether MLflow can be reached."""
        check_reachable(self._uri, "MLflow", _ADVICE)

    def find(self, kind: str, key: str) -> Run | None:
        """Return the run of ``kind`` with ``key``, if there is one."""
        self.open()
        return self._runs.get((kind, key))

    def all(self, kind: str) -> dict[str, Run]:
        """Return all runs of ``kind`` by key."""
        self.open()
        return {key: run for (k, key), run in self._runs.items() if k == kind}

    def create(self, kind: str, key: str, name: str, tags: Mapping[str, str]) -> Run:
        """Make the run of ``kind`` with ``key``."""
        self.open()
        tags = {"ftstab.kind": kind, IDENTITY[kind]: key, "ftstab.study": self._name, **tags}
        now = _now()
        with self._reaching():
            made = self._client.create_run(
                self._experiment, start_time=now, tags=tags | {"mlflow.source.name": "ftstab"}, run_name=name
            )
        self._runs[kind, key] = run = Run(made.info.run_id, now, "RUNNING", dict(tags), new=True)
        self.added += 1
        return run

    def delete(self, kind: str, key: str) -> None:
        """Delete the run of ``kind`` with ``key``."""
        with self._reaching():
            self._client.delete_run(self._runs[kind, key].id)
        del self._runs[kind, key]

    def write(
        self,
        run: Run,
        points: Iterable[Point] = (),
        params: Mapping[str, str] | None = None,
        tags: Mapping[str, str] | None = None,
        at: int | Mapping[int, int] | None = None,
    ) -> None:
        """Write to ``run``: one batch where MLflow's limits allow, the tag `TOLD` in the last.

        Args:
            run: the run.
            points: metrics.
            params: parameters; they can't be changed later.
            tags: tags; those that the run has already are passed over.
            at: time of the metrics in milliseconds, one for all or by step, so that a batch sent twice adds nothing;
                None: now.
        """
        from mlflow.entities import Metric, Param, RunTag

        points, now = list(points), _now()
        times = (
            at
            if isinstance(at, Mapping)
            else dict.fromkeys((p[2] for p in points), now if at is None else at)
        )
        new = {k: v for k, v in (tags or {}).items() if run.tags.get(k) != v}
        ordered = sorted(new.items(), key=lambda item: item[0] == TOLD)
        batches = zip_longest(
            _chunks(
                [Metric(name, value, times[step], step) for name, value, step in points], _METRICS_PER_BATCH
            ),
            _chunks([Param(k, v) for k, v in (params or {}).items()], _TAGS_PER_BATCH),
            _chunks([RunTag(k, v) for k, v in ordered], _TAGS_PER_BATCH),
            fillvalue=(),
        )
        with self._reaching():
            # Each list's chunks stand last first: batches are filled from the end, so that the last holds
            # TOLD.
            for some_metrics, some_params, some_tags in reversed(list(batches)):
                self._client.log_batch(run.id, metrics=some_metrics, params=some_params, tags=some_tags)
        run.tags |= new
        for name, value, step in points:
            run.metrics[name] = value
            if run.new or name in run.curves:
                run.curves.setdefault(name, set()).add((step, value))

    def add_points(self, run: Run, points: Iterable[Point]) -> None:
        """Add those of ``points`` that the curves of ``run`` don't show yet."""
        missing = []
        for name, value, step in points:
            if name not in run.curves:
                if name in run.metrics and not run.new:
                    with self._reaching():
                        history = self._client.get_metric_history(run.id, name)
                    run.curves[name] = {(p.step, p.value) for p in history}
                else:
                    run.curves[name] = set()
            if (step, value) not in run.curves[name]:
                missing.append((name, value, step))
        self.write(run, missing)

    def set_status(self, run: Run, status: str) -> None:
        """Bring ``run`` to RUNNING, FINISHED, FAILED or KILLED."""
        if run.status == status:
            return
        with self._reaching():
            if status == "RUNNING":
                self._client.update_run(run.id, status=status)
            else:
                self._client.set_terminated(run.id, status)
        run.status = status

    def close(self) -> None:
        """Let go of MLflow; a SQLite database is left as one file that can be copied."""
        if self._client is None:
            return
        self._client = None
        self._runs.clear()
        path = sqlite_file(self._uri)
        if path is not None:
            with self._reaching(), closing(sqlite3.connect(path)) as connection:
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def open(self) -> None:
        """Connect, make the experiment if there is none, and read its runs; nothing if that was done.

        Raises:
            TrackingError: it shows a study of another store, or was deleted.
        """
        if self._client is not None:
            return
        self.check()
        for name, value in ENVIRONMENT.items():
            os.environ.setdefault(name, value)
        with self._reaching(), warnings.catch_warnings():
            # MLflow uses what SQLAlchemy 2.1 has deprecated; nothing that we or the user could change.
            warnings.simplefilter("ignore", DeprecationWarning)
            path = sqlite_file(self._uri)
            if path is not None:
                with closing(sqlite3.connect(path)) as connection:
                    # Kept in the file: readers (the UI) don't wait for the driver.
                    connection.execute("PRAGMA journal_mode=WAL")
            from mlflow import MlflowClient

            for noisy in ("mlflow", "alembic"):
                logging.getLogger(noisy).setLevel(logging.ERROR)
            client = MlflowClient(tracking_uri=self._uri, registry_uri=self._uri)
            experiment = client.get_experiment_by_name(self._name)
            if experiment is not None and experiment.lifecycle_stage == "deleted":
                raise TrackingError(
                    f"MLflow at {redact(self._uri)}: experiment {self._name!r} was deleted; restore it with "
                    f"`mlflow experiments restore --experiment-id {experiment.experiment_id}`, remove it for "
                    "good with `mlflow gc`, or name the study otherwise"
                )
            if experiment is None:
                self._experiment = self._make_experiment(client)
            else:
                self._claim(client, experiment)
                self._experiment = experiment.experiment_id
            self._read_runs(client)
            self._client = client

    def _make_experiment(self, client: Any) -> str:
        served = self._uri.lower().startswith(("http:", "https:", "databricks"))
        # Absolute: by itself MLflow takes the working directory of whoever comes first.
        location = None if served else self._artifacts.absolute().as_uri()
        return str(
            client.create_experiment(
                self._name, location, tags={"ftstab.study": self._name, STORE: self._store}
            )
        )

    def _claim(self, client: Any, experiment: Any) -> None:
        """Refuse an experiment of another store, whose runs would be taken for this one's and replaced.

        One that names none was made by an earlier version, and is taken for ours.
        """
        owner = experiment.tags.get(STORE)
        if owner is None:
            client.set_experiment_tag(experiment.experiment_id, STORE, self._store)
        elif owner != self._store:
            raise TrackingError(
                f"MLflow at {redact(self._uri)}: experiment {self._name!r} shows a study of another store (id {owner}; "
                f"this study's store has {self._store}), whose runs would be replaced; name the study otherwise, or "
                "set `tracking.mlflow` or MLFLOW_TRACKING_URI to another server"
            )

    def _read_runs(self, client: Any) -> None:
        """Read every run of the experiment that is ours."""
        self._runs.clear()
        token = None
        while True:
            page = client.search_runs(
                [self._experiment],
                max_results=_SEARCH_PAGE,
                order_by=["attributes.start_time ASC"],
                page_token=token,
            )
            for found in page:
                self._take(client, found)
            token = page.token
            if not token:
                return

    def _take(self, client: Any, found: Any) -> None:
        tags = {k: v for k, v in found.data.tags.items() if k.startswith("ftstab.")}
        kind = tags.get("ftstab.kind", "")
        key = tags.get(IDENTITY.get(kind, ""))
        if key is None:
            return
        run = Run(found.info.run_id, found.info.start_time, found.info.status, tags, dict(found.data.metrics))
        other = self._runs.get((kind, key))
        if other is not None:
            # A request that timed out may have been carried out and then sent again.
            keep, drop = (run, other) if TOLD in run.tags and TOLD not in other.tags else (other, run)
            client.delete_run(drop.id)
            run = keep
        self._runs[kind, key] = run

    @contextmanager
    def _reaching(self) -> Iterator[None]:
        """Turn whatever MLflow and its database raise into a TrackingError without secrets."""
        from mlflow.exceptions import MlflowException
        from requests.exceptions import RequestException
        from sqlalchemy.exc import SQLAlchemyError

        try:
            yield
        except (
            MlflowException,
            RequestException,
            SQLAlchemyError,
            sqlite3.Error,
            OSError,
            ImportError,
        ) as error:
            # "from None": the library's own traceback quotes the address.
            raise TrackingError(
                f"MLflow at {redact(self._uri)} failed: {scrub(error, self._uri)}; {_ADVICE}"
            ) from None


def _chunks(items: Sequence[T], size: int) -> list[Sequence[T]]:
    """Cut ``items`` into pieces of at most ``size``, the last piece first."""
    return [items[i : i + size] for i in range(0, len(items), size)][::-1]


def _now() -> int:
    return time.time_ns() // 1_000_000
