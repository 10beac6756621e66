"""The log of looks at the confirmation half: who asked what, when, and what came of it (measurement rule 11).

The confirmation half is worth its name once.  Every look is written down before its first prompt is asked; a later
one with another question, or with candidates that were left out before, reads "reused", in whatever study of the
store it was.  Reads and writes the store.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from ftstab.confirm import NewRunClaim, Question, Tested, picked
from ftstab.errors import StudyError
from ftstab.identity import digest
from ftstab.outcome import Outcome
from ftstab.store import Records

Kind = Literal["pick", "recipe", "arms"]
"""`pick`: candidates are tested.  `recipe`: fresh seeds of what is picked are asked.  `arms`: settings of arms are
asked, for `ftstab compare --arms`."""


@dataclass(frozen=True)
class ArmsQuestion:
    """What a look of arms asks.  The same question is the same look.

    Attributes:
        evaluation: identity of what is asked, with its judges.
        arms: the arms, as the study file defines them.
        margin: within which they are equivalent.
        order: settings that are asked.
    """

    evaluation: str
    arms: Mapping[str, Any]
    margin: float
    order: tuple[str, ...]

    @property
    def key(self) -> str:
        """Identity of the question."""
        return digest(asdict(self) | {"order": list(self.order)})


@dataclass(frozen=True)
class Look:
    """One look at the confirmation half.

    Attributes:
        study: the study that it belongs to.
        number: from 1, in the order of the study's looks.
        about: who asked what, and when; see `begin`.
        result: what it found; None while it isn't finished.
    """

    study: str
    number: int
    about: dict[str, Any]
    result: dict[str, Any] | None

    @property
    def kind(self) -> Kind:
        """What kind of look it is."""
        kind: Kind = self.about["kind"]
        return kind

    @property
    def key(self) -> str:
        """Identity of its question."""
        return str(self.about["key"])

    @property
    def question(self) -> Question:
        """The question of the candidates; a look of arms has none."""
        plain = self.about["question"]
        return Question(**{**plain, "order": tuple(plain["order"])})

    @property
    def arms_question(self) -> ArmsQuestion:
        """The question of the arms; only a look of arms has one."""
        plain = self.about["question"]
        return ArmsQuestion(**{**plain, "order": tuple(plain["order"])})

    @property
    def reused(self) -> int:
        """Earlier looks with other questions at prompts of the same half."""
        return len(self.about["earlier"])

    @property
    def unfinished(self) -> str | None:
        """How much of the study was measured when it was begun, in words; None where that was all, or wasn't logged."""
        found: str | None = self.about.get("unfinished")
        return found

    @property
    def left_out(self) -> dict[str, str]:
        """Candidates that couldn't be tested, by setting, each with the reason."""
        return dict(self.about["left_out"])

    @property
    def passed_over(self) -> tuple[str, ...]:
        """Candidates that were left out and that testing would come to: none behind the first that failed."""
        failed = next((one.setting for one in self.tested if not one.passed), None)
        order = self.question.order
        return tuple(
            s for s in order[: None if failed is None else order.index(failed)] if s in self.left_out
        )

    @property
    def tested(self) -> tuple[Tested, ...]:
        """The tests made, in order."""
        return tuple(Tested.from_dict(one) for one in (self.result or {}).get("tested", []))

    @property
    def picked(self) -> Tested | None:
        """What is picked; None if nothing is."""
        return picked(self.tested)

    @property
    def start(self) -> dict[str, str] | None:
        """Where what the start model said of the half lies: its `trajectory` and the key of its `outcome`; None where
        it wasn't asked."""
        found: dict[str, str] | None = (self.result or {}).get("start")
        return found

    @property
    def claim(self) -> NewRunClaim | None:
        """What fresh seeds say of a new run, where they were asked."""
        plain = (self.result or {}).get("recipe")
        if plain is None:
            return None
        return NewRunClaim(**{**plain, **{k: tuple(plain[k]) for k in ("seeds", "diverged", "rates")}})

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON data, without the list of prompts."""
        about = {k: v for k, v in self.about.items() if k != "prompts"}
        return {
            "number": self.number,
            "study": self.study,
            "reused": self.reused,
            **about,
            "result": self.result,
        }


def looks(records: Records, study: str) -> list[Look]:
    """Every look of a study, in order."""
    return [Look(study, r.number, r.about, r.result) for r in records.looks(study)]


_ASKED: dict[Kind, str] = {
    "pick": "candidates",
    "recipe": "fresh seeds of what was picked",
    "arms": "settings of arms",
}


def look_words(look: Look) -> str:
    """Return a look in one line: when it was begun, what it asked, and what came of it."""
    began = f"{look.number}: {look.about['when']}, {_ASKED[look.kind]}"
    if look.result is None:
        return f"{began}, not finished"
    if look.kind != "pick":
        return began
    began += f" under a limit of {100 * look.question.limit:.1f} %"
    return (
        f"{began}, nothing confirmed" if look.picked is None else f"{began}, picked {look.picked.setting[:8]}"
    )


def begin(
    records: Records,
    study: str,
    kind: Kind,
    key: str,
    asked: Question | ArmsQuestion,
    prompts: Collection[str],
    left_out: dict[str, str],
    who: str,
    command: str,
    **more: Any,
) -> Look:
    """Log that a look begins, or return the one that asked the same of the same candidates and isn't finished.

    A look of candidates that an earlier one left out is another one: it may come to another end, so it reads reused.

    Args:
        records: the store.
        study: name of the study.
        kind: what kind of look it is.
        key: identity of its question.
        asked: the question of the candidates.
        prompts: digests of the prompts of the half, by which looks of other studies are known.
        left_out: candidates that can't be tested, each with the reason.
        who: user and host.
        command: the command that was given.
        more: further facts for the record, plain data.
    """
    for look in looks(records, study):
        if look.key == key and look.kind == kind and look.left_out == left_out and look.result is None:
            return look
    about = {
        "kind": kind,
        "key": key,
        "question": asdict(asked),
        "left_out": left_out,
        "who": who,
        "when": now(),
        "command": command,
        "earlier": _earlier(records, key, left_out, prompts),
        "prompts": sorted(prompts),
        **more,
    }
    return _read(records, study, records.add_look(study, about))


def finish(records: Records, look: Look, result: dict[str, Any]) -> Look:
    """Log what a look found."""
    records.put_look_result(look.study, look.number, result | {"when": now()})
    return _read(records, look.study, look.number)


def asked_on(outcomes: Iterable[Outcome]) -> list[dict[str, Any]]:
    """Return what settings were asked the confirmation half on, as a look's result carries it.

    One entry for each environment (`ftstab.running.environment`; None where it wasn't recorded) and command, with the
    settings that were asked so, and when the first and the last of them were.  A setting stands in several where some
    of its answers are of an earlier try elsewhere.

    Args:
        outcomes: on the confirmation half.
    """
    found: dict[str, dict[str, Any]] = {}
    for outcome in outcomes:
        record = outcome.record
        for environment in record.get("asked_on", [None]):
            told = {"environment": environment, "command": record.get("command")}
            entry = found.setdefault(digest(told), told | {"first": None, "last": None, "settings": []})
            if (at := record.get("asked_at")) is not None:
                entry["first"], entry["last"] = min(entry["first"] or at, at), max(entry["last"] or at, at)
            entry["settings"].append(outcome.setting)
    return list(found.values())


def find(records: Records, study: str, asked: Question, any_error_rate: bool = False) -> Look | None:
    """Return the look that answers ``asked``: the last finished one, or else the last begun; None if none does.

    Args:
        records: the store.
        study: name of the study.
        asked: the question.
        any_error_rate: whether a look at another error rate will do.
    """

    def plain(one: Question) -> dict[str, Any]:
        return asdict(one) | ({"error_rate": None} if any_error_rate else {})

    same = [k for k in looks(records, study) if k.kind == "pick" and plain(k.question) == plain(asked)]
    same.sort(key=lambda look: (look.result is not None, look.number))
    return same[-1] if same else None


def arms_look(records: Records, study: str, settings: Collection[str]) -> Look | None:
    """Return the last finished look of arms that asked all of ``settings``; None if there is none."""
    found = [
        look
        for look in looks(records, study)
        if look.kind == "arms" and look.result is not None and set(settings) <= set(look.result["asked"])
    ]
    return found[-1] if found else None


def recipe_look(records: Records, look: Look) -> Look | None:
    """Return the last finished look that asked fresh seeds of what ``look`` picked, ``look`` itself among them."""
    chosen = look.picked
    if chosen is None:
        return None
    later = [
        k
        for k in looks(records, look.study)
        if k.kind == "recipe" and k.claim is not None and k.about["setting"] == chosen.setting
        if k.about["of"] == look.number
    ]
    return later[-1] if later else look if look.claim is not None else None


def now() -> str:
    """The time, as it is logged."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _read(records: Records, study: str, number: int) -> Look:
    """A look as it lies in the store, so that it is the same whenever it is read."""
    return next(look for look in looks(records, study) if look.number == number)


def _earlier(records: Records, key: str, left_out: Collection[str], prompts: Collection[str]) -> list[str]:
    """Looks of any study of the store that asked something else of some of ``prompts``, or of other candidates."""
    found = []
    for study in records.studies():
        for look in looks(records, study):
            if "prompts" not in look.about:
                raise StudyError(
                    f"study {study}: its look {look.number} at the confirmation half lists no prompts, so it can't be "
                    "told whether this half was used before; use the version of ftstab that wrote it"
                )
            other = look.key != key or set(look.left_out) != set(left_out)
            if other and set(look.about["prompts"]) & set(prompts):
                found.append(f"{study}/{look.number}")
    return found
