"""What an outcome says beside what was measured: which setting of which attempt it is, and under what it was made.

Pure: makes records, and touches neither the store nor the model.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ftstab.evaluation.questions import Questions
from ftstab.outcome import Outcome
from ftstab.plan import Setting
from ftstab.running.launcher import Context
from ftstab.running.resume import Progress
from ftstab.training.averaging import half_life, retained_weight


@dataclass(frozen=True)
class Account:
    """What the outcomes of one job have in common.

    Attributes:
        context: the study, its start model and the command.
        questions: what is asked.
        base: the start model, as its record says it.
        train_data: the training rows, as they are recorded.
        environment: what is trained and asked on.
    """

    context: Context
    questions: Questions
    base: Mapping[str, Any]
    train_data: Mapping[str, Any]
    environment: Mapping[str, Any]

    def scored(
        self,
        progress: Progress,
        setting: Setting,
        measured: Mapping[str, Any],
        fingerprint: str,
        spikes: int,
        answering: float,
    ) -> Outcome:
        """The outcome of a setting that was asked.

        Args:
            progress: its trajectory, at the step of the setting.
            setting: what was asked.
            measured: what `Answering.measure` returned.
            fingerprint: hash of the weights that answered.
            spikes: spikes of the loss so far.
            answering: seconds that asking and judging took.
        """
        diagnostics = {
            "retained_weight": retained_weight(setting.profile, setting.step),
            "half_life": half_life(setting.profile, setting.step),
            "spikes": float(spikes),
        }
        return Outcome(
            **self._described(progress, setting),
            status="scored",
            **measured,
            diagnostics=diagnostics | _fed_back(progress) | progress.latest,
            record=self._record(progress, setting, fingerprint),
            seconds={"training": progress.training_seconds, "answering": answering},
        )

    def diverged(self, progress: Progress, setting: Setting, reason: str | None) -> Outcome:
        """The outcome of a setting that its trajectory never reached, for ``reason``."""
        return Outcome(
            **self._described(progress, setting),
            status="diverged",
            reason=reason,
            diagnostics=_fed_back(progress),
            record=self._record(progress, setting, None),
            seconds={"training": progress.training_seconds},
        )

    def _described(self, progress: Progress, setting: Setting) -> dict[str, Any]:
        trajectory = progress.trajectory
        start = setting.key == self.context.start_setting
        return {
            "key": self.questions.outcome_key(setting.key),
            "setting": setting.key,
            "trajectory": trajectory.key,
            "attempt": progress.attempt,
            "start": start,
            "training": {} if start else trajectory.training.model_dump(),
            "seed": None if start else trajectory.seed,
            "step": setting.step,
            "profile": setting.profile,
            "interpolation": setting.interpolation,
        }

    def _record(self, progress: Progress, setting: Setting, fingerprint: str | None) -> dict[str, Any]:
        evaluation = self.context.study.evaluation
        return {
            "base": self.base,
            "train_data": self.train_data,
            "half": self.questions.half,
            "decoding": {"greedy": True, "turns": 1, **evaluation.decoding.model_dump()},
            "split": evaluation.split.model_dump(),
            "template": self.context.study.template.model_dump(),
            "dtype": progress.trajectory.training.precision,
            "weights_sha256": fingerprint,
            "environment": self.environment,
            "command": self.context.command,
            "responses": {role: q.responses_key(setting.key) for role, q in self.questions.sets.items()},
        }


def _fed_back(progress: Progress) -> dict[str, float]:
    """The decay that training continues from: the part of a recipe that `training` doesn't hold."""
    decay = progress.trajectory.feedback_decay
    return {} if decay is None else {"feedback_decay": decay}
