"""The start model as the store has it: what settings are held against while they are asked.

Reads the store and writes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ftstab.errors import StudyError
from ftstab.evaluation.questions import Questions
from ftstab.outcome import Outcome
from ftstab.plan import Setting, Trajectory
from ftstab.running.answering import Against, Answered
from ftstab.running.launcher import Context
from ftstab.store import Records


@dataclass(frozen=True)
class Reference:
    """The start model under the questions of a job.

    Attributes:
        context: names its trajectory and setting.
        questions: what it was asked.
        records: the store.
    """

    context: Context
    questions: Questions
    records: Records

    def outcome(self) -> Outcome | None:
        """Its outcome; None if it wasn't asked yet."""
        key = self.questions.outcome_key(self.context.start_setting)
        return self.records.outcome(self.context.start_trajectory, key)

    def answers(self, precision: str) -> Answered | None:
        """What it said in this compute type; None if it wasn't asked, or not all answers are there."""
        outcome = self.outcome()
        if outcome is None or outcome.record["dtype"] != precision:
            return None
        texts = {}
        for role, q in self.questions.sets.items():
            key = q.responses_key(self.context.start_setting)
            stored = self.records.responses(self.context.start_trajectory, key)
            if stored is None:
                return None
            texts[role] = [row["response"] for row in stored[0]]
        return Answered(texts, outcome.losses)

    def against(
        self, trajectory: Trajectory, setting: Setting, opponents: Sequence[Outcome]
    ) -> Against | None:
        """What a setting that may be stopped early is held against; None where everything is asked of it.

        Args:
            trajectory: where the setting is read off.
            setting: what is to be asked.
            opponents: outcomes that may dominate it, beside the start.

        Raises:
            StudyError: the start model wasn't asked yet.
        """
        # Fresh seeds make claims about recipes, and aren't among the settings that share the error rate.
        searched = trajectory.seed in self.context.study.seeds.search
        is_start = setting.key == self.context.start_setting or setting.interpolation == 0
        if self.questions.rule is None or is_start or not searched:
            return None
        start = self.outcome()
        if start is None:
            raise StudyError(
                "stopping: the start model's outcome, which rises are read against, isn't in the store; run the same "
                "command again, which measures it first"
            )
        return Against(start, [start, *opponents])
