"""The driver of a confirmation: logs the look, has one candidate after the other asked, and tests each.

Workers ask (`ftstab.running.confirming`), through the same launchers as a sweep.  Writes the log of looks and nothing
else; the lease of the study is held, so that nothing changes the candidates meanwhile.
"""

from __future__ import annotations

import getpass
import os
import shlex
import socket
from collections.abc import Generator, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console

from ftstab.confirm import Question, Tested, new_run_claim, try_candidate
from ftstab.errors import StudyError
from ftstab.extent import extent
from ftstab.identity import digest
from ftstab.looks import Look, asked_on, begin, find, finish
from ftstab.outcome import Outcome
from ftstab.pick import Pick
from ftstab.plan import Job, Plan
from ftstab.recipes import Recipe, recipe_of
from ftstab.results import Results
from ftstab.running.confirm_half import read_half
from ftstab.running.dispatch import study_context
from ftstab.running.launcher import Launcher
from ftstab.running.one_by_one import Asked, Procedure, carry_out
from ftstab.running.progress import Show
from ftstab.selection import fresh_of, question_of, search_pick, unasked_seeds
from ftstab.statement import failure
from ftstab.store import Lease
from ftstab.terminal import say
from ftstab.wording.settings import described, trained_words

NOT_KEPT = "its weights aren't kept any more"


def confirm(
    results: Results,
    limit: float,
    error_rate: float,
    command: str,
    console: Console,
    launcher: Launcher | None = None,
) -> Look:
    """Test the candidates under ``limit`` on the confirmation half, or go on with it, or find it in the log.

    Where candidates that a finished look left out can be tested now, and stand before the first that failed, all are
    tested again in their order, in a look of its own that reads reused.  Answers that are stored aren't asked again.

    Args:
        results: the study.
        limit: largest rate allowed, a share.
        error_rate: probability allowed of picking a setting above it.
        command: the command that the user gave.
        console: where progress goes.
        launcher: None takes the one that the study file names.

    Raises:
        StudyError: there is no candidate, none can be tested, or the half is too small to show anything.
        FtstabError: a candidate couldn't be asked; the same command goes on.
    """
    study, records = results.study, results.records
    found = search_pick(results, limit)
    if not found.order:
        raise StudyError(
            f"study {study.study}: no setting keeps the {found.limit_name} of {limit:g} on the search half, so there "
            "is no candidate to confirm"
        )
    asked = question_of(results, found, error_rate)
    with Lease(records.store, study.study, say=partial(say, console)) as lease:
        look = find(records, study.study, asked)
        if look is None or look.result is None or _came_back(results, look):
            with console.status("reading the confirmation half"):
                confirming = _Confirming(results, found, asked, command, console, lease)
            look = confirming.test(launcher)
        elif unasked_seeds(results, look):
            with console.status("reading the confirmation half"):
                confirming = _Confirming(results, found, asked, command, console, lease)
            confirming.ask_recipe(look, launcher)
    return look


def check_finished(results: Results, limit: float, error_rate: float, retrain: bool) -> None:
    """Refuse a look that would be begun while the study isn't finished: a setting that is measured later may be a
    better candidate, and would find the half used.

    Args:
        results: the study.
        limit: largest rate allowed, a share.
        error_rate: probability allowed of picking a setting above it.
        retrain: whether weights that aren't kept are to be trained again first.

    Raises:
        StudyError: planned settings aren't measured, or a search isn't over.
    """
    have = extent(results)
    if have.whole:
        return
    look = find(
        results.records, results.study.study, question_of(results, search_pick(results, limit), error_rate)
    )
    if look is not None:
        again = bool(look.passed_over) if retrain else _came_back(results, look)
        if look.result is None or not again:
            return  # it is logged already
    command = shlex.join(["ftstab", "run", str(results.folder)])
    raise StudyError(
        f"study {results.study.study}: {have.text} What isn't measured yet may hold a better candidate, whose "
        f"confirmation would read reused. Finish the study first with `{command}`, or confirm what there is with "
        "--unfinished"
    )


def _came_back(results: Results, look: Look) -> bool:
    """Whether a candidate that ``look`` passed over has its weights now, so that it could come to another end."""
    return any(_has_weights(results, _of(results.outcomes, setting)) for setting in look.passed_over)


def _has_weights(results: Results, found: Outcome) -> bool:
    """Whether the weights of a setting are there; interpolation 0 is the start model."""
    return found.interpolation == 0 or found.setting in results.records.weight_settings(found.trajectory)


class _Confirming:
    """One study whose candidates are confirmed."""

    def __init__(
        self,
        results: Results,
        found: Pick,
        asked: Question,
        command: str,
        console: Console,
        lease: Lease,
    ) -> None:
        self.results, self.study, self.records = results, results.study, results.records
        self.found, self.asked, self.command = found, asked, command
        self.console, self.lease = console, lease
        base_dir = Path(results.about["base_dir"])
        self.half = read_half(results, base_dir)
        self.context = study_context(self.study, results.plan, base_dir, lease, command)

    # Looks

    def test(self, launcher: Launcher | None) -> Look:
        """Log the look, test the candidates, and log what came of it."""
        self.half.check_size(self.asked)
        left_out = self._left_out()
        look = begin(
            self.records,
            self.study.study,
            "pick",
            self.asked.key,
            self.asked,
            self.half.prompts,
            left_out,
            who(),
            self.command,
            limit_name=self.found.limit_name,
            judges=self.half.judges,
            unfinished=None if (have := extent(self.results)).whole else have.words,
            fresh={s: sorted(o.seed or 0 for o in fresh_of(self.results, s)) for s in self.asked.order},
        )
        for setting, why in look.left_out.items():
            say(self.console, f"left out: {self._row_name(setting)}: {why}")
        return finish(self.records, look, self._carried_out(self._test(look), launcher))

    def ask_recipe(self, look: Look, launcher: Launcher | None) -> Look:
        """Ask the fresh seeds of what ``look`` picked, in a look of their own."""
        chosen = look.picked
        assert chosen is not None
        seeds = sorted(o.seed or 0 for o in fresh_of(self.results, chosen.setting))
        later = begin(
            self.records,
            self.study.study,
            "recipe",
            digest({"of": look.key, "setting": chosen.setting, "seeds": seeds}),
            self.asked,
            self.half.prompts,
            {},
            who(),
            self.command,
            setting=chosen.setting,
            of=look.number,
            seeds=seeds,
        )

        def procedure() -> Procedure:
            claim, heard = yield from self._recipe(chosen.setting)
            return {"recipe": claim, "asked_on": asked_on(heard)}

        return finish(self.records, later, self._carried_out(procedure(), launcher))

    def _test(self, look: Look) -> Procedure:
        """Ask and test, in order, up to the first failure; then the fresh seeds of what is picked."""
        tested: list[Tested] = []
        order = [s for s in look.question.order if s not in look.left_out]
        candidates = [self._asked(self.results.plan, self.results.outcomes, s) for s in order]
        line = [self._start(), *candidates, *self._seeds(order[-1])]
        start = yield line
        heard = [start]
        for number, setting in enumerate(order, 1):
            outcome = yield line[number:]
            heard.append(outcome)
            one = try_candidate(outcome, start, self.half.further_rates(outcome), self.study, self.asked)
            tested.append(one)
            said = "passed" if one.passed else f"failed: {failure(one, self.asked.error_rate)}"
            say(self.console, f"candidate {number} of {len(order)}: {self._row_name(setting)}: {said}")
            if not one.passed:
                break
        recipe, seeds = None, list[Outcome]()
        chosen = next((one for one in reversed(tested) if one.passed), None)
        if chosen is not None and fresh_of(self.results, chosen.setting):
            recipe, seeds = yield from self._recipe(chosen.setting)
        return {
            "start": {"trajectory": start.trajectory, "outcome": start.key},
            "tested": [asdict(one) for one in tested],
            "picked": chosen.setting if chosen else None,
            "recipe": recipe,
            "asked_on": asked_on([*heard, *seeds]),
        }

    def _recipe(
        self, setting: str
    ) -> Generator[Sequence[Asked], Outcome, tuple[dict[str, Any], list[Outcome]]]:
        """Ask the fresh seeds of the recipe of ``setting``; return what they say of a new run, and what they scored."""
        asked, missing, line = [], {}, self._seeds(setting)
        for fresh in fresh_of(self.results, setting):
            if fresh.status != "scored":
                asked.append(fresh)
            elif not self._kept(fresh):
                missing[str(fresh.seed)] = NOT_KEPT
            else:
                asked.append((yield line))
                line = line[1:]
                say(self.console, f"fresh seed {fresh.seed}: asked")
        recipe = Recipe(recipe_of(_of(self.results.outcomes, setting)), (), tuple(asked))
        return asdict(new_run_claim(recipe, missing)), [o for o in asked if o.status == "scored"]

    # What is asked

    def _start(self) -> Asked:
        start = self.results.need_start()
        job = replace(self.results.plan.start_job, confirms=start.key)
        return Asked(job, start, self.half.questions.outcome_key(start.setting), "start model")

    def _seeds(self, setting: str) -> list[Asked]:
        """The fresh seeds of the recipe of ``setting`` that can be asked."""
        able = [f for f in fresh_of(self.results, setting) if f.status == "scored" and self._kept(f)]
        return [self._asked(self.results.fresh_plan, self.results.fresh, f.setting) for f in able]

    def _asked(self, plan: Plan, outcomes: Sequence[Outcome], setting: str) -> Asked:
        trajectory, one = next((t, s) for t in plan.trajectories for s in t.settings if s.key == setting)
        found = _of(outcomes, setting)
        job = Job(replace(trajectory, settings=(one,)), confirms=found.key)
        name = f"{trained_words(trajectory, self.results.study)}, step {one.step}, {one.profile.label}"
        return Asked(job, found, self.half.questions.outcome_key(setting), name)

    def _left_out(self) -> dict[str, str]:
        """Candidates that can't be tested, each with the reason: neither weights nor answers to this half are there.

        Raises:
            StudyError: that is all of them.
        """
        lost = {s: NOT_KEPT for s in self.asked.order if not self._kept(_of(self.results.outcomes, s))}
        if len(lost) == len(self.asked.order):
            raise StudyError(
                f"study {self.study.study}: the weights of none of its {len(lost)} candidates are kept any more "
                f"(keep_weights: {self.study.keep_weights}); train them again with\n  {_retrain(self.command)}"
            )
        return lost

    def _kept(self, found: Outcome) -> bool:
        """Whether a setting can be asked: its weights are there, or it was asked this half before."""
        return self.half.is_asked(found) or _has_weights(self.results, found)

    def _row_name(self, setting: str) -> str:
        row = next(r for r in self.found.order if r.setting == setting)
        return described(row)

    def _carried_out(self, procedure: Procedure, launcher: Launcher | None) -> dict[str, Any]:
        return carry_out(
            procedure,
            self.context,
            self.records,
            self.lease,
            self.results.folder,
            Show(self.console, self.study),
            launcher,
        )


def _of(outcomes: Sequence[Outcome], setting: str) -> Outcome:
    return next(o for o in outcomes if o.setting == setting)


def _retrain(command: str) -> str:
    return f"{command} --retrain"


def who() -> str:
    """User and host, as the log of looks names them."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = f"user {os.getuid()}"  # a container whose users have no names
    return f"{user}@{socket.gethostname()}"
