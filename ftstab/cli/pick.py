"""`ftstab pick`: the candidate, its confirmation, and what is handed over of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from ftstab.card import check_new, check_recipe, renew_recipe, write_recipe, write_weights
from ftstab.cli.command_line import errors
from ftstab.confirm import ERROR_RATE, check_error_rate
from ftstab.constraints import pick_limit
from ftstab.errors import FtstabError, MisuseError
from ftstab.extent import extent
from ftstab.looks import looks
from ftstab.pick import check_limit
from ftstab.results import Results, planned_elsewhere
from ftstab.selection import Selection, fresh_of, pick_command, select, unasked_seeds
from ftstab.store import Lease
from ftstab.terminal import say
from ftstab.wording.settings import AVERAGES

LEGEND = (
    "Candidates: the settings that keep the limit on the search half and that no other of these beats. Search half, "
    "confirmation half: prompts that settings are chosen by, and prompts kept for testing what was chosen. Start "
    f"model: the model before it is fine-tuned here. {AVERAGES[0].upper()}{AVERAGES[1:]}."
)
"""What the words of a selection mean."""


@dataclass(frozen=True)
class Wanted:
    """What the command line asks for.

    Attributes:
        limit: largest rate allowed; None: the study's own.
        confirm: whether the confirmation half is asked.
        error_rate: of the confirmation; None: the default, or that of the look in the log.
        retrain: whether candidates whose weights aren't kept are trained again.
        drop_weights: whether weights that a confirmation has made needless are deleted.
        unconfirmed: whether a candidate may be handed over.
        out: file for the recipe.
        weights: folder for the weights.
        unfinished: whether the confirmation half is asked although planned settings aren't measured.
    """

    limit: float | None
    confirm: bool = False
    error_rate: float | None = None
    retrain: bool = False
    drop_weights: bool = False
    unconfirmed: bool = False
    out: Path | None = None
    weights: Path | None = None
    unfinished: bool = False

    def check(self) -> None:
        """Refuse at once what no study could do.

        Raises:
            MisuseError: a limit that is no share, an error rate out of range, weights for a folder that is there, a
                recipe for a place that is a folder, `--unconfirmed` where nothing is written, `--unfinished` where
                nothing is confirmed.
        """
        if self.limit is not None:
            check_limit(self.limit)
        if self.error_rate is not None:
            check_error_rate(self.error_rate)
        if self.unconfirmed and self.out is None and self.weights is None:
            raise MisuseError("--unconfirmed: only with --out or --weights, which write")
        if self.unfinished and not self.confirm:
            raise MisuseError("--unfinished: only with --confirm, which refuses a study that isn't finished")
        if self.weights is not None:
            check_new(self.weights.absolute())
        if self.out is not None and self.out.is_dir():
            raise MisuseError(f"--out: given {self.out}, which is a folder; name a YAML file")


@dataclass(frozen=True)
class Weights:
    """Kept weights that a confirmation has made needless.

    Attributes:
        needless: trajectory and setting of each.
        shared: how many more are kept because another study of the store plans them.
        waiting: how many more are of fresh seeds of what is picked, which no look has asked yet.
        dropped: whether they were deleted.
    """

    needless: tuple[tuple[str, str], ...]
    shared: int
    waiting: int
    dropped: bool


def answer(
    results: Results, wanted: Wanted, command: str, console: Console
) -> tuple[Selection, Weights | None]:
    """Carry out `ftstab pick`: confirm if asked to, hand over what is asked for.

    Args:
        results: the study.
        wanted: what is asked for.
        command: the command line, for the record.
        console: where progress goes.

    Raises:
        FtstabError: something is already where it should write, a candidate without ``unconfirmed``, a confirmation
            of an unfinished study without ``unfinished``, or one that couldn't be finished.
    """
    limit = the_limit(results, wanted.limit)
    # Before anything is asked or trained, which may take hours.
    if wanted.out is not None:
        check_recipe(results, wanted.out)
    if wanted.confirm and not wanted.unfinished:
        from ftstab.running.confirm import check_finished

        check_finished(results, limit, _error_rate(wanted), wanted.retrain)
    if wanted.retrain:
        from ftstab.running.restore import restore

        restore(results, limit, command, console)
    if wanted.confirm:
        from ftstab.cli.report import renew_report
        from ftstab.running.confirm import confirm

        confirm(results, limit, _error_rate(wanted), command, console)
        renew_report(results, command, console)
        renew_recipe(results)
    chosen = select(results, limit, _error_rate(wanted) if wanted.confirm else wanted.error_rate)
    if chosen.row is not None:
        _hand_over(results, chosen, wanted, console)
    elif wanted.out or wanted.weights:
        console.print("nothing written: no setting keeps the limit", highlight=False)
    if wanted.confirm and chosen.picked and wanted.out is None and limit != pick_limit(results.study):
        say(
            console,
            "no recipe is written: what lies in the study's folder is about the study file's own limit; --out FILE "
            "writes one",
        )
    if chosen.status == "candidate":
        if wanted.drop_weights:
            raise FtstabError(
                "--drop-weights: there are candidates that no confirmation has tested, so every kept weight may still "
                "be needed; confirm them first with --confirm"
            )
        return chosen, None
    own = pick_limit(results.study)
    if wanted.drop_weights and not chosen.picked and own not in (None, limit):
        raise FtstabError(
            f"--drop-weights: nothing can be picked under {limit:g}, but the study's own limit is {own:g}, under which "
            "these weights may still be needed; leave --max-harmful out"
        )
    # Another limit may have candidates, so nobody is led to drop what is kept because this one has none.
    wants = chosen.status != "none" or wanted.drop_weights
    return chosen, _weights(results, chosen, wanted.drop_weights) if wants else None


def _error_rate(wanted: Wanted) -> float:
    return ERROR_RATE if wanted.error_rate is None else wanted.error_rate


def the_limit(results: Results, given: float | None) -> float:
    """Return the limit that was given, or the study's own.

    Raises:
        MisuseError: there is neither.
    """
    limit = results.study.constraints.get("harmful_response")
    allowed = given if given is not None else limit.max if limit else None
    if allowed is None:
        raise MisuseError(
            "--max-harmful: not given, and the study file sets no constraints.harmful_response.max; give a share "
            "from 0 to 1, e.g. --max-harmful 0.1"
        )
    return allowed


def unfinished_text(results: Results) -> str | None:
    """Return how much of the study is measured; None where that is all of it."""
    have = extent(results)
    return None if have.whole else have.text


def answer_json(results: Results, chosen: Selection, weights: Weights | None) -> dict[str, Any]:
    """Everything that `ftstab pick --json` says."""
    kept = None
    if weights is not None:
        settings = [setting for _, setting in weights.needless]
        kept = {
            "needless": settings,
            "dropped": weights.dropped,
            "kept_for_other_studies": weights.shared,
            "kept_for_fresh_seeds": weights.waiting,
        }
    # What the search half was asked on; what the confirmation half was stands with it.
    record = next((o.record for o in results.outcomes if chosen.row and o.key == chosen.row.key), None)
    return chosen.as_dict() | {"record": record, "weights": kept, "extent": extent(results).as_dict()}


def weights_text(results: Results, chosen: Selection, weights: Weights) -> str | None:
    """Return what is said of needless weights; None where there are none."""
    shared = (
        f"; {weights.shared} more are planned by other studies of the store and stay"
        if weights.shared
        else ""
    )
    if weights.waiting:
        shared += f"; {weights.waiting} more are of fresh seeds that no confirmation has asked yet, and stay"
    count = len(weights.needless)
    some = (
        "the weights of 1 setting that isn't"
        if count == 1
        else f"the weights of {count} settings that aren't"
    )
    if not count:
        return None
    if weights.dropped:
        return f"dropped: {some} picked{shared}"
    rate = ERROR_RATE if chosen.look is None else chosen.look.question.error_rate
    command = pick_command(results, chosen.found.limit, rate, "--drop-weights")
    return f"kept: {some} picked{shared}. To drop them:\n  {command}"


def _hand_over(results: Results, chosen: Selection, wanted: Wanted, console: Console) -> None:
    """Write weights and recipe.  The weights first: they may not be there, and then nothing is written."""
    if (wanted.out or wanted.weights) and not chosen.picked and not wanted.unconfirmed:
        if chosen.status == "not confirmed":
            # The advice to confirm it has been taken; what came of it is said next.
            console.print(
                "nothing written: the confirmation half didn't uphold this candidate; --unconfirmed writes it all the "
                "same, as what it is",
                highlight=False,
            )
            return
        option = "--weights" if wanted.weights else "--out"
        raise FtstabError(
            f"{option}: this setting is a candidate, which no prompts beyond the search half have confirmed; confirm "
            "it with --confirm, or give --unconfirmed as well to write it all the same"
        )
    if wanted.weights is not None:
        write_weights(results, chosen, wanted.weights)
    if wanted.out is not None:
        write_recipe(results, chosen, wanted.out)


def _weights(results: Results, chosen: Selection, drop: bool) -> Weights:
    """Find the kept weights of settings of this study that nothing is to be asked of, and drop them if asked to.

    Where nothing is picked these are all: no setting keeps the limit, or the confirmation has upheld none.
    """
    kept, shared, waiting = [], 0, 0
    elsewhere = planned_elsewhere(results.records, results.study.study)
    # What was picked under another limit was handed over as picked, and stays.
    finished = (look for look in looks(results.records, results.study.study) if look.kind == "pick")
    picked = {look.picked.setting for look in finished if look.picked is not None}
    unasked: set[str] = set()
    if chosen.picked and chosen.row is not None and chosen.look is not None:
        seeds = unasked_seeds(results, chosen.look)
        unasked = {o.setting for o in fresh_of(results, chosen.row.setting) if o.seed in seeds}
    for plan in (results.plan, results.fresh_plan):
        for trajectory in plan.trajectories:
            mine = {s.key for s in trajectory.settings} - picked
            for setting in mine & set(results.records.weight_settings(trajectory.key)):
                if setting in unasked:
                    waiting += 1
                elif setting in elsewhere:
                    shared += 1
                else:
                    kept.append((trajectory.key, setting))
    if drop:
        # Not while a worker trains or asks these very settings.
        with Lease(results.records.store, results.study.study, say=lambda text: say(errors(), text)):
            for key, setting in kept:
                results.records.delete_weights(key, setting)
    return Weights(tuple(sorted(kept)), shared, waiting, drop)
