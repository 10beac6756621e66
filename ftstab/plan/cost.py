"""What a plan costs: time, memory, disk and requests.  Estimates from counts, said to be estimates."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any, NamedTuple

from ftstab.plan.plan import Job, Plan, Trajectory
from ftstab.spec import Study

GIB = 2**30

# Measured with the 135M model on two cores of an AMD EPYC with avx512_bf16, two workers side by side, per core:
# floating-point operations a second of training (6 per weight and token, with optimizer and averages) and of answering
# (2 per weight and new token, with reading the prompt).  Reading alone (choices, held-out rows) takes 2 of the 6
# operations of training, at its speed.
_TRAIN_FLOPS_PER_CPU = {"bfloat16": 1.0e11, "float32": 4e10}
_ANSWER_FLOPS_PER_CPU = {"bfloat16": 4.5e10, "float32": 2e10}
_TOKENS_PER_ROW = 60
"""Assumed length of a training row before it is read."""


@dataclass(frozen=True)
class Calls:
    """Requests to one endpoint.

    Attributes:
        name: of the judge or comparer.
        reads: `harmful`, `over_refusal` or `utility`: the answers that it is shown.
        requests: how many, at most, without retries.
        prompt_tokens: of all requests, by the length of the texts.
        reply_tokens: of all replies, each as long as allowed.
        price: in the currency of the study file's prices; None where it gives none.
        per_minute: rate limit of the endpoint; None where there is none.
        compares: whether answers are compared with the start model's, which needs no request for the start itself.
    """

    name: str
    reads: str
    requests: int
    prompt_tokens: int
    reply_tokens: int
    price: float | None
    per_minute: float | None = None
    compares: bool = False

    def times(self, settings: int) -> Calls:
        """The requests of so many settings."""
        return replace(
            self,
            requests=self.requests * settings,
            prompt_tokens=self.prompt_tokens * settings,
            reply_tokens=self.reply_tokens * settings,
            price=None if self.price is None else self.price * settings,
        )

    @property
    def least_seconds(self) -> float | None:
        """Seconds that the rate limit alone takes; None without one."""
        return None if self.per_minute is None else 60 * self.requests / self.per_minute

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self) | {"least_seconds": self.least_seconds}


@dataclass(frozen=True)
class Workload:
    """What one setting is asked.

    Attributes:
        prompts: prompts that are answered.
        choice_rows: multiple-choice rows, whose choices are read.
        choice_tokens: tokens of these prompts with all their choices.
        held_out_rows: rows whose loss is read.
        calls: requests that its answers take.
    """

    prompts: int
    choice_rows: int = 0
    choice_tokens: int = 0
    held_out_rows: int = 0
    calls: tuple[Calls, ...] = ()


@dataclass(frozen=True)
class Cost:
    """An estimate.

    Attributes:
        train_seconds: training, all trajectories after one another; None if the size of the model is unknown.
        answer_seconds: generating the answers of all settings.
        read_seconds: reading the choices and held-out rows of all settings.
        wall_seconds: all of it, shared over the workers; waiting for endpoints is left out.
        memory_bytes: main memory of one worker.
        disk_bytes: store per trajectory: one resume state and the weights of its settings.
        assumptions: what the estimate rests on.
        endpoints: requests of the settings that aren't done, and of the start model if it isn't.
    """

    train_seconds: float | None
    answer_seconds: float | None
    read_seconds: float | None
    wall_seconds: float | None
    memory_bytes: int | None
    disk_bytes: int | None
    assumptions: str
    endpoints: tuple[Calls, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self) | {"endpoints": [calls.as_dict() for calls in self.endpoints]}


def estimate(
    study: Study,
    plan: Plan,
    parameters: int | None,
    asked: Workload,
    workers: int,
    trainable: int | None = None,
) -> Cost:
    """Estimate the cost of what ``plan`` still has to do.

    Args:
        study: the study.
        plan: its plan.
        parameters: weights of the model; None if unknown without a download.
        asked: what every setting is asked.
        workers: trajectories at a time.
        trainable: trained weights with LoRA; None takes 1 % of all.
    """
    endpoints = tuple(calls.times(_readings(plan, calls)) for calls in asked.calls)
    if parameters is None:
        why = "the size of the model is unknown until it is downloaded"
        return Cost(None, None, None, None, None, None, why, endpoints)
    cpus = study.resources.cpus_per_trajectory
    train = answer = read = 0.0
    memory = disk = 0
    for job in plan.open_jobs:
        work = _work(study, plan, job, asked)
        train += work.training * parameters / cpus
        answer += work.answering * parameters / cpus
        read += work.reading * parameters / cpus
        for t in job.trajectories:
            memory = max(memory, _memory(t, parameters, trainable))
            disk = max(disk, _disk(t, parameters, trainable))
    return Cost(
        train_seconds=train,
        answer_seconds=answer,
        read_seconds=read,
        wall_seconds=(train + answer + read) / max(1, min(workers, len(plan.open_jobs))),
        memory_bytes=memory,
        disk_bytes=disk,
        assumptions=(
            f"{parameters / 1e6:.0f} M weights, rows of {_TOKENS_PER_ROW} tokens, answers of full length, {cpus} "
            "CPU(s) a worker as fast as an AMD EPYC with avx512_bf16; judges with weights aren't counted"
        ),
        endpoints=endpoints,
    )


def longest_first(study: Study, plan: Plan, prompts: int) -> list[Job]:
    """Return the open jobs of ``plan`` in the order that lets workers end together: the longest first.

    Ties keep the order of the plan.  Source: Graham, Bounds on multiprocessing timing anomalies (SIAM Journal on
    Applied Mathematics 17, 1969): the last worker ends at most a third later than it could.
    """
    return sorted(plan.open_jobs, key=lambda job: -sum(_work(study, plan, job, Workload(prompts))))


def _readings(plan: Plan, calls: Calls) -> int:
    """Settings whose answers an endpoint reads: those that aren't done, and the start model.

    Answers are compared with the start's own, which neither it nor interpolation 0 differs from.
    """
    waiting = [s for s in plan.settings if s.key not in plan.done]
    if calls.compares:
        return sum(s.interpolation != 0 for s in waiting)
    return len(waiting) + (plan.start.key not in plan.done)


class _Work(NamedTuple):
    """Seconds that a job still needs, per weight of the model, on one CPU."""

    training: float
    answering: float
    reading: float


def _work(study: Study, plan: Plan, job: Job, asked: Workload) -> _Work:
    train = answer = read = 0.0
    for t in job.trajectories:
        precision = t.training.precision
        rows = t.train_steps * t.training.batch_size
        train += 6 * rows * _TOKENS_PER_ROW / _TRAIN_FLOPS_PER_CPU[precision]
        open_settings = sum(s.key not in plan.done for s in t.settings)
        tokens = open_settings * asked.prompts * study.evaluation.decoding.max_new_tokens
        answer += 2 * tokens / _ANSWER_FLOPS_PER_CPU[precision]
        tokens = open_settings * (asked.choice_tokens + asked.held_out_rows * _TOKENS_PER_ROW)
        read += 2 * tokens / _TRAIN_FLOPS_PER_CPU[precision]
    return _Work(train, answer, read)


def shadows(trajectory: Trajectory) -> int:
    """Number of float32 shadows that the trajectory carries (bias-corrected averages share the exponential one)."""
    profiles = {s.profile for s in trajectory.settings if s.profile.kind != "last"}
    return len({("power" if p.kind == "power" else "exponential", p.value) for p in profiles}) + (
        trajectory.feedback_decay is not None
    )


def _memory(t: Trajectory, parameters: int, trainable: int | None) -> int:
    """Bytes: compute copy, gradients, start, masters, two moments, shadows, activations and libraries."""
    compute = 2 if t.training.precision == "bfloat16" else 4
    activations = int(1.2 * GIB)
    if t.training.method == "lora":
        small = trainable or parameters // 100
        return parameters * (compute + 4) + small * 4 * (4 + t.last) + activations
    return parameters * (2 * compute + 4 * (5 + shadows(t))) + activations


def _disk(t: Trajectory, parameters: int, trainable: int | None) -> int:
    """Bytes: one resume state (two while it is replaced) and the weights of the settings."""
    compute = 2 if t.training.precision == "bfloat16" else 4
    weights = len(t.settings) * parameters * compute
    if t.training.method == "lora":
        return 2 * (trainable or parameters // 100) * 4 * (3 + t.last) + weights
    return 2 * parameters * 4 * (3 + shadows(t)) + weights
