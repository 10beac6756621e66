"""How fast a trajectory is trained and asked, and on what: assumptions that a plan states beside its estimate."""

from __future__ import annotations

from typing import NamedTuple

from ftstab.plan.sizes import Size
from ftstab.spec import Resources
from ftstab.spec.study import GpuName

GB = 10**9

# Measured with the 135M model on two cores of an AMD EPYC with avx512_bf16, two workers side by side, per core:
# floating-point operations a second of training (6 per weight and token, with optimizer and averages) and of answering
# (2 per weight and new token, with reading the prompt).  Reading alone (choices, held-out rows) takes 2 of the 6
# operations of training, at its speed.
_TRAIN_FLOPS_PER_CPU = {"bfloat16": 1.0e11, "float32": 4e10}
_ANSWER_FLOPS_PER_CPU = {"bfloat16": 4.5e10, "float32": 2e10}

_SHARE = 0.3
"""Assumed share of a GPU's peak that training reaches: usual for transformers' own layers."""
# Small models wait for kernels to be launched, not for computing.  Fitted to 135M weights on an H100, and tried on
# nothing else: alone, and 115 settings of 25 trainings by six workers (243 s with start-up; 3 min by these).
_SECONDS_PER_LAYER = 1e-3
"""Time that one layer takes for one more token of a whole batch ..."""
_SECONDS_PER_TRAINED_LAYER = 4e-3
"""... and for a micro-batch forwards and backwards, with its part of the update."""
_SIDE_BY_SIDE = 2.0
"""Workers on one GPU of which none waits for another; more of them share what these do."""
_UNNAMED: GpuName = "A100-80GB"
"""A GPU that the study file doesn't name is taken to be as fast as this one."""


class Gpu(NamedTuple):
    """One GPU by its data sheet.

    Attributes:
        bfloat16: dense floating-point operations a second in bfloat16.
        float32: in float32, without tensor cores.
        memory: bytes: 10^9 times what its name says, which leaves some to the driver.
    """

    bfloat16: float
    float32: float
    memory: int


GPUS: dict[GpuName, Gpu] = {
    "RTX-4090-24GB": Gpu(165e12, 82.6e12, 24 * GB),
    "A100-40GB": Gpu(312e12, 19.5e12, 40 * GB),
    "L40S-48GB": Gpu(362e12, 91.6e12, 48 * GB),
    "A100-80GB": Gpu(312e12, 19.5e12, 80 * GB),
    "H100-80GB": Gpu(989e12, 67e12, 80 * GB),
    "H200-141GB": Gpu(989e12, 67e12, 141 * GB),
    "B200-180GB": Gpu(2250e12, 75e12, 180 * GB),
    "MI300X-192GB": Gpu(1307e12, 163.4e12, 192 * GB),
    "MI325X-256GB": Gpu(1307e12, 163.4e12, 256 * GB),
}
"""Data sheets of NVIDIA and AMD, in order of memory."""


def workers_on(resources: Resources, cpus: float, gpus: float) -> int:
    """Return how many trajectories run at a time on so many CPUs and GPUs; 0 where there is no room for one."""
    if resources.launcher == "inprocess":
        return 1
    fit = int(cpus // resources.cpus_per_trajectory)
    share = resources.gpus_per_trajectory
    if share:
        # Several share a GPU, but none has parts of two.
        fit = min(fit, int(gpus) * int(1 / share) if share < 1 else int(gpus // share))
    return min(fit, resources.workers or fit)


class Speed(NamedTuple):
    """Tokens a second of one trajectory: trained, answered (new ones), read."""

    training: float
    answering: float
    reading: float


def speed(
    resources: Resources, size: Size, precision: str, batch_size: int, micro_batch_tokens: float
) -> Speed:
    """Return the speed to count with.

    Args:
        resources: where a trajectory runs, and speeds that were measured there.
        size: of the model.
        precision: its compute type.
        batch_size: prompts that are answered at a time.
        micro_batch_tokens: tokens that are trained on at a time.
    """
    forward, whole = 2 * size.parameters, 6 * size.parameters
    if resources.gpus_per_trajectory == 0:
        flops = resources.cpus_per_trajectory * _TRAIN_FLOPS_PER_CPU[precision]
        training = flops / whole
        answering = resources.cpus_per_trajectory * _ANSWER_FLOPS_PER_CPU[precision] / forward
    else:
        gpu = GPUS[resources.gpu or _UNNAMED]
        peak = gpu.bfloat16 if precision == "bfloat16" else gpu.float32
        # A trajectory uses one GPU, or its share of one.
        flops = min(1.0, resources.gpus_per_trajectory) * _SHARE * peak
        waits = size.layers * max(1.0, 1 / (_SIDE_BY_SIDE * resources.gpus_per_trajectory))
        training = min(micro_batch_tokens / (waits * _SECONDS_PER_TRAINED_LAYER), flops / whole)
        answering = min(batch_size / (waits * _SECONDS_PER_LAYER), flops / forward)
    training = resources.train_tokens_per_second or training
    return Speed(training, resources.answer_tokens_per_second or answering, training * whole / forward)


def speed_words(resources: Resources) -> str:
    """What `speed` rests on, in words."""
    given = resources.train_tokens_per_second, resources.answer_tokens_per_second
    if resources.gpus_per_trajectory == 0:
        how = f"{resources.cpus_per_trajectory} CPU(s) a worker as fast as an AMD EPYC with avx512_bf16"
    else:
        name = resources.gpu or f"{_UNNAMED} (the study file names no `resources.gpu`)"
        how = (
            f"one {name} a trajectory: training at {_SHARE:.0%} of its peak and at least "
            f"{1e3 * _SECONDS_PER_TRAINED_LAYER:g} ms a layer for each micro-batch, answering at "
            f"{1e3 * _SECONDS_PER_LAYER:g} ms a layer for each new token of a batch"
        )
        if resources.gpus_per_trajectory * _SIDE_BY_SIDE < 1:
            how += f", more than {_SIDE_BY_SIDE:g} workers on a GPU waiting for each other"
    stated = [
        f"{value:g} tokens a second of {what} as the study file says"
        for what, value in zip(("training", "answering"), given, strict=True)
        if value
    ]
    return ", ".join([how, *stated])
