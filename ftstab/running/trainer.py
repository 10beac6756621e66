"""Trains a job, and at each step of the grid asks and stores every setting.

The loop has two parts: what happens once in a while (ask settings, run a branch, save), then the single update.
It runs one time more than there are updates, so that the last settings need no second copy of the code.
Writes outcomes itself; attempts and states by `ftstab.running.resume`, weights by `ftstab.running.weights`, answers and
verdicts by `ftstab.running.answering`.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from ftstab.data.training import read_training
from ftstab.errors import StudyError
from ftstab.evaluation.margin import Margin
from ftstab.evaluation.questions import make_questions
from ftstab.hopeless import hopeless_reason, unfounded
from ftstab.models.align import start_model
from ftstab.models.load import device_for, load_model, make_chat
from ftstab.outcome import Outcome, Profile
from ftstab.plan import Setting, Trajectory
from ftstab.running.account import Account, training_record
from ftstab.running.answering import Answering, weights_hash
from ftstab.running.at_work import AtWork, StopAskedError
from ftstab.running.copies import CopyKeeper, keeps_copies, open_copies
from ftstab.running.ending import Ending, ended_trajectories, may_go_on
from ftstab.running.environment import environment
from ftstab.running.kept import is_kept
from ftstab.running.kept_copies import attempt_with
from ftstab.running.launcher import Event
from ftstab.running.reference import Reference
from ftstab.running.resume import Progress, States
from ftstab.running.topping_up import Rest
from ftstab.running.weights import Keeper, named_weights
from ftstab.training.references import References
from ftstab.training.run import Run


class Trainer(AtWork):
    """Trains the job, and asks what is read off it."""

    def run(self) -> None:
        """Bring the job to its end; what the store has of it already isn't done again.

        Raises:
            StopAskedError: a stop was asked for.
            FtstabError: the job can't be done.
        """
        self.phase("loading the model")
        with self.clock.named("loading"):
            self._set_up()
        still_open = {t.key for t in self.job.trajectories if self._open(t)}
        for trajectory in ended_trajectories(self.job, still_open):
            self.ending.again(self.job, trajectory, self._begin(trajectory).outcomes)
        if not still_open:
            return
        progress = self._begin(self.job.trunk)
        if self._read_off(progress):
            return
        branches = {t.key: t for t in self.job.branches if t.key in still_open}
        self._go_on_from_state(progress, min((b.first for b in branches.values()), default=None))
        self._through(progress, list(branches.values()))

    def _set_up(self) -> None:
        """Load the model, and read and encode what it is trained on and asked."""
        context, study, job = self.context, self.study, self.job
        base_dir = Path(context.base_dir)
        start = start_model(study.base, base_dir)
        device = device_for(study.resources.gpus_per_trajectory)
        self.model = load_model(start.folder).to(device)
        chat = make_chat(start.folder, study.template, self.model.config)
        self.questions = make_questions(study, base_dir, chat)
        self.reference = Reference(context, self.questions, self.records)
        self.reference.check(self.model, start.folder)
        here = environment(device)
        data = read_training(study.data, base_dir)
        rows, mixed = chat.encode_training(data, job.trunk.training.max_length)
        if job.trunk.training.asks_reference:
            self.phase("reading the training rows with the start model")
            learned = chat.training_key(data)
            references = References.of(start.key, learned, study.template, job.trunk.training)
            rows = references.put_into(rows, start.folder, device, chat.pad_id)
        self.runner = Run(
            self.model,
            rows,
            data.hash,
            job.trunk,
            list(dict.fromkeys(s.profile for s in job.settings)),
            chat.pad_id,
            frozenset(s.step for s in job.settings),
            study.signals_every,
            mixed,
        )
        train_data = training_record(data, rows, self.runner)
        origin = (context.start_trajectory, context.start_setting)
        self.answering = Answering(
            study, self.model, chat, self.questions, self.records, origin, heed=self.heed_stop_often
        )
        openings = self.questions.openings
        self.margin = None if openings is None else Margin(self.model, chat, openings)
        self.keeper = Keeper(study, self.records, self.reference.outcome)
        self.ending = Ending(study, self.records, self.keeper)
        self.states = States(context, job, self.runner, self.records, self.clock, here)
        self.copies = CopyKeeper(self.records, self.runner, job, keeps_copies(study, job))
        self.account = Account(context, self.questions, start.about, train_data, here)
        topped = job.tops_up
        self.rest = (
            None
            if topped is None
            else Rest(context, chat, self.questions, self.records, topped, self.heed_stop_often)
        )

    # The loop

    def _through(self, progress: Progress, branches: list[Trajectory]) -> None:
        """Train a trajectory to its last open step, asking its settings and running its branches on the way."""
        last = max([*progress.open, *(b.first for b in branches)], default=0)
        while True:
            for setting in progress.open.pop(self.runner.step, []):
                with self._saved_if_stopped(progress):
                    self.heed_stop()
                    if self.job.restores:
                        self._restore(progress, setting)
                    else:
                        self._answer(progress, setting)
            for branch in [b for b in branches if b.first == self.runner.step]:
                self._branch(progress, branch)
            if self.runner.step >= last or self._left(progress, branches):
                break
            with self._saved_if_stopped(progress):
                self.heed_stop()
            if not self.job.unfinished:
                self.states.save_if_due(progress)
            if not self._update(progress, last):
                self._diverged(progress, progress.still_open)
                for begun in self._never_begun(branches):
                    self._diverged(begun, begun.still_open)
                break
        self.states.flush(progress)
        # A finished trajectory needs less; of one that is trained again, what was asked for is wanted.
        if not self.job.restores:
            self.keeper.drop_needless(progress.trajectory, progress.outcomes)
        if may_go_on(self.study, self.job, progress.trajectory, progress.outcomes, self.runner.step):
            self.states.here(progress)
        elif not self.job.unfinished:
            self.records.drop_states(progress.trajectory.key)
        self.copies.finish(progress)

    def _update(self, progress: Progress, last: int) -> bool:
        """One update; False if the trajectory has diverged."""
        with self.clock.named("training"):
            signals = self.runner.update()
        progress.updated(signals)
        if self.runner.diverged is None:
            # Before a state of this step is saved: whoever continues from it needs the copies up to there.
            with self.clock.whole("saving"):
                self.copies.put_if_due(progress)
        self.emit(Event("update", progress.trajectory.key, int(signals["step"]), last, signals["loss"]))
        return self.runner.diverged is None

    def _branch(self, trunk: Progress, branch: Trajectory) -> None:
        """Leave the trunk for a branch, and come back to where the trunk was."""
        # In the store, so that whatever ends the branch early costs nothing of the trunk; but not in the place of the
        # state that unfinished training goes on from.
        with self.states.left_for_a_while(trunk, stored=not self.job.unfinished):
            self.runner.follow(branch)
            begun = self._begin(branch)
            self._go_on_from_state(begun, None)
            self._through(begun, [])
        self.runner.follow(trunk.trajectory)

    def _read_off(self, progress: Progress) -> bool:
        """Ask what is open from kept copies of shadows; False where they don't hold all of it, and it is trained."""
        key = progress.trajectory.key
        found = None if self.job.restores else attempt_with(self.records, key, progress.still_open)
        if found is None:
            return False
        attempt, stored = found
        for step, settings in sorted(progress.open.items()):
            with self.clock.named("swapping weights"):
                self.runner.stand_at(step, stored, open_copies(self.records, key, attempt))
            self.states.look_back(progress, attempt, step)
            for setting in settings:
                self.heed_stop()
                self._answer(progress, setting)
        self.keeper.drop_needless(progress.trajectory, progress.outcomes)
        return True

    # Where a trajectory begins

    def _open(self, trajectory: Trajectory) -> dict[int, list[Setting]]:
        """Settings that the store hasn't, by step; or whose weights, or answers to a whole set, it hasn't, where those
        are wanted."""
        found: dict[int, list[Setting]] = {}
        outcomes = self._known(trajectory)
        for setting in trajectory.settings:
            known = outcomes.get(setting.key)
            if self.rest is not None:
                is_open = self.rest.is_open(known)
            else:
                is_open = known is None or (self.job.restores and not is_kept(self.records, known))
            if is_open:
                found.setdefault(setting.step, []).append(setting)
        return found

    def _known(self, trajectory: Trajectory) -> dict[str, Outcome]:
        """Outcomes of the settings of ``trajectory`` that the store has, by setting."""
        stored = self._stored(trajectory)
        if self.study.search.hopeless is None:
            return stored
        whole = {key: o for t in self.job.trajectories for key, o in self._stored(t).items()}
        again = unfounded(self.job, whole, self.reference.outcome(), self.study)
        return {key: outcome for key, outcome in stored.items() if key not in again}

    def _stored(self, trajectory: Trajectory) -> dict[str, Outcome]:
        mine = {self.questions.outcome_key(s.key) for s in trajectory.settings}
        return {o.setting: o for o in self.records.outcomes(trajectory.key) if o.key in mine}

    def _begin(self, trajectory: Trajectory) -> Progress:
        known = list(self._known(trajectory).values())
        return Progress(trajectory, attempt="", open=self._open(trajectory), outcomes=known)

    def _go_on_from_state(self, progress: Progress, first_branch: int | None) -> None:
        state = self.states.useful(progress, first_branch)
        if state is None or not self.copies.complete(progress.trajectory.key, state.attempt, state.step):
            self.states.begin(progress)
        else:
            self.emit(Event("resumed", progress.trajectory.key, state.step))
            self.states.resume(progress, state)
        self.copies.begin(progress)

    # Settings

    def _answer(self, progress: Progress, setting: Setting) -> None:
        """Ask one setting, store everything, and say so."""
        self.answering_phase(setting)
        began = time.perf_counter()
        if self.margin is not None:
            with self.clock.named("reading openings"):
                self.margin.meet_start(self.runner.installed(Profile(kind="last"), 0.0))
        with self.clock.named("swapping weights"):
            apart = self.runner.off_tracked(setting.profile)
            position = self.runner.position(setting.profile, setting.interpolation)
        with (
            self.clock.named("swapping weights"),
            self.runner.installed(setting.profile, setting.interpolation),
        ):
            tensors = named_weights(self.model)
            fingerprint = weights_hash(tensors)
            margin = None
            if self.margin is not None:
                with self.clock.named("reading openings"):
                    margin = self.margin.read(fingerprint)
            answered = None
            if setting.interpolation == 0:  # the start, whatever was trained
                answered = self.reference.answers(self.runner.training.precision)
            if answered is None:
                with self.clock.named("answering"):
                    against = self.reference.against(progress.trajectory, setting, progress.outcomes)
                    answered = self.answering.ask(fingerprint, against)
            with self.clock.named("judging"):
                measured = self.answering.measure(progress.trajectory.key, setting.key, answered, fingerprint)
            took = time.perf_counter() - began
            outcome = self.account.scored(
                progress, setting, measured, fingerprint, self.runner.spikes, took, margin, apart, position
            )
            if self.keeper.worth_keeping(progress, outcome):
                self.keeper.put(setting, tensors)
        self._store(progress, outcome)

    def _restore(self, progress: Progress, setting: Setting) -> None:
        """Keep the weights of a setting that is measured already, or have what a stop left out answered by them.

        Raises:
            StudyError: they aren't bit by bit those that were measured, so that what is known isn't about them.
        """
        key = self.questions.outcome_key(setting.key)
        found = self.records.outcome(progress.trajectory.key, key)
        with self.runner.installed(setting.profile, setting.interpolation):
            tensors = named_weights(self.model)
            if found is None or weights_hash(tensors) != found.record.get("weights_sha256"):
                raise StudyError(
                    f"setting {setting.key}: training it again gave other weights than those that were measured "
                    "(another machine, version or number of threads does that), so they can't stand for it"
                )
            if self.rest is None:
                self.keeper.put(setting, tensors)
            else:
                self.answering_phase(setting)
                with self.clock.named("answering"):
                    self.rest.answer(self.model, found)
        self.emit(Event("outcome", progress.trajectory.key, setting.step, outcome=key))

    def _diverged(self, progress: Progress, settings: Iterable[Setting]) -> None:
        """Store the settings that a diverged trajectory never reached, with the reason."""
        if self.job.restores:
            raise StudyError(
                f"trajectory {progress.trajectory.key}: training it again diverged ({self.runner.diverged}), which it "
                "hadn't when it was measured; another machine, version or number of threads does that"
            )
        for setting in settings:
            self._store(progress, self.account.unreached(progress, setting, "diverged", self.runner.diverged))

    def _never_begun(self, branches: list[Trajectory]) -> Iterator[Progress]:
        """Those of ``branches`` that a trunk which ends here doesn't come to, each with an attempt of its own."""
        for branch in (b for b in branches if b.first > self.runner.step):
            begun = self._begin(branch)
            self.states.begin(begun)
            yield begun

    def _left(self, progress: Progress, branches: list[Trajectory]) -> bool:
        """Whether the trajectory is left here because nothing is to be expected of it; its later settings say so, and
        those of ``branches`` that leave it later."""
        here = [o for o in progress.outcomes if o.step == self.runner.step]
        searched = progress.trajectory.seed in self.study.seeds.search
        if self.study.search.hopeless is None or not here or not searched or self.job.restores:
            return False
        why = hopeless_reason(here, self.reference.outcome(), self.study)
        if why is None:
            return False
        for ended in (progress, *self._never_begun(branches)):
            for setting in ended.still_open:
                self._store(ended, self.account.unreached(ended, setting, "hopeless", why))
        return True

    def _store(self, progress: Progress, outcome: Outcome) -> None:
        self.states.flush(progress)
        self.records.put_outcome(outcome)
        progress.outcomes.append(outcome)
        self.emit(Event("outcome", progress.trajectory.key, outcome.step, outcome=outcome.key))

    # Stopping and saying

    @contextmanager
    def _saved_if_stopped(self, progress: Progress) -> Iterator[None]:
        """Context after which, where a stop ends it, what was trained is saved."""
        try:
            yield
        except StopAskedError:
            if progress.since_save > 0 and not self.job.unfinished:
                self.phase("saving", progress.trajectory.key, self.runner.step)
                self.states.save(progress)
            raise
