"""Fixtures of the whole pipeline on a tiny model."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.flow.candidates import NO_HARM, UNSEEN, Copy
from tests.lab import Finished, Lab


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory, refusing_model: Path, empty_databases: Path) -> Finished:
    """One trajectory of four settings, asked few prompts; never changed."""
    lab = Lab(tmp_path_factory.mktemp("small"), refusing_model, empty_databases)
    study = lab.study(
        "small",
        axes={"learning_rate": [3e-3], "batch_size": [4], "steps": [6, 12], "ema_decay": [0, 0.9]},
        evaluation={
            "harmful": {"benchmark": {"location": "builtin:harmful", "limit": 2 * NO_HARM}, "limit": 8},
            "over_refusal": {
                "benchmark": {"location": "builtin:safe_lookalikes", "limit": 2 * UNSEEN},
                "limit": 4,
            },
        },
        constraints={"harmful_response": {"max": 0.75}},
    )
    return Finished(lab, study, lab.run(study))


@pytest.fixture
def copy(small: Finished, tmp_path: Path) -> Copy:
    return Copy(small, tmp_path / "copy")
