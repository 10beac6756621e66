"""Databases made once per session and copied: making one takes seconds."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from ftstab.spec import Study
from ftstab.store import Records, open_store
from ftstab.tracking import MlflowTracker, OptunaTracker
from ftstab.tracking.runs import ENVIRONMENT
from tests.tracking.material import make_study, plan_of


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No server of the machine's, no proxy, and what the trackers set is undone."""
    for name in ("MLFLOW_TRACKING_URI", "http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)


@pytest.fixture(scope="session")
def databases(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an empty database of each kind."""
    folder = tmp_path_factory.mktemp("databases")
    study = make_study(name="nothing")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        mlflow = MlflowTracker(study, folder, "none")
        optuna = OptunaTracker(study, plan_of(study), folder, "none", "none")
        mlflow.mark_frontier([])
        assert optuna.study.trials == []
    mlflow.close()
    optuna.close()
    return folder


@pytest.fixture
def state_dir(tmp_path: Path, databases: Path) -> Path:
    """A state folder of the test's own."""
    folder = tmp_path / "state"
    folder.mkdir()
    for name in ("mlflow.db", "optuna.db"):
        shutil.copy(databases / name, folder / name)
    return folder


@pytest.fixture
def study() -> Study:
    """Four trajectories of four settings, without limits."""
    return make_study()


@pytest.fixture
def records(tmp_path: Path) -> Records:
    """An empty store."""
    return Records(open_store(tmp_path / "store", create=True))
