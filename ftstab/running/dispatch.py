"""How a driver sets workers going: which launcher runs its jobs, and what a worker is told beside its job."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from rich.console import Console

from ftstab.plan import Job, Plan
from ftstab.running.environment import prepare_ray
from ftstab.running.launcher import Context, Event, JobSource, Launcher
from ftstab.spec import Study
from ftstab.store import Lease, store_root
from ftstab.terminal import say


def run_jobs(
    context: Context,
    source: JobSource,
    on_event: Callable[[Job, Event], None],
    folder: Path,
    console: Console,
    launcher: Launcher | None,
) -> None:
    """Have every job of ``source`` run.

    Args:
        context: what workers are told.
        source: the jobs.
        on_event: told what workers say.
        folder: the study's.
        console: where it is said what takes its time before the first worker speaks.
        launcher: None takes the one that the study file names.

    Raises:
        StudyError: the launcher can't work.
    """
    if launcher is None and context.study.resources.launcher == "ray":
        say(console, "starting Ray and its workers")
    (launcher or study_launcher(context.study, folder)).run(context, source, on_event)


def study_launcher(study: Study, folder: Path) -> Launcher:
    """The launcher that the study file names; ``folder`` is the study's."""
    if study.resources.launcher == "inprocess":
        from ftstab.running.inprocess import InProcessLauncher

        return InProcessLauncher()
    prepare_ray()
    from ftstab.running.ray_tune import RayLauncher

    return RayLauncher(folder / "state" / "ray", study.resources)


def study_context(study: Study, plan: Plan, base_dir: Path, lease: Lease, command: str) -> Context:
    """What goes along with every job of ``study``.

    Args:
        study: the study.
        plan: its plan, for the start model that settings are held against.
        base_dir: folder that relative paths of its data start from.
        lease: held by the driver, whose name stop requests carry.
        command: the command that the user gave.
    """
    return Context(
        study=study,
        base_dir=str(base_dir),
        store=str(store_root(study.store)),
        start_setting=plan.start.key,
        start_trajectory=plan.start.trajectory,
        driver=lease.driver,
        command=command,
    )
