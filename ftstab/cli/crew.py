"""Who will do the work of a study, and what room is there: workers, memory and disk, for `ftstab plan`.

Asks this machine and its GPUs, never another.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from ftstab.plan.hardware import GB, GPUS, workers_on
from ftstab.plan.memory import Room
from ftstab.running.environment import (
    available_cpus,
    available_gpus,
    cluster_address,
    free_disk,
    main_memory,
)
from ftstab.spec import Resources, Study
from ftstab.store import store_root


class Crew(NamedTuple):
    """Who will do the work.

    Attributes:
        workers: trajectories at a time.
        here: whether they run on this machine.
        assumed: what had to be assumed about them.
        refused: why `ftstab run` refuses to start here, if it does.
    """

    workers: int
    here: bool = True
    assumed: tuple[str, ...] = ()
    refused: str | None = None


def find_crew(resources: Resources) -> Crew:
    """Return what `ftstab run` starts on this machine, or what the study file asks for where it must run on another."""
    share, wanted = resources.gpus_per_trajectory, resources.workers
    cpus, gpus = available_cpus(), available_gpus() if share else 0
    workers = workers_on(resources, cpus, gpus)
    refused = None
    if address := cluster_address(resources):
        elsewhere = f"resources: the Ray cluster at {address} isn't asked what it has"
    elif not workers:
        needs, has = f"{resources.cpus_per_trajectory} CPU(s)", f"{cpus}"
        if share:
            needs, has = f"{needs} and {share:g} GPU(s)", f"{has} and {gpus}"
        elsewhere = (
            f"resources: a worker needs {needs}, this machine has {has}, so `ftstab run` refuses it here"
        )
        refused = elsewhere
    elif resources.launcher == "ray" and wanted is not None and wanted > workers:
        return Crew(
            workers, assumed=(f"resources.workers: {wanted}, but this machine has room for {workers}",)
        )
    else:
        return Crew(workers)
    workers = wanted or (int(1 / share) if 0 < share < 1 else 1)
    why = "as `resources.workers` says" if wanted else "`resources.workers` gives no number"
    if not wanted and workers > 1:
        why = f"those that share one GPU; {why}"
    return Crew(workers, False, (f"{elsewhere}; {workers} worker(s) counted ({why})",), refused)


def memory_room(study: Study, crew: Crew) -> Room | None:
    """Return the memory that one trajectory may take; None where nothing is known of the machine it will run on."""
    resources = study.resources
    share = min(1.0, resources.gpus_per_trajectory)
    if share:
        of = "" if share == 1 else f"{share:g} of "
        if resources.gpu_memory_gb is not None:
            return Room(round(share * resources.gpu_memory_gb * GB), f"{of}resources.gpu_memory_gb", True)
        if resources.gpu is not None:
            return Room(round(share * GPUS[resources.gpu].memory), f"{of}{resources.gpu}", True)
        import torch

        if not torch.cuda.is_available():
            return None
        found = torch.cuda.get_device_properties(0)
        return Room(round(share * found.total_memory), f"{of}the {found.name} here", True)
    whole = main_memory()
    if whole is None or not crew.here:
        return None
    return Room(
        whole // crew.workers, f"main memory of this machine, shared by {crew.workers} worker(s)", False
    )


def disk_room(study: Study, crew: Crew, needed: int | None) -> dict[str, Any] | None:
    """Return whether the store's folder has room for the ``needed`` bytes; None where nobody knows, or the work is done
    elsewhere."""
    folder = store_root(study.store)
    free = free_disk(folder)
    if needed is None or free is None or not crew.here:
        return None
    return {"folder": str(folder), "free_bytes": free, "needed_bytes": needed, "fits": needed <= free}
