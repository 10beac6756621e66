"""How a driver sets workers going: which launcher runs its jobs, and what a worker is told beside its job."""

from __future__ import annotations

from pathlib import Path

from ftstab.plan import Plan
from ftstab.running.launcher import Context, Launcher
from ftstab.spec import Study
from ftstab.store import Lease


def study_launcher(study: Study, folder: Path) -> Launcher:
    """The launcher that the study file names; ``folder`` is the study's."""
    if study.resources.launcher == "inprocess":
        from ftstab.running.inprocess import InProcessLauncher

        return InProcessLauncher()
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
        store=str(Path(study.store).expanduser().absolute()),
        start_setting=plan.start.key,
        start_trajectory=plan.start.trajectory,
        driver=lease.driver,
        command=command,
    )
