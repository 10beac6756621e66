"""Ray Tune runs jobs as trials.  The only file that imports Ray."""

from __future__ import annotations

import logging
import os
import re
import socket
import time
from collections import Counter, deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ray
from ray import tune
from ray.tune.search import Searcher

from ftstab.errors import FtstabError, StudyError, first_line
from ftstab.plan import Job
from ftstab.plan.hardware import workers_on
from ftstab.running.environment import available_cpus, cluster_address, prepare_ray
from ftstab.running.launcher import Context, Event, JobSource
from ftstab.spec import Resources

OBJECT_STORE_BYTES = 160 * 2**20
"""Messages carry keys, so a small object store does; it is memory that the machine doesn't get back."""
SECONDS_BETWEEN_UPDATES = 1.0
NEVER_RAN = "The actor never ran"
"""How Ray's last line begins where a worker couldn't be started; the line before has the reason."""


class RayLauncher:
    """Runs jobs on a Ray cluster: the one at ``address`` or RAY_ADDRESS, or a local one made for this study.

    Args:
        state: folder that all nodes see, for Ray Tune's own bookkeeping (nothing of it is ever read again).
        resources: size and number of workers, retries, address.
    """

    def __init__(self, state: Path, resources: Resources) -> None:
        self.state, self.resources = state, resources

    def run(self, context: Context, source: JobSource, on_event: Callable[[Job, Event], None]) -> None:
        """Run every job of ``source``.

        Raises:
            StudyError: no cluster answers, or it is too small for one worker.
        """
        prepare_ray()
        started_here = not ray.is_initialized()
        if started_here:
            self._connect()
        try:
            self._check_size(ray.cluster_resources())
            self._tune(context, source, on_event)
        finally:
            if started_here:
                ray.shutdown()

    def workers(self, cluster: dict[str, float]) -> int:
        """Trajectories at a time."""
        return workers_on(self.resources, cluster.get("CPU", 0), cluster.get("GPU", 0))

    def _connect(self) -> None:
        address = cluster_address(self.resources)
        try:
            if address:
                _try(address)
                ray.init(address=address, log_to_driver=False, logging_level="error")
            else:
                ray.init(
                    # Without it Ray joins whatever cluster another program has started on this machine.
                    address="local",
                    num_cpus=available_cpus(),
                    include_dashboard=False,
                    object_store_memory=OBJECT_STORE_BYTES,
                    log_to_driver=False,
                    logging_level="error",
                    _node_ip_address="127.0.0.1",
                )
        except (ConnectionError, RuntimeError, ValueError, OSError) as error:
            where = f"the Ray cluster at {address}" if address else "a local Ray"
            raise StudyError(
                f"resources.ray_address: {where} can't be used: {first_line(error)}. Start it with `ray start "
                "--head`, correct the address (or RAY_ADDRESS), or set resources.launcher: inprocess"
            ) from None

    def _check_size(self, cluster: dict[str, float]) -> None:
        if self.workers(cluster) < 1:
            r = self.resources
            raise StudyError(
                f"resources: one worker needs {r.cpus_per_trajectory} CPU(s) and {r.gpus_per_trajectory:g} GPU(s), "
                f"the Ray cluster has {cluster.get('CPU', 0):g} and {cluster.get('GPU', 0):g}; lower "
                "cpus_per_trajectory or gpus_per_trajectory"
            )

    def _tune(self, context: Context, source: JobSource, on_event: Callable[[Job, Event], None]) -> None:
        r = self.resources
        trainable = tune.with_resources(
            tune.with_parameters(_train, context=context),
            {"cpu": r.cpus_per_trajectory, "gpu": r.gpus_per_trajectory},
        )
        self.state.mkdir(parents=True, exist_ok=True)
        searcher = StudySearcher(source)
        events = Events(source, on_event, searcher, r.max_retries)
        # It logs a traceback for every failure, also for those that are tried again; the driver says what matters.
        logging.getLogger("ray.tune").setLevel(logging.CRITICAL)
        tuner = tune.Tuner(
            trainable,
            tune_config=tune.TuneConfig(
                search_alg=searcher,
                num_samples=-1,
                max_concurrent_trials=self.workers(ray.cluster_resources()),
                # A worker keeps its process, not its model: every job loads its own.
                reuse_actors=True,
            ),
            run_config=tune.RunConfig(
                name=f"ray-{time.strftime('%Y%m%dT%H%M%S')}-{os.getpid()}",
                storage_path=str(self.state),
                callbacks=[events],
                failure_config=tune.FailureConfig(max_failures=r.max_retries),
                verbose=0,
            ),
        )
        try:
            tuner.fit()
        except tune.TuneError:
            if events.error is None:
                raise
            raise events.error from None
        except RuntimeError as error:
            # Tune gives up where Ray kills a worker for want of memory; that must not look like a fault of the study.
            raise StudyError(
                f"Ray Tune gave up: {first_line(error)}. Finished settings are kept and the same command goes on; if "
                "memory ran out, lower resources.workers first"
            ) from None


def _try(address: str) -> None:
    """Raise OSError unless something answers at ``address``: Ray itself keeps trying for minutes."""
    found = re.fullmatch(r"(?:ray://)?\[?(.+?)\]?:(\d+)", address)
    if found is not None:
        socket.create_connection((found[1], int(found[2])), timeout=5).close()


def _train(config: dict[str, Any], context: Context) -> None:
    """One trial: one job.  Runs on a worker."""
    from ftstab.running.worker import run_job

    said = 0.0

    def emit(event: Event) -> None:
        nonlocal said
        # Every report waits for the driver, so single updates are told at most once a second.
        if (
            event.kind == "update"
            and event.step < event.last
            and time.monotonic() - said < SECONDS_BETWEEN_UPDATES
        ):
            return
        said = time.monotonic()
        tune.report({"event": event.as_dict()})

    run_job(context, config["job"], emit)


class StudySearcher(Searcher):
    """A Ray Tune searcher that asks a job source; the search itself lives there.

    Attributes:
        out: how many jobs trials have, or will have again.
        again: jobs whose trial ended before it had begun.
    """

    def __init__(self, source: JobSource) -> None:
        super().__init__()
        self.source: JobSource | None = source
        self.out = 0
        self.again: deque[Job] = deque()

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        """The next job as a trial's configuration; None while there is none."""
        assert self.source is not None
        if self.again:
            return {"job": self.again.popleft()}
        job = self.source.next_job()
        if job is not None:
            self.out += 1
            return {"job": job}
        finished: str = Searcher.FINISHED
        # Once it has heard this, Tune asks no more, and a job that is out may have to be given out again.
        return finished if self.source.exhausted() and not self.out else None

    def set_search_properties(self, *args: Any, **kwargs: Any) -> bool:
        """Nothing to set: the source knows the objectives."""
        return True

    def on_trial_complete(self, trial_id: str, result: Any = None, error: bool = False) -> None:
        """What a trial found is in the store; its end is told by `Events`."""

    def save(self, checkpoint_path: str) -> None:
        """Nothing: a restarted driver asks the store, not Tune."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing, as for `save`."""

    def __getstate__(self) -> dict[str, Any]:
        # Tune pickles what it is given, for a restore that is never made; the driver stays out of it.
        return self.__dict__ | {"source": None}


class Events(tune.Callback):
    """Passes on what workers say.

    Attributes:
        error: what was raised on hearing it, of which Tune would leave the text of a traceback.
    """

    def __init__(
        self,
        source: JobSource,
        on_event: Callable[[Job, Event], None],
        searcher: StudySearcher,
        retries: int,
    ) -> None:
        """``searcher`` gives jobs out again, each as often as ``retries`` at most."""
        self.source, self.on_event, self.searcher, self.retries = source, on_event, searcher, retries
        self.error: FtstabError | None = None
        self.given_again: Counter[str] = Counter()

    def on_trial_result(
        self, iteration: int, trials: Any, trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        """A worker reported an event."""
        self._pass_on(self.on_event, trial.config["job"], Event(**result["event"]))

    def on_trial_complete(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        """A job came to its end."""
        self._finished(trial.config["job"], None)

    def on_trial_error(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        """A worker was lost, and Tune doesn't try again: the retries are used up, or the worker was lost before the
        trial had begun, which isn't the job's fault."""
        if trial.status != "ERROR":
            return
        job = trial.config["job"]
        if trial.should_recover() and self.given_again[job.key] < self.retries:
            self.given_again[job.key] += 1
            self.searcher.again.append(job)
            self._lost(trial)
        else:
            self._finished(job, _why(trial))

    def on_trial_recover(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        """A worker was lost, and Tune tries again."""
        self._lost(trial)

    def _lost(self, trial: Any) -> None:
        job = trial.config["job"]
        self._pass_on(self.on_event, job, Event("lost", job.key, message=_why(trial)))

    def _finished(self, job: Job, failure: str | None) -> None:
        self.searcher.out -= 1
        self._pass_on(self.source.finished, job, failure)

    def _pass_on(self, tell: Callable[..., None], job: Job, what: Any) -> None:
        try:
            tell(job, what)
        except FtstabError as error:
            self.error = error
            raise

    def __getstate__(self) -> dict[str, Any]:
        return {}


def _why(trial: Any) -> str:
    """The last line of what killed a trial, from the file that Tune has written by now."""
    lines = [line.strip() for line in Path(trial.error_file).read_text().splitlines() if line.strip()]
    said = lines[-1] if lines else "its worker was lost"
    if said.startswith(NEVER_RAN) and len(lines) > 1:
        said = f"{lines[-2]} {said}"  # that alone doesn't say why
    return re.sub(r"^ftstab\.errors\.\w+: ", "", said).partition(" Some common causes")[0]
