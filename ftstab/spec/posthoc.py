"""Post-hoc EMA in a study file: which shadows are stored, and what that may stand beside."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import Field

from ftstab.spec.closed import Closed
from ftstab.spec.search import Search
from ftstab.spec.training import Training

MOST_COPIES = 100
"""Steps at which a trajectory may store its shadows; each setting reads all before it."""


class PostHoc(Closed):
    """Post-hoc EMA: decays that aren't tracked are rebuilt from stored shadows (Karras et al. 2024, arXiv 2312.02696).

    Decays of `axes.ema_decay` that stand in `decays`, and 0, are tracked as ever.  All others cost no shadow in memory:
    each is a sum of stored copies of the tracked ones, whose coefficients are found by least squares on the weights
    that the averages put on each step.  Such a setting is named `post-hoc ema`, and is never taken for a tracked one.
    """

    decays: Annotated[list[Annotated[float, Field(gt=0, lt=1)]], Field(min_length=1)]
    """Decays whose shadows are carried along and stored; two or three, from the shortest memory to the longest."""
    every: Annotated[int, Field(ge=1)]
    """Steps between stored copies.  They lie in the store until their trajectory ends; `ftstab plan` says how large
    they are.  The shadows and weights of the step that is read, and the start, are always used as well."""
    max_residual: Annotated[float, Field(gt=0, lt=1)] = 0.05
    """Largest residual: the part of the averaging profile, by its L2 norm over the updates, that is rebuilt wrongly.
    A decay above it is refused before anything is trained."""
    keep: bool = False
    """Keep the copies of a trajectory that has ended, together with its weights at every copy and at the steps of the
    grid: decays that are asked for later are then rebuilt without training."""


def posthoc_faults(posthoc: PostHoc | None, axes: Any, training: Training, search: Search) -> Iterator[str]:
    """Yield what is wrong with ``posthoc`` (`Study.check`), each with its dotted path."""
    if posthoc is None:
        return
    if len(set(posthoc.decays)) < len(posthoc.decays):
        yield f"posthoc.decays: given {posthoc.decays}; each value may stand once"
    if not set(axes.ema_decay or []) - {0.0, *posthoc.decays}:
        yield (
            "posthoc: `axes.ema_decay` has no decay beside 0 and `posthoc.decays`, so nothing would be rebuilt; add "
            "one, or take `posthoc` out"
        )
    if "feedback" in (axes.of("ema_mode") or [training.ema_mode]):
        yield "posthoc: not with `ema_mode: feedback`, which trains every decay"
    if "lora" in (axes.of("method") or [training.method]):
        yield (
            "posthoc: not with LoRA, whose bank keeps the factors of every step and forms any decay exactly; take "
            "`posthoc` out, or give LoRA a study of its own"
        )
    if "warmup_stable_decay" in (axes.of("schedule") or [training.schedule]):
        yield (
            "posthoc: not with `schedule: warmup_stable_decay`, whose branches are attempts of their own, without the "
            "shadows that their trunk stored; take `posthoc` out, or another schedule"
        )
    if search.method != "grid":
        yield f"posthoc: not with `search.method: {search.method}`; use `grid`"
    last = max(axes.steps)
    copies = (last - 1) // posthoc.every
    if copies > MOST_COPIES:
        yield (
            f"posthoc.every: given {posthoc.every}, which stores {copies} copies up to step {last}; at most "
            f"{MOST_COPIES} are allowed: give {-(-last // (MOST_COPIES + 1))} or more"
        )
