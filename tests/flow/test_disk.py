"""A disk that fills up in mid-study: nothing finished is lost, and the same command goes on."""

from __future__ import annotations

import resource
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from rich.console import Console

from ftstab.plan import Job
from ftstab.results import find_study
from ftstab.running.driver import run_study
from ftstab.running.inprocess import InProcessLauncher
from ftstab.running.launcher import Context, Event, JobSource
from tests.flow.test_pipeline import assert_tracked
from tests.lab import Finished, Lab, cli, measured

LIMIT = 40_000
"""Bytes of the largest file that can still be written: outcomes fit, weights don't."""


@dataclass
class FillsUp:
    """Runs jobs in this process; after some outcomes no large file can be written any more."""

    after: int

    def run(self, context: Context, source: JobSource, on_event: Callable[[Job, Event], None]) -> None:
        left = self.after

        def heard(job: Job, event: Event) -> None:
            nonlocal left
            on_event(job, event)
            left -= event.kind == "outcome"
            if left == 0:
                resource.setrlimit(resource.RLIMIT_FSIZE, (LIMIT, resource.RLIM_INFINITY))

        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        try:
            InProcessLauncher().run(context, source, heard)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.skipif(
    not hasattr(resource, "RLIMIT_FSIZE"), reason="the system has no limit on the size of files"
)
def test_a_full_disk_loses_nothing_that_was_finished(lab: Lab, finished: Finished) -> None:
    path = lab.study("full", keep_weights="all")
    lab.with_databases("full")
    study, base_dir = find_study(str(path))
    ended = run_study(study, base_dir, "ftstab run full.yaml", Console(quiet=True), FillsUp(after=3))
    assert len(ended.results.outcomes) == 2
    assert len(ended.failures) == 2
    for why in ended.failures.values():
        assert "can't put" in why
        assert "weights" in why
        assert "free some space and run the same command again" in why
    before = lab.pieces("outcomes")
    assert len(before) == 3
    # Nothing half-written is left where it could be taken for a piece.
    for key in lab.records.store.list("trajectories"):
        piece = lab.records.store.get(key)
        assert piece is not None
        for name in piece.names:
            piece.read(name)

    done = lab.run(path)
    assert done.code == 0, done.err
    after = lab.pieces("outcomes")
    assert {k: v for k, v in after.items() if k in before} == before
    assert len(after) == 1 + 8
    assert cli("sync", path).code == 0
    assert_tracked(lab, path, settings=8, trajectories=2)
    for outcome in lab.results(path).outcomes:
        assert lab.records.weights(outcome.trajectory, outcome.setting) is not None
    # The same settings, undisturbed.
    assert measured(lab.outcomes(path)) == measured(finished.lab.outcomes(finished.study))


def test_what_cannot_be_written_is_an_error_in_words(lab: Lab) -> None:
    study = lab.study("full", axes={"batch_size": [4], "steps": [1]}, training={"learning_rate": 1e-3})
    assert lab.run(study).code == 0
    out = lab.folder / "file" / "report.html"
    out.parent.write_text("a file where a folder is meant")
    done = cli("report", study, "--out", out)
    assert done.code == 1
    assert done.err.startswith("error: ")
    assert "Traceback" not in done.err
    picked = cli("pick", study, "--max-harmful", "1", "--out", lab.folder / "file" / "recipe.yaml")
    assert picked.code == 1
    assert "Traceback" not in picked.err
