"""What becomes of jobs whose Ray Tune trial fails."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from ftstab.plan import Job
from ftstab.running.launcher import Event
from ftstab.running.ray_tune import Events, StudySearcher
from tests.plan.material import plan

REASON = "Worker startup failed."
LOST = f"{REASON} The actor never ran - it was cancelled before it started running."
"""What is said of the last two lines of an error."""


@dataclass
class Source:
    """Hands out some jobs and notes how they ended."""

    waiting: list[Job]
    ended: list[tuple[str, str | None]] = field(default_factory=list)

    def next_job(self) -> Job | None:
        return self.waiting.pop(0) if self.waiting else None

    def exhausted(self) -> bool:
        return not self.waiting

    def finished(self, job: Job, failure: str | None) -> None:
        self.ended.append((job.key, failure))


@dataclass
class Trial:
    """What is read of a trial."""

    config: dict[str, Any]
    error_file: Path
    recovers: bool
    status: str = "ERROR"

    def should_recover(self) -> bool:
        return self.recovers


@pytest.fixture
def made(tmp_path: Path) -> Callable[..., tuple[Source, StudySearcher, Events, list[Event], Path]]:
    def make(jobs: int, retries: int) -> tuple[Source, StudySearcher, Events, list[Event], Path]:
        source, said = Source(list(plan({"learning_rate": [1e-4, 2e-4], "steps": [5]}).jobs[:jobs])), []
        searcher = StudySearcher(source)
        events = Events(source, lambda _job, event: said.append(event), searcher, retries)
        file = tmp_path / "error.txt"
        file.write_text("Traceback ...\n" + LOST.replace(f"{REASON} ", f"{REASON}\n") + "\n")
        return source, searcher, events, said, file

    return make


def test_a_trial_that_never_began_is_given_out_again_even_if_it_was_the_last(made: Any) -> None:
    """Tune itself starts a worker again only if it was lost at work."""
    source, searcher, events, said, file = made(2, retries=2)
    first, second = (searcher.suggest(str(i)) for i in range(2))
    # Nothing waits, but what is out may come back.
    assert searcher.suggest("2") is None
    events.on_trial_error(0, [], Trial(second, file, recovers=True))
    assert (source.ended, [e.kind for e in said], said[0].message) == ([], ["lost"], LOST)
    assert searcher.suggest("3") == second
    events.on_trial_complete(0, [], Trial(second, file, recovers=True))
    assert searcher.suggest("4") is None
    events.on_trial_complete(0, [], Trial(first, file, recovers=True))
    assert [why for _, why in source.ended] == [None, None]
    assert searcher.suggest("5") == StudySearcher.FINISHED


@pytest.mark.parametrize(("recovers", "times"), [(True, 2), (False, 0)])
def test_retries_are_used_up_in_the_end(made: Any, recovers: bool, times: int) -> None:
    source, searcher, events, said, file = made(1, retries=2)
    config = searcher.suggest("0")
    for _ in range(times):
        events.on_trial_error(0, [], Trial(config, file, recovers))
        assert searcher.suggest("again") == config
    events.on_trial_error(0, [], Trial(config, file, recovers))
    assert source.ended == [(config["job"].key, LOST)]
    assert len(said) == times
    assert searcher.suggest("1") == StudySearcher.FINISHED


def test_what_tune_tries_again_is_not_over(made: Any) -> None:
    source, searcher, events, said, file = made(1, retries=2)
    config = searcher.suggest("0")
    events.on_trial_error(0, [], Trial(config, file, recovers=True, status="PENDING"))
    events.on_trial_recover(0, [], Trial(config, file, recovers=True, status="PENDING"))
    assert (source.ended, [e.kind for e in said]) == ([], ["lost"])
    assert not searcher.again
