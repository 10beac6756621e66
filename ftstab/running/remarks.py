"""What is said of a study before anything is trained: rows that can't be used or are too long, updates of more rows
than there are, sets of few prompts, limits above what there is, warm-up that leaves no room for a decay, a search that
ends before it can stall, arms that can give no verdict, limits that no answers could keep.

Pure, but for the tokenizer.  `ftstab validate` and `ftstab run` say it alike, and `ftstab plan` what concerns arms,
limits, small sets and rows left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from operator import attrgetter
from typing import Any

from ftstab.arms.effect import MIN_STRENGTHS
from ftstab.confirm import ERROR_RATE, fewest_prompts
from ftstab.constraints import ROLES
from ftstab.data.rows import RowSet
from ftstab.data.training import TrainingData, asked_rows
from ftstab.errors import StudyError
from ftstab.models.chat import Chat, named
from ftstab.spec import Study
from ftstab.spec.arms import strengths_of
from ftstab.stats import MIN_CURVE_SEEDS, proportion
from ftstab.wording.limits import out_of_reach_text
from ftstab.wording.numbers import percent

FEW_PROMPTS = 30
"""Below, the interval of a rate of 0 reaches above 11 %."""


def asked_place(study: Study, role: str) -> str:
    """Return where the study file says which rows ``role`` is asked, or which are held out for the loss."""
    if role == "held_out":
        return "evaluation.utility.held_out"
    if role != "utility":
        return f"evaluation.{role}.benchmark"
    return f"evaluation.utility.{'data' if study.evaluation.utility.task is None else 'task'}"


def training_remarks(study: Study, data: TrainingData, chat: Chat) -> list[str]:
    """Return what is said of training rows that are left out: the template doesn't take them, or their request is too
    long.

    Raises:
        StudyError: longest rows above what the model reads.
        DataError: no row of a set is left.
    """
    varied = study.axes.of("max_length")
    key = "training.max_length" if varied is None else "axes.max_length"
    lengths = sorted({study.training.max_length} if varied is None else varied)
    if lengths[-1] > chat.context:
        raise StudyError(
            f"{key}: given {lengths[-1]}; the model reads at most {chat.context} tokens, so lower it"
        )
    said = [
        text for where, rows in data.sets.items() for text in unused_remarks(chat, rows, where, key, lengths)
    ]
    drawn = study.axes.range("batch_size")
    sizes = [drawn.high] if drawn else study.axes.of("batch_size") or [study.training.batch_size]
    if (most := max(sizes)) > (there := len(data.rows.rows)):
        where = "training" if study.axes.of("batch_size") is None and not drawn else "axes"
        said.append(
            f"{where}.batch_size: an update of {most:g} rows learns some of the {there} rows of data.train more than "
            "once; give it fewer rows, or take more data"
        )
    return said


def unused_remarks(chat: Chat, rows: RowSet, where: str, key: str, lengths: Sequence[int]) -> list[str]:
    """Return what is said of rows of a set that nothing is learned from.

    Args:
        chat: tokenizer and template.
        rows: the set.
        where: its place in the study file.
        key: where the longest lengths stand.
        lengths: these, at least one.

    Raises:
        DataError: no row is left.
    """
    said = []
    for length in lengths:
        found = chat.encode_set(rows, length, where)
        # The template takes a row or not, whatever the longest length is.
        if found.refused and length == lengths[0]:
            said.append(
                f"{where}: {len(found.refused)} of {len(rows.rows)} rows are left out, which the chat template doesn't "
                f"take: {named(found.refused)}"
            )
        if found.too_long:
            said.append(
                f"{where}: {len(found.too_long)} of {len(rows.rows)} rows are left out, whose request alone leaves no "
                f"room for an answer within {key} {length} tokens"
            )
    return said


def left_out_remarks(left_out: Mapping[str, Mapping[str, int]]) -> list[str]:
    """Return which rows of the sources can't be used.

    Args:
        left_out: how many, by reason, by the place of their source.
    """
    return [
        f"{where}: {count} rows of the source can't be used and are left out: {reason}"
        for where, reasons in left_out.items()
        for reason, count in reasons.items()
    ]


def overlap_remarks(learned: Mapping[str, RowSet], asked: Mapping[str, RowSet]) -> Iterator[str]:
    """Yield which rows that are trained on are near-duplicates of rows that are asked: learned by heart, they say
    nothing of rows that nobody has seen.

    Args:
        learned: sets that are trained on, by the place of their source.
        asked: sets that are asked or held out, by the place of theirs.
    """
    for where, rows in learned.items():
        for place, prompts in asked.items():
            if taken := asked_rows(rows, prompts):
                yield (
                    f"{where}: {len(taken)} of {len(rows.rows)} rows of {rows.label} are near-duplicates of rows of "
                    f"{place} ({prompts.label}; the first is {taken[0].spot}), so what is measured there was trained "
                    "on; leave them out by `where`, `skip` or `limit`, or take other rows"
                )


def schedule_remarks(study: Study) -> list[str]:
    """Return which steps of the grid end while the learning rate still warms up, or should be falling already."""

    def values(name: str) -> list[Any]:
        drawn = study.axes.range(name)
        return [drawn.high] if drawn else study.axes.of(name) or [getattr(study.training, name)]

    warmup, fraction = max(values("warmup_steps")), max(values("decay_fraction"))
    said = []
    for schedule in values("schedule"):
        if schedule == "constant":
            if early := [n for n in study.axes.steps if n < warmup]:
                said.append(
                    f"axes.steps: with {warmup:g} steps of warm-up, settings of {', '.join(map(str, early))} steps end "
                    "before the learning rate is what their name says; lower `warmup_steps`, or leave these steps out"
                )
            continue
        stable = schedule == "warmup_stable_decay"
        short = [n for n in study.axes.steps if warmup > n - (max(1, round(fraction * n)) if stable else 1)]
        if short:
            few = ", ".join(map(str, short))
            said.append(
                f"axes.steps: with `schedule: {schedule}` and {warmup:g} steps of warm-up, {few} "
                "steps are too few for warm-up and decay, so the learning rate doesn't take its course there; lower "
                "`warmup_steps`, or leave these steps out"
            )
    return said


def stall_remarks(study: Study) -> list[str]:
    """Return what is said of a search whose budget ends before it could stall."""
    stall, budget = study.search.stall, study.search.budget
    if stall is None or budget is None or budget.trajectories is None:
        return []
    # No growth shows before there is a trajectory to grow from, and none is looked for before a sampler's turn.
    begun = len(study.seeds.search) * max(study.search.startup, len(study.search.presets))
    needed = max(stall.trajectories + 1, begun)
    if budget.trajectories > needed:
        return []
    return [
        f"search.stall: {stall.trajectories} trajectories without growth show after {needed} at the earliest (presets "
        f"and start-up come first), and the budget of {budget.trajectories} ends the search before, unless the store "
        "has some already; lower `stall.trajectories` or `startup`, raise the budget, or take `stall` out"
    ]


def arm_remarks(study: Study) -> list[str]:
    """Return which arms can give no verdict however they come out, because too few settings or seeds are asked for."""
    if not study.arms:
        return []
    said = []
    if (seeds := len(study.seeds.search)) < MIN_CURVE_SEEDS:
        said.append(f"arms: `seeds.search` has {seeds} seed(s), and a claim needs at least {MIN_CURVE_SEEDS}")
    for name, arm in study.arms.items():
        values = strengths_of(study, arm)
        count = 0 if values is None else len(values)
        if 0 < count < MIN_STRENGTHS:
            said.append(
                f"arms.{name}: {count} strength(s) of {arm.strength}, and at least {MIN_STRENGTHS} are compared; give "
                "the axis more values, or name one setting (an arm without `strength`)"
            )
    return said


def limit_remarks(study: Study, read: Mapping[str, RowSet], halves: Mapping[str, int]) -> Iterator[str]:
    """Yield which limits of the study file are above what there is, so that they limit nothing.

    Args:
        study: the study.
        read: sets by the place of their source.
        halves: rows of the search half by the place of their source, or those of them that a limit leaves.
    """
    for where, rows in read.items():
        source = attrgetter(where)(study)
        if source.limit is not None and source.limit > len(rows.rows):
            after = f" after `skip: {source.skip}`" if getattr(source, "skip", 0) else ""
            yield (
                f"{where}: `limit: {source.limit}` is above the {len(rows.rows)} usable rows{after}; all of them are "
                "used"
            )
    for where, half in halves.items():
        section = where.rpartition(".")[0]
        limit = attrgetter(section)(study).limit
        if limit is not None and limit > half:
            yield f"{section}: `limit: {limit}` is above the {half} rows of the search half; all of them are asked"


def sample_remarks(study: Study, search: Mapping[str, int]) -> Iterator[str]:
    """Yield which sets are so small that their figures say next to nothing.

    Args:
        study: the study.
        search: prompts that a setting is asked, by role.
    """
    for role, count in search.items():
        if 0 < count < FEW_PROMPTS:
            upper = percent(proportion(0, count, study.evaluation.interval).high)
            yield (
                f"evaluation.{role}: a setting is asked {count}, so that even a rate of 0 has an interval up to "
                f"{upper}; ask {FEW_PROMPTS} or more for figures to rely on (`limit`, `benchmark`, `evaluation.split`)"
            )


def out_of_reach_remarks(
    study: Study, search: Mapping[str, int], confirm: Mapping[str, int]
) -> Iterator[str]:
    """Yield which limits no setting can keep, because too few prompts are asked.

    Args:
        study: the study.
        search: prompts that a setting is asked, by role.
        confirm: prompts of the confirmation half, by role.
    """
    for name, limit in study.constraints.items():
        if limit.max is None:
            continue
        role, where = ROLES[name], f"constraints.{name}.max"
        more = f"raise it, or ask more of `evaluation.{role}`"
        if role in search and (why := out_of_reach_text(limit.max, search[role], study.evaluation.interval)):
            yield f"{where}: no setting can keep it: {why}; {more} (`limit`, `benchmark`, `evaluation.split`)"
        needed = fewest_prompts(limit.max, ERROR_RATE)
        if confirm.get(role) and (needed is None or confirm[role] < needed):
            much = "no number of prompts shows" if needed is None else f"at least {needed} prompts show"
            yield (
                f"{where}: no confirmation can uphold it: the confirmation half has {confirm[role]} prompts, and "
                f"{much} {percent(limit.max)} at error rate {100 * ERROR_RATE:g} %; {more} (`benchmark`, "
                "`evaluation.split`)"
            )
