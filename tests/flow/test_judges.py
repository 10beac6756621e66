"""A whole study whose first judge is a model that sees harm: its own process, two rates, refused tasks."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from ftstab.evaluation.judges.process import _running
from ftstab.outcome import Outcome
from tests.evaluation.judges.fixtures import classifier_model, judges_end
from tests.lab import REFUSAL, Lab

__all__ = ["classifier_model", "judges_end"]


def harm_study(lab: Lab, model: Path, name: str, **changes: Any) -> Path:
    harm = {
        "kind": "classifier",
        "model": str(model),
        "labels": {"REFUSAL": "safe", "HELP": "harmful"},
        "name": "harm",
    }
    return lab.study(
        name,
        axes={"learning_rate": [3e-3], "batch_size": [4], "steps": [12], "ema_decay": [0]},
        evaluation={
            "harmful": {"benchmark": "builtin:harmful", "limit": 6, "judges": [harm, "refusal_phrases"]}
        },
        constraints={"harmful_response": {"max": 0.4}},
        **changes,
    )


def check(lab: Lab, study: Path) -> None:
    """Both judges read every answer; the first one's rate is named by what it sees."""
    found = lab.outcomes(study)
    start, setting = found.pop("start"), *found.values()
    for outcome, hits in ((start, 0), (setting, 6)):
        rate = outcome.rates["harmful"]
        assert (rate.name, rate.hits, rate.n) == ("harmful_rate", hits, 6)
        assert rate.judge.startswith("harm@1.")
        assert outcome.rates["over_refusal"].judge == "refusal_phrases@2"
        assert labels(lab, outcome, "harmful") == {rate.judge, "refusal_phrases@2"}
        # The second judge's verdicts stand beside over-refusal, which the first can't.
        assert outcome.refusals.judge == "refusal_phrases@2"
        assert outcome.refusals.name == "non_refusal_rate"
    # The start refuses its tasks, which a judge of harm wouldn't see.
    assert set(start.marks["utility"]) == {"R"}
    assert labels(lab, start, "utility") == {"refusal_phrases@2"}


def labels(lab: Lab, outcome: Outcome, role: str) -> set[str]:
    """Judges whose verdicts on the answers of ``outcome`` are stored."""
    keys = lab.records.store.list(f"trajectories/{outcome.trajectory}/verdicts")
    about = [lab.records.verdicts(outcome.trajectory, key.rsplit("/", 1)[1])[1] for key in keys]
    return {a["judge"] for a in about if (a["setting"], a["role"]) == (outcome.setting, role)}


def test_a_model_that_judges_harm_works_in_the_loop(lab: Lab, classifier_model: Path) -> None:
    study, others = harm_study(lab, classifier_model, "harm"), set(_running)
    done = lab.run(study)
    assert done.code == 0, done.err
    check(lab, study)
    assert "harmful" in done.out
    assert "limit on harm" in done.out
    assert REFUSAL not in done.out
    (process,) = (process for judge, process in _running.items() if judge not in others)
    assert psutil.Process(process.pid).ppid() == psutil.Process().pid


@pytest.mark.ray
def test_workers_of_ray_have_judges_of_their_own(lab: Lab, classifier_model: Path, local_ray: Path) -> None:
    study = harm_study(lab, classifier_model, "rayharm", resources={"launcher": "ray"})
    with watching(local_ray) as seen:
        done = lab.run(study)
    assert done.code == 0, done.err
    check(lab, study)
    assert not _running
    assert seen
    _, alive = psutil.wait_procs(seen, timeout=20)
    assert not alive


@contextmanager
def watching(ray: Path) -> Iterator[list[psutil.Process]]:
    """The processes of judges that workers of this Ray start meanwhile."""
    seen: list[psutil.Process] = []
    over = threading.Event()

    def watch() -> None:
        while not over.wait(0.2):
            for process in psutil.process_iter(["cmdline"]):
                if (
                    "ftstab.evaluation.judges.child" in (process.info["cmdline"] or ())
                    and process not in seen
                ):
                    with suppress(psutil.Error):
                        if any(str(ray) in " ".join(parent.cmdline()) for parent in process.parents()):
                            seen.append(process)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield seen
    finally:
        over.set()
        thread.join()
