"""Which cluster a study runs on, and what Ray is told."""

from __future__ import annotations

import subprocess
import sys

import pytest

from ftstab.running.environment import cluster_address
from ftstab.spec import Resources


@pytest.mark.parametrize(
    ("launcher", "given", "environment", "found"),
    [
        ("ray", None, None, None),
        ("ray", None, "", None),
        ("ray", None, "head:6379", "head:6379"),
        ("ray", "mine:1", "head:6379", "mine:1"),
        ("ray", "mine:1", None, "mine:1"),
        ("inprocess", "mine:1", "head:6379", None),
    ],
)
def test_the_study_file_goes_before_the_environment(
    launcher: str,
    given: str | None,
    environment: str | None,
    found: str | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    if environment is not None:
        monkeypatch.setenv("RAY_ADDRESS", environment)
    resources = Resources.model_validate({"launcher": launcher, "ray_address": given})
    assert cluster_address(resources) == found


SAYS = """
from pathlib import Path
from ftstab.running.dispatch import study_launcher
from ftstab.spec import parse_study
from tests.spec.small import small_text
study_launcher(parse_study(small_text(resources={"launcher": "ray"})), Path("."))
from ray._private.ray_logging import stdout_deduplicator
lost = "A worker died or was killed while executing a task by an unexpected system error. To troubleshoot ..."
for line in (lost, "2 Workers (tasks / actors) killed due to memory pressure"):
    print([batch["lines"] for batch in stdout_deduplicator.deduplicate({"lines": [line], "pid": "raylet", "ip": ""})])
"""


def test_ray_does_not_say_again_that_a_worker_died() -> None:
    """But what it alone knows, it says."""
    done = subprocess.run([sys.executable, "-c", SAYS], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [
        "[[]]",
        "[['2 Workers (tasks / actors) killed due to memory pressure']]",
    ]
