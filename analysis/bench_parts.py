"""What the benchmarks share: models to run on, the machine's description, tables, JSON.  No benchmark of its own."""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import platform
import sys
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ftstab.running.environment import available_cpus, environment

ROOT = Path(__file__).resolve().parent.parent


def parser(doc: str | None) -> argparse.ArgumentParser:
    """A parser with the options that every benchmark has."""
    made = argparse.ArgumentParser(description=(doc or "").split("\n")[0])
    made.add_argument("--model", choices=["tiny", "real"], default="tiny", help="default: tiny")
    made.add_argument(
        "--cpus", type=int, default=1, help="torch threads and CPUs of either side (default: 1)"
    )
    made.add_argument(
        "--clock",
        choices=["wall", "cpu"],
        default="wall",
        help="seconds of the wall clock, or of this process's CPU, for a crowded machine (default: wall)",
    )
    made.add_argument("--json", type=Path, metavar="FILE", help="also write everything to FILE")
    return made


def set_up(cpus: int) -> None:
    """Use ``cpus`` threads, and keep libraries quiet."""
    if cpus > available_cpus():
        raise SystemExit(
            f"--cpus {cpus}: this process may use {available_cpus()}; more threads than CPUs crawl"
        )
    warnings.simplefilter("ignore")
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    import torch
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    torch.set_num_threads(cpus)


def clock(name: str) -> Callable[[], float]:
    """The clock that ``--clock`` names; ftstab's own measurements follow it."""
    from ftstab.running import clock as ours

    ours.now = time.perf_counter if name == "wall" else time.process_time
    return ours.now


def machine(cpus: int) -> dict[str, Any]:
    """Where and when: printed above the table, so that a ratio is never read without it."""
    import torch

    return {
        "date": time.strftime("%Y-%m-%d"),
        "host": platform.machine(),
        "cpus": cpus,
        "of": available_cpus(),
        "load": round(os.getloadavg()[0], 1),
        **environment(torch.device("cpu")),
        "threads": cpus,
    }


def quickstart() -> Any:
    """The study that a newcomer runs first."""
    from ftstab.spec import load_study

    return load_study(ROOT / "sweeps" / "quickstart.yaml")


def model_folder(name: str, scratch: Path, width: int = 32, layers: int = 2) -> Path:
    """Folder of the model: the tests' tiny one (``width`` and ``layers`` as given), or the quickstart's start model."""
    if name == "real":
        from ftstab.models.align import start_model

        return start_model(quickstart().base, ROOT / "sweeps").folder
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    folder = Path(_tiny().make_model(scratch / "model", context=4096))
    if (width, layers) != (32, 2):
        config = AutoConfig.from_pretrained(folder)
        config.hidden_size, config.intermediate_size, config.num_hidden_layers = width, 2 * width, layers
        config.head_dim = width // config.num_attention_heads
        torch.manual_seed(0)
        AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    return folder


def _tiny() -> Any:
    """tests/tiny.py, which knows how to make a model in a second."""
    if "tiny" not in sys.modules:
        spec = importlib.util.spec_from_file_location("tiny", ROOT / "tests" / "tiny.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules["tiny"] = module
        spec.loader.exec_module(module)
    return sys.modules["tiny"]


def say(text: str) -> None:
    """What goes on now, beside the output."""
    print(text, file=sys.stderr, flush=True)


def show(title: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Print ``rows`` as a table; the keys of the first are its head."""
    print(f"\n{title}")
    head = list(rows[0])
    cells = [head, *([_text(row.get(name)) for name in head] for row in rows)]
    widths = [max(len(line[i]) for line in cells) for i in range(len(head))]
    for line in cells:
        first = line[0].ljust(widths[0])
        print(
            "  "
            + "  ".join([first, *(c.rjust(w) for c, w in zip(line[1:], widths[1:], strict=True))]).rstrip()
        )


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        if 0 < abs(value) < 0.0005:
            return f"{value:.2g}"
        return f"{value:.4f}" if abs(value) < 0.1 else f"{value:.2f}"
    return str(value)


def goal(what: str, ratio: float, least: float) -> dict[str, Any]:
    """A goal and whether this run meets it."""
    return {
        "goal": what,
        "asked": f">= {least:g}",
        "found": ratio,
        "": "met" if ratio >= least else "not met",
    }


def finish(results: Mapping[str, Any], file: Path | None) -> None:
    """Write ``results`` where asked."""
    if file is not None:
        file.write_text(json.dumps(results, indent=1, default=str) + "\n", encoding="utf-8")
        print(f"\n{file}")
