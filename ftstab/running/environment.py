"""What a training ran on: recorded with every attempt, never part of a key."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from ftstab.spec import Resources

PACKAGES = ("ftstab", "torch", "transformers", "peft", "numpy", "tokenizers", "safetensors")


def environment(device: str, threads: int) -> dict[str, Any]:
    """Versions, device and threads: with equal ones the same seed gives the same numbers."""
    return {
        "versions": {name: found for name in PACKAGES if (found := _version(name))},
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "device": device,
        "threads": threads,
    }


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            for line in file:
                if line.startswith("model name"):
                    return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or "unknown"


def main_memory() -> int | None:
    """Bytes of main memory that processes here may use together: of the machine, or of its control group if that has
    less; None if unknown."""
    found = []
    if "SC_PHYS_PAGES" in getattr(os, "sysconf_names", {}):
        found.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    try:
        with open("/sys/fs/cgroup/memory.max", encoding="ascii") as file:
            limit = file.read().strip()
        found += [int(limit)] if limit.isdigit() else []
    except OSError:
        pass
    return min(found, default=None)


def available_cpus() -> int:
    """CPUs that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def available_gpus() -> int:
    """GPUs that this process may use."""
    import torch

    return torch.cuda.device_count() if torch.cuda.is_available() else 0


def cluster_address(resources: Resources) -> str | None:
    """Where the Ray cluster is that a study runs on; None where it makes do with this machine."""
    if resources.launcher == "inprocess":
        return None
    return resources.ray_address or os.environ.get("RAY_ADDRESS") or None
