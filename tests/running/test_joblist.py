"""Jobs that are known beforehand, and one that the others wait for."""

from __future__ import annotations

from copy import deepcopy
from typing import Any, cast

import pytest

from ftstab.plan import Job
from ftstab.running.joblist import JobList
from ftstab.running.launcher import Event
from ftstab.store import Lease
from tests.plan import material


class _Held:
    """A lease that nobody takes away."""

    def check(self) -> None:
        pass


def jobs() -> tuple[Job, list[Job]]:
    plan = material.plan({"batch_size": [4, 8], "steps": [2]})
    return plan.start_job, list(plan.jobs)


def listed(*some: Job, first: Job | None = None) -> JobList:
    return JobList(some, cast(Lease, _Held()), first)


def test_every_job_is_handed_out_once() -> None:
    _, (one, two) = jobs()
    source = listed(one, two)
    assert [source.next_job() for _ in range(3)] == [one, two, None]
    assert source.exhausted()


def test_the_others_wait_for_the_first() -> None:
    start, (one, two) = jobs()
    source = listed(one, two, first=start)
    assert [source.next_job() for _ in range(2)] == [start, None]
    assert not source.exhausted()
    source.finished(deepcopy(start), None)  # as a launcher of other processes has it
    assert [source.next_job() for _ in range(2)] == [one, two]


@pytest.mark.parametrize("lost", [True, False])
def test_without_the_first_nothing_is_handed_out(lost: bool) -> None:
    start, (one, _) = jobs()
    source: Any = listed(one, first=start)
    source.next_job()
    if not lost:
        source.heard(start, Event("failed", start.key, message="the disk is full"))
    source.finished(start, "out of memory" if lost else None)
    assert source.next_job() is None
    assert source.exhausted()
    assert (source.lost if lost else source.faults) == {
        start.settings[0].key: "out of memory" if lost else "the disk is full"
    }
