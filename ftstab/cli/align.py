"""`ftstab align`: the start model of a study, with every processor of this machine."""

from __future__ import annotations

from pathlib import Path

import torch

from ftstab.errors import FtstabError
from ftstab.models.align import start_model, train_adapter
from ftstab.models.cache import cache_root
from ftstab.running.environment import available_cpus
from ftstab.spec import Study


def align_study(study: Study, base_dir: Path, retrain: bool, out: Path | None) -> Path:
    """Build the start model of ``study``, and return its folder; or train its adapter anew, and return the adapter's.

    Args:
        study: the study.
        base_dir: folder that relative paths of the study file start from.
        retrain: train the adapter even if one is there.
        out: folder for it; None: the cache.

    Raises:
        FtstabError: there is nothing to train.
    """

    def progress(step: int, last: int, loss: float) -> None:
        if step % 10 == 0 or step == last:
            print(f"step {step}/{last}, loss {loss:.3f}", flush=True)

    # The alignment stage runs alone in this process.
    torch.set_num_threads(available_cpus())
    if not retrain:
        return start_model(study.base, base_dir, progress).folder
    if study.base.align is None:
        raise FtstabError("base.align: this study has no alignment stage, so there is nothing to train")
    return train_adapter(study.base, base_dir, out or cache_root() / "adapters", progress)
