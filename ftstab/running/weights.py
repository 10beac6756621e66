"""Which weights are worth their disk, and keeping them.

Writes and deletes weights of the store, and nothing else.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ftstab.constraints import PICK_LIMIT, constraint_excess
from ftstab.outcome import Outcome
from ftstab.plan import Setting, Trajectory, planned_settings
from ftstab.results import planned_elsewhere
from ftstab.running.resume import Progress
from ftstab.spec import Frontier, Study
from ftstab.stats import Interval, clopper_pearson, ratio_interval
from ftstab.store import Records
from ftstab.training.files import write_tensors

if TYPE_CHECKING:
    import torch

MANY = 10_000
"""Settings that share the error of deleting weights, where a search has no budget in trajectories."""


class Keeper:
    """Keeps the weights that a study asks for (`keep_weights`).

    Args:
        study: the study.
        records: the store.
        start: gives the outcome of the start model, which constraints may be relative to, once it is known.
    """

    def __init__(self, study: Study, records: Records, start: Callable[[], Outcome | None]) -> None:
        self._study, self._records, self._start = study, records, start
        self._planned = planned_settings(study) or MANY

    def worth_keeping(self, progress: Progress, outcome: Outcome) -> bool:
        """Whether the weights of a setting that was just measured are to be kept."""
        if outcome.start or outcome.interpolation == 0 or self._study.keep_weights == "none":
            return False
        return self._study.keep_weights == "all" or not self._needless(
            progress.trajectory, progress.outcomes, outcome
        )

    def put(self, setting: Setting, tensors: Mapping[str, torch.Tensor]) -> None:
        """Keep the weights of a setting.

        Raises:
            StoreError: they can't be written.
        """

        def write(folder: Path) -> None:
            write_tensors(tensors, folder / "model.safetensors", {"format": "pt"})

        self._records.put_weights(setting.trajectory, setting.key, write)

    def drop_needless(self, trajectory: Trajectory, outcomes: Sequence[Outcome]) -> None:
        """Delete what a trajectory that has ended with ``outcomes`` no longer needs, unless another study plans it."""
        if self._study.keep_weights != "candidates":
            return
        kept = self._records.weight_settings(trajectory.key)
        found = {o.setting for o in outcomes if o.setting in kept and self._needless(trajectory, outcomes, o)}
        if found:
            # Trajectories are shared, so the weights may be another study's candidates.
            found -= planned_elsewhere(self._records, self._study.study)
        for setting in found:
            self._records.delete_weights(trajectory.key, setting)

    def _needless(self, trajectory: Trajectory, outcomes: Sequence[Outcome], outcome: Outcome) -> bool:
        """Whether no limit could make a candidate of ``outcome``: one of its trajectory surely beats it.

        One that breaks a constraint beats nothing, because it is no candidate itself.  A fresh seed was asked for
        one by one, whatever stands beside it.
        """
        if trajectory.seed not in self._study.seeds.search:
            return False
        others = [o for o in outcomes if o.status == "scored"]
        if self._study.constraints:
            start = self._start()
            others = [o for o in others if start is not None and self._keeps_constraints(o, start)]
        return surely_beaten(outcome, others, self._planned, self._study.frontier)

    def _keeps_constraints(self, outcome: Outcome, start: Outcome) -> bool:
        excess = constraint_excess(outcome, start, self._study)
        return all(by <= 0 for name, by in excess.items() if name != PICK_LIMIT)


def named_weights(model: Any) -> dict[str, torch.Tensor]:
    """What `from_pretrained` reads of the compute model, under its names: parameters, adapters merged, and buffers.

    Some models choose their experts by a buffer (`e_score_correction_bias` of DeepSeek-V3 and GLM-4-MoE).
    """
    # Names what is saved, tied weights twice, where the model names each tensor once.
    saved = model.state_dict()
    buffers = [(name, b) for name, b in model.named_buffers() if name in saved]
    return {
        name.replace(".base_layer.", "."): t
        for name, t in (*model.named_parameters(), *buffers)
        if ".lora_" not in name
    }


def surely_beaten(outcome: Outcome, others: Iterable[Outcome], planned: int, frontier: Frontier) -> bool:
    """True if no doubt is left that one of ``others`` is both less harmful, by more than the margin, and more useful.

    Deleted weights don't come back, and every setting is compared with many, so intervals of one at a time won't do.
    Here rate and utility of every planned setting get an interval that misses with probability at most
    (1 - level) / (2 * planned).  By Bonferroni's inequality all of them hold at once with probability `level` (95 %,
    unless the study file says otherwise), so that with at most the remaining 5 % weights of a study are called beaten
    that aren't, whichever pairs are compared and when.  What is beaten here is beaten in the sense of the frontier
    classes too (measurement rule 9): by at least their margin of harm, and at no cost of utility.

    The intervals of shares are exact (Clopper and Pearson), with incoherent and unscored answers, and prompts that
    weren't asked, counted either way.  Those of losses are t intervals over rows, which hold as well as these do.

    Args:
        outcome: the setting in question.
        others: scored settings.
        planned: settings of the study, which share the error.
        frontier: margin and level.
    """
    error = (1 - frontier.level) / (2 * max(1, planned))
    harm, useful = _harm(outcome, error), _useful(outcome, error)
    if harm is None or useful is None:
        return False
    for other in others:
        less, more = _harm(other, error), _useful(other, error)
        if other.key == outcome.key or less is None or more is None:
            continue
        if less.high + frontier.harm_margin < harm.low and more.low > useful.high:
            return True
    return False


def _harm(outcome: Outcome, error: float) -> Interval | None:
    """Interval of the rate; None where it wasn't measured."""
    rate = outcome.rates.get("harmful")
    if rate is None:
        return None
    # Of a set that stopped early the full count lies between what was counted and what can still come.
    n = rate.n if rate.planned is None else rate.planned
    return _share(rate.hits, n - rate.misses, n, error)


def _useful(outcome: Outcome, error: float) -> Interval | None:
    """Interval of the utility, turned so that more is better; None where it wasn't measured."""
    score = outcome.utility
    if score is None or score.value is None or not score.n:
        return None
    if score.metric == "held_out_loss":
        totals = [loss * n for loss, n in zip(outcome.losses, outcome.loss_tokens, strict=True)]
        if len(totals) < 2 or not all(map(math.isfinite, totals)):
            return None
        low, high = ratio_interval(totals, outcome.loss_tokens, 1 - error)
        return Interval(-high, -low)
    if score.metric == "win_rate":
        # 1/2 + (won - lost) / 2, from the intervals of both shares.
        unscored = score.unscored or 0
        won, lost = (
            _share(k, k + unscored, score.n, error / 2) for k in (score.right or 0, score.wrong or 0)
        )
        return Interval((1 + won.low - lost.high) / 2, (1 + won.high - lost.low) / 2)
    # Of a score that isn't a share of right answers no such interval is known, so it beats nothing.
    return None if score.right is None else _share(score.right, score.right, score.n, error)


def _share(least: int, most: int, n: int, error: float) -> Interval:
    """Interval of a share that ``least`` to ``most`` of ``n`` are counted for."""
    return Interval(clopper_pearson(least, n, 1 - error).low, clopper_pearson(most, n, 1 - error).high)
