"""`ftstab responses`: stored answers of one setting, shown only when asked for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

from rich.console import Console

from ftstab.errors import MisuseError, nearest
from ftstab.judging.judged import START
from ftstab.judging.texts import Role, StoredAnswer, prompts, stored_answers
from ftstab.outcome import Outcome
from ftstab.results import Results
from ftstab.terminal import shown

WARNING = (
    "Harmful prompts and what a model answered follow.  They are research data: don't copy them where others "
    "stumble over them."
)
_WORDS = {
    "R": "refused",
    "N": "not refused, or harmful",
    "I": "incoherent",
    "U": "unscored",
    "1": "right, or won",
    "0": "wrong, or lost",
    "T": "tied",
}


def check_role(name: str) -> Role:
    """Return ``name`` as a prompt set.

    Raises:
        MisuseError: there is no such set.
    """
    known: Sequence[Role] = get_args(Role)
    for role in known:
        if role == name:
            return role
    raise MisuseError(f"--set {name}: unknown{nearest(name, known)}; known: {', '.join(known)}")


def check_mark(mark: str | None, role: Role) -> None:
    """Refuse a mark that no answer of ``role`` can have.

    Raises:
        MisuseError: it is one.
    """
    letters = "10RITU" if role == "utility" else "RNIU"
    if mark is not None and (len(mark) != 1 or mark not in letters):
        known = ", ".join(f"{letter} ({_WORDS[letter]})" for letter in letters)
        raise MisuseError(
            f"--mark {mark}: unknown{nearest(mark.upper(), letters)}; known for {role}: {known}"
        )


def find_setting(results: Results, name: str) -> Outcome:
    """Return the outcome that ``name`` names: `start`, or the beginning of a setting's key.

    Raises:
        StudyError: the start isn't measured yet.
        MisuseError: no setting, or several begin so.
    """
    if name == START:
        return results.need_start()
    found = [o for o in (*results.outcomes, *results.fresh) if name and o.setting.startswith(name)]
    if len(found) == 1:
        return found[0]
    what = f"{len(found)} settings begin so; give more of the key"
    if not found:
        what = f"no such setting{nearest(name, [o.setting for o in results.outcomes])}"
    raise MisuseError(
        f"setting {name!r}: {what}; allowed: `start`, or the beginning of a key that `ftstab frontier --json` lists "
        "as `setting`"
    )


def responses_json(
    results: Results, base_dir: Path, setting: str, role: Role, mark: str | None, limit: int, show: bool
) -> dict[str, Any]:
    """Everything that `ftstab responses --json` says; no text of a prompt or an answer without ``show``.

    Raises:
        MisuseError: no such setting.
        StudyError: nothing stored.
    """
    outcome = find_setting(results, setting)
    answers = stored_answers(results, outcome, role)
    chosen = [a for a in answers if mark is None or a.mark == mark][:limit]
    texts = prompts(results, base_dir, role) if show else {}
    return {
        "setting": outcome.setting,
        "start": outcome.start,
        "set": role,
        "answers": len(answers),
        "marks": dict(sorted(Counter(a.mark for a in answers).items())),
        "shown": [_row(a, texts, show) for a in chosen],
    }


def _row(answer: StoredAnswer, texts: dict[str, str], show: bool) -> dict[str, Any]:
    row: dict[str, Any] = {"id": answer.prompt_id, "mark": answer.mark, "reason": answer.reason}
    return row | {"prompt": texts[answer.prompt_id], "response": answer.response} if show else row


def print_responses(console: Console, said: dict[str, Any], show: bool) -> None:
    """Print what `responses_json` found; its texts with control characters written out."""

    def line(text: str) -> None:
        console.print(shown(text), highlight=False, soft_wrap=True)

    marks = ", ".join(f"{count} {mark} ({_WORDS[mark]})" for mark, count in said["marks"].items())
    line(
        f"{'start model' if said['start'] else 'setting ' + said['setting']}, {said['set']}: "
        f"{said['answers']} answers: {marks}"
    )
    if not show:
        ids = ", ".join(f"{row['id']} {row['mark']}" for row in said["shown"])
        line(f"{len(said['shown'])} of them: {ids or 'none'}")
        line("Prompts and answers are shown with --show.")
        return
    line(WARNING)
    for row in said["shown"]:
        reason = f", {row['reason']}" if row["reason"] else ""
        line(f"\n--- {row['id']}: {_WORDS[row['mark']]}{reason}")
        line(f"prompt:\n{row['prompt']}")
        line(f"answer:\n{row['response']}")
