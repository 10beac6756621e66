"""MLflow: one experiment per study, a run per trajectory, a child run per setting.

Only the driver calls this; it writes to MLflow and to nothing else.  MLflow is a view of the store: what a
run shows is found by tags, so telling it twice changes nothing, and `ftstab sync` makes it again from the
store.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ftstab.errors import StudyError
from ftstab.identity import digest
from ftstab.outcome import Outcome
from ftstab.plan import Trajectory
from ftstab.spec import Study
from ftstab.tracking import metrics as m
from ftstab.tracking.address import local_url, mlflow_url, redact
from ftstab.tracking.runs import TOLD, Run, RunBook

if TYPE_CHECKING:
    from ftstab.evaluation.rates import Gain

_RUN_STATUS = {"scored": "FINISHED", "diverged": "FAILED", "hopeless": "KILLED"}
"""What MLflow calls the end of a setting."""


class MlflowTracker:
    """Tells MLflow about one study.

    The first call that needs MLflow opens it.  Every method but the constructor raises TrackingError when
    MLflow can't be reached or refuses; what was told before stays, and the caller decides whether to go on
    without it.

    Args:
        study: the study; its name is the experiment's.
        state_dir: local folder for the database and the artifacts, where no server is named.
        store: id of the study's store (`Records.store_id`).
    """

    def __init__(self, study: Study, state_dir: Path, store: str) -> None:
        self._study = study
        self._uri = mlflow_url(study.tracking.mlflow, state_dir)
        self._named = self._uri != local_url(state_dir / "mlflow.db")
        self._book = RunBook(self._uri, study.study, store, state_dir / "mlflow-artifacts")
        self._trajectories: dict[str, Trajectory] = {}

    @property
    def address(self) -> str:
        """Where MLflow is, without secrets."""
        return redact(self._uri)

    @property
    def runs_added(self) -> int:
        """Runs that this tracker has made."""
        return self._book.added

    def check(self) -> None:
        """Try whether MLflow can be reached, and whether a server that is named shows no other store's study.

        Raises:
            TrackingError: within seconds, if it can't; says where it was sought and what to do.
        """
        self._book.check()
        if self._named:
            self._book.open()

    def log_start(self, outcome: Outcome) -> None:
        """Tell about the start model: a reference row of its own, not a setting."""
        self._tell(outcome, "start", "start", None, None, None)

    def log_trajectory(
        self, trajectory: Trajectory, attempt: str, about: Mapping[str, Any], running: bool = True
    ) -> None:
        """Open the run of ``trajectory``.

        Args:
            trajectory: what is trained.
            attempt: the physical training that begins or goes on.
            about: its environment (plain data), kept as tags.
            running: False if it isn't being trained now, but told from the store.
        """
        self._trajectories[trajectory.key] = trajectory
        params = m.trajectory_params(trajectory)
        told = digest(params)
        run = self._book.find("trajectory", trajectory.key)
        if run is None:
            name = m.run_name(self._study, trajectory)
            run = self._book.create("trajectory", trajectory.key, name, {"ftstab.attempt": attempt})
        tags = m.flat(about, f"ftstab.about.{m.legal(attempt)}") | {TOLD: told}
        self._book.write(run, params=params if run.tags.get(TOLD) != told else {}, tags=tags)
        if running:
            self._book.set_status(run, "RUNNING")

    def log_signals(
        self, trajectory_key: str, rows: Sequence[Mapping[str, Any]], attempt: str | None = None
    ) -> None:
        """Tell the stability signals of a trajectory.

        Args:
            trajectory_key: a trajectory that `log_trajectory` was told.
            rows: one per step, ascending from the first, with `step` and numbers by name; anything else in them is left
                out.  Steps that were told before (a training that resumed repeats some) are passed over.  A step's time
                is the run's beginning and the seconds trained until then, which telling it again doesn't change.
            attempt: the training they come from; None: the first.  Those of a later one stand under its name.
        """
        run = self._parent(trajectory_key)
        first = run.tags["ftstab.attempt"]
        attempt = attempt or first
        prefix = "" if attempt == first else f"attempt {m.legal(attempt)}/"
        mark = f"ftstab.signals.{m.legal(attempt)}"
        told = int(run.tags.get(mark, -1))
        points, absent = [], m.Figures({}, {})
        times: dict[int, int] = {}
        trained = 0.0
        for row in rows:
            step = int(row["step"])
            trained += float(row.get("seconds", 0.0))
            times[step] = run.started + round(1000 * trained)
            if step <= told:
                continue
            figures = m.Figures({}, {})
            for name, value in row.items():
                if name != "step" and isinstance(value, int | float) and not isinstance(value, bool):
                    figures.put(prefix + m.legal_path(name), value)
            points += [(name, value, step) for name, value in figures.values.items()]
            for name, why in figures.left_out.items():
                absent.left_out.setdefault(name, f"{why} at step {step}")
        if rows and int(rows[-1]["step"]) > told:
            tags = {mark: str(int(rows[-1]["step"]))}
            if absent.left_out:
                before = run.tags.get("ftstab.left_out")
                tags["ftstab.left_out"] = m.short(", ".join(filter(None, [before, absent.left_out_tag()])))
            # Batches before the one with the mark may have been sent by a telling that was cut short.
            self._book.write(run, points=points, tags=tags, at=times)

    def log_outcome(self, outcome: Outcome, on_frontier: bool | None, gain: Gain | None) -> None:
        """Tell a setting: a child run of its trajectory, and its headline on the trajectory's curves.

        Args:
            outcome: a setting of a trajectory that `log_trajectory` was told.
            on_frontier: whether it is on the frontier now; None: not known, the tag stays as it is.  Past
                `tracking.max_child_runs` only settings that are get a run.
            gain: paired gain of the primary metric over the start; None: not known.
        """
        parent = self._parent(outcome.trajectory)
        children = self._book.all("setting")
        child = children.get(outcome.setting)
        if (
            child is None
            or child.tags.get(TOLD) != m.fingerprint(outcome)
            or not _shows(child, outcome, gain)
        ):
            # The trajectory first: the child's digest then says that both were told.
            curves = m.headline(outcome, gain).values
            self._book.add_points(parent, [(name, value, outcome.step) for name, value in curves.items()])
        if child is None and len(children) >= self._study.tracking.max_child_runs and not on_frontier:
            return
        name = m.run_name(self._study, self._trajectories[outcome.trajectory])
        name += f" step={outcome.step} {m.averaging_label(outcome)}"
        self._tell(outcome, "setting", name, on_frontier, gain, parent)

    def mark_frontier(self, keys: Collection[str]) -> None:
        """Tag every setting's run with whether its key is among ``keys``."""
        for key, run in self._book.all("setting").items():
            tags = {"ftstab.on_frontier": _yes_no(key in keys)}
            if run.tags.get("ftstab.on_frontier") != tags["ftstab.on_frontier"]:
                self._book.write(run, tags=tags)

    def end_trajectory(
        self, trajectory_key: str, status: Literal["FINISHED", "FAILED", "KILLED"], reason: str | None = None
    ) -> None:
        """End the run of a trajectory: FINISHED, FAILED for good, or KILLED (it can be gone on with)."""
        run = self._parent(trajectory_key)
        if reason is not None or "ftstab.reason" in run.tags:
            self._book.write(run, tags={"ftstab.reason": m.short(reason or "")})
        self._book.set_status(run, status)

    def close(self) -> None:
        """Let go of MLflow; a SQLite database is left as one file that can be copied."""
        self._book.close()

    def _tell(
        self,
        outcome: Outcome,
        kind: str,
        name: str,
        on_frontier: bool | None,
        gain: Gain | None,
        parent: Run | None,
    ) -> None:
        """Bring the run of ``outcome`` to what ``outcome`` says; one batch if it is new."""
        told = m.fingerprint(outcome)
        frontier = {} if on_frontier is None else {"ftstab.on_frontier": _yes_no(on_frontier)}
        run = self._book.find(kind, outcome.setting)
        if run is not None and run.tags.get(TOLD, told) != told:
            # Measured anew: parameters can't change and metrics would keep both values, so the run is
            # replaced.
            frontier = {k: v for k, v in run.tags.items() if k == "ftstab.on_frontier"} | frontier
            self._book.delete(kind, outcome.setting)
            run = None
        if run is None:
            tags = {"mlflow.parentRunId": parent.id} if parent else {}
            run = self._book.create(kind, outcome.setting, name, tags)
        if run.tags.get(TOLD) == told:
            figures = m.Figures({}, {})
            if not _shows(run, outcome, gain):
                m.put_gain(figures, outcome, gain)
            self._book.write(
                run, [(key, value, outcome.step) for key, value in figures.values.items()], tags=frontier
            )
        else:
            trajectory = self._trajectories.get(outcome.trajectory)
            figures = m.outcome_figures(outcome, gain)
            tags = m.outcome_tags(outcome, trajectory) | frontier | {TOLD: told}
            if figures.left_out:
                tags["ftstab.left_out"] = figures.left_out_tag()
            self._book.write(
                run,
                points=[(key, value, outcome.step) for key, value in figures.values.items()],
                params=m.setting_params(self._study, trajectory, outcome),
                tags=tags,
                at=run.started,
            )
        self._book.set_status(run, _RUN_STATUS[outcome.status])

    def _parent(self, trajectory_key: str) -> Run:
        run = self._book.find("trajectory", trajectory_key)
        if run is None or trajectory_key not in self._trajectories:
            raise StudyError(
                f"trajectory {trajectory_key}: MLflow hasn't been told of it; call log_trajectory first"
            )
        return run


def _shows(run: Run, outcome: Outcome, gain: Gain | None) -> bool:
    """Whether ``run`` has ``gain`` already."""
    return (
        gain is None
        or outcome.utility is None
        or run.metrics.get(f"{outcome.utility.metric}_gain") == gain.value
    )


def _yes_no(value: bool) -> str:
    return "true" if value else "false"
