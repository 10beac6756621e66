"""Fixtures that every part of the suite shares."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.lab import PUBLIC_DATA_ABSENT, QUIET_RAY, Finished, Lab, make_refusing_model
from tests.tiny import make_model

# A machine that is busy with other things is no fault of the code.
settings.register_profile("ftstab", deadline=None)
settings.load_profile("ftstab")


@pytest.fixture(scope="session")
def public_data() -> Path:
    """Folder of public data sets; the test skips where FTSTAB_PUBLIC_DATA names none."""
    folder = os.environ.get("FTSTAB_PUBLIC_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.skip(PUBLIC_DATA_ABSENT)
    return Path(folder)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> Iterator[None]:
    """Say in one number how much wasn't tested for want of public data, below the skips, which have a line a place."""
    yield
    skipped = terminalreporter.stats.get("skipped", [])
    absent = sum(PUBLIC_DATA_ABSENT in str(report.longrepr) for report in skipped)
    if absent:
        tests = "1 test" if absent == 1 else f"{absent} tests"
        terminalreporter.write_line(f"{tests} skipped: FTSTAB_PUBLIC_DATA names no folder", yellow=True)


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a tiny causal language model that hasn't learned anything; never write to it."""
    return make_model(tmp_path_factory.mktemp("tiny-model"))


@pytest.fixture(scope="session")
def refusing_model(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Path:
    """Folder of the tiny model, taught to refuse everything; never write to it."""
    import torch

    torch.set_num_threads(1)
    return make_refusing_model(tmp_path_factory.mktemp("refusing-model"), tiny_model)


@pytest.fixture(scope="session")
def empty_databases(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with an MLflow database that is copied, because making one takes seconds."""
    from ftstab.spec import parse_study
    from ftstab.tracking import MlflowTracker

    folder = tmp_path_factory.mktemp("empty-databases")
    text = "{study: nothing, base: {model: none}, data: {train: none}, axes: {steps: [1]}}"
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        tracker = MlflowTracker(parse_study(text), folder, "none")
        tracker.mark_frontier([])
        tracker.close()
    return folder


@pytest.fixture(scope="session")
def local_ray() -> Iterator[Path]:
    """The folder of one Ray on this machine for the whole session: two CPUs, no login, gone afterwards."""
    # Ray's sockets need a path shorter than pytest's.
    folder = Path(tempfile.mkdtemp(prefix="ftstab-ray-"))
    with pytest.MonkeyPatch.context() as patch:
        from ftstab.running.environment import RAY

        for name, value in (RAY | QUIET_RAY).items():
            patch.setenv(name, value)
        patch.delenv("RAY_ADDRESS", raising=False)
        import ray

        ray.init(
            address="local",
            num_cpus=2,
            include_dashboard=False,
            object_store_memory=80 * 2**20,
            log_to_driver=False,
            logging_level="error",
            _node_ip_address="127.0.0.1",
            _temp_dir=str(folder),
        )
        yield folder
        ray.shutdown()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def lab(tmp_path: Path, refusing_model: Path, empty_databases: Path) -> Lab:
    """A store of the test's own."""
    return Lab(tmp_path / "lab", refusing_model, empty_databases)


@pytest.fixture(scope="session")
def finished(
    tmp_path_factory: pytest.TempPathFactory, refusing_model: Path, empty_databases: Path
) -> Finished:
    """Two trajectories of four settings, with a limit on non-refusal, run in this process."""
    lab = Lab(tmp_path_factory.mktemp("finished"), refusing_model, empty_databases)
    study = lab.study("whole", constraints={"harmful_response": {"max": 0.4}})
    return Finished(lab, study, lab.run(study))
