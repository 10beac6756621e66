"""What a training or a confirmation ran on: recorded with it, never part of a key.  What Ray's environment is to be."""

from __future__ import annotations

import os
import platform
import re
import shutil
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ftstab.spec import Resources

if TYPE_CHECKING:
    import torch

RAY = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    # The driver says in a line of its own which trajectory lost its worker.
    "RAY_DEDUP_LOGS_SKIP_REGEX": "^A worker died or was killed while executing",
    # Files that nobody reads, and a handler that would take Ctrl-C away from the driver.
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
}
"""What Ray is told by the environment, unless the user has told it otherwise."""

PACKAGES = ("ftstab", "torch", "transformers", "peft", "numpy", "tokenizers", "safetensors")


def prepare_ray() -> None:
    """Set `RAY` for this process; some of it is read when Ray is imported, so that comes after."""
    for name, value in RAY.items():
        os.environ.setdefault(name, value)


def environment(device: torch.device) -> dict[str, Any]:
    """Versions, device and threads of this process: with equal ones the same seed gives the same numbers."""
    import torch

    return {
        **software(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "threads": torch.get_num_threads(),
    }


def software() -> dict[str, Any]:
    """Versions and machine of this process, for what no model of ours had a part in."""
    return {
        "versions": {name: found for name in PACKAGES if (found := _version(name))},
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
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
    limit = _read("/sys/fs/cgroup/memory.max").strip()
    found += [int(limit)] if limit.isdigit() else []
    return min(found, default=None)


def free_memory() -> int | None:
    """Bytes of `main_memory` that nothing uses now, what the system can take back from its file cache counted as free;
    None if unknown."""
    found = []
    if free := re.search(r"(?m)^MemAvailable: +(\d+) kB$", _read("/proc/meminfo")):
        found.append(1024 * int(free[1]))
    group = "/sys/fs/cgroup/memory."
    limit, used = _read(group + "max").strip(), _read(group + "current").strip()
    cached = re.search(r"(?m)^inactive_file (\d+)$", _read(group + "stat"))
    if limit.isdigit() and used.isdigit():
        found.append(max(0, int(limit) - int(used) + (int(cached[1]) if cached else 0)))
    return min(found, default=None)


def _read(path: str) -> str:
    """What stands in a file of the system; nothing where there is none."""
    try:
        return Path(path).read_text(encoding="utf-8")
    except OSError:
        return ""


def free_disk(folder: Path) -> int | None:
    """Bytes that this user may still write to ``folder``, which need not be there yet; None if unknown."""
    there = next((f for f in (folder, *folder.parents) if f.exists()), None)
    try:
        return None if there is None else shutil.disk_usage(there).free
    except OSError:
        return None


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
