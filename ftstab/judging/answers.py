"""Which stored answers of a setting a judge reads later.  Reads the store.

Where asking had stopped early, `ftstab judge run --top-up` has the rest of the set answered by the same weights.  The
answers to the whole set are then a piece of their own beside the ones that stopped, and the setting's outcome stays as
it is: its rates are from what its judge saw by then, and a rate that stopped shows its confidence sequence, whatever
is asked later (measurement rule 10).  Judges that read later read the whole set; how much of it they read no longer
depends on what any answer said, so their rates have intervals of a fixed number of prompts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from ftstab.errors import StudyError
from ftstab.identity import digest
from ftstab.outcome import Outcome
from ftstab.store import Records

JudgedRole = Literal["harmful", "over_refusal"]


@dataclass(frozen=True)
class AnswerSet:
    """Answers of one setting to one set of prompts, as they are stored.

    Attributes:
        key: their key in the store.
        n: how many they are.
        whole: whether every prompt of the set is answered.
    """

    key: str
    n: int
    whole: bool


def whole_key(responses: str) -> str:
    """Return the key of the answers to a whole set of which ``responses`` are those up to an early stop."""
    return digest({"responses": responses, "asked": "whole"})


def of_other_weights(about: Mapping[str, Any], outcome: Outcome) -> bool:
    """Whether answers, or verdicts, are about other weights than those that ``outcome`` measured.

    Trajectories are shared, and so are the keys of what is said in them: a study that trains one again, for a further
    judge, replaces what another has stored, and the weights may have come out otherwise.

    Args:
        about: what is stored beside them; that of earlier versions doesn't say whose they are, and is trusted.
        outcome: the setting.
    """
    said = about.get("weights_sha256")
    return said is not None and said != outcome.record.get("weights_sha256")


def check_weights(about: Mapping[str, Any], outcome: Outcome, role: str) -> None:
    """Refuse stored answers that other weights gave than those that ``outcome`` measured; arguments as above.

    Raises:
        StudyError: they did; says how they came there and what to do.
    """
    if of_other_weights(about, outcome):
        raise StudyError(
            f"setting {outcome.setting}: the stored answers to {role} aren't those that were measured: another study "
            f"of the store has trained trajectory {outcome.trajectory} again since, and its weights came out otherwise "
            "(another machine, version or number of threads does that). To measure the setting anew, delete "
            f"trajectories/{outcome.trajectory}/outcomes/{outcome.key} from the store and run the study again; a "
            "study with a `store` of its own keeps its answers"
        )


def answer_sets(records: Records, outcome: Outcome, role: JudgedRole) -> list[AnswerSet]:
    """Return the answers of ``outcome`` to a set: those that its rates are from, then, if there are any, the topped-up
    ones, which begin with them.

    Topped-up answers of other weights (the setting was measured anew since) don't count.  Empty where the set wasn't
    asked.
    """
    rate, key = outcome.rates.get(role), outcome.record.get("responses", {}).get(role)
    if rate is None or key is None:
        return []
    own = AnswerSet(key, rate.n, not rate.stopped)
    if own.whole:
        return [own]
    asked = records.responses(outcome.trajectory, key)
    more = records.responses(outcome.trajectory, whole_key(key))
    if asked is None or more is None:
        return [own]
    rows, about = more
    same = about.get("weights_sha256") == outcome.record.get("weights_sha256")
    if not same or len(rows) != rate.planned or rows[: rate.n] != asked[0]:
        return [own]
    return [own, AnswerSet(whole_key(key), len(rows), True)]


def is_whole(records: Records, outcome: Outcome, role: JudgedRole) -> bool:
    """Whether every prompt of a set is answered by the weights of ``outcome``."""
    return any(given.whole for given in answer_sets(records, outcome, role))
