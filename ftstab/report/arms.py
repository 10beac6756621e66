"""The section of the report on arms: each pair with effect, interval, margin and verdict, and the compute beside it."""

from __future__ import annotations

from collections.abc import Sequence

from ftstab.arms.comparison import ArmsComparison
from ftstab.arms.words import COMPUTE_HEADERS, VERDICTS, basis, compute_cells, points
from ftstab.outcome import Outcome
from ftstab.report.escape import escape
from ftstab.report.style import scroll_box

_HEADERS = (
    "arm",
    "against",
    "verdict",
    "harm at equal utility, points",
    "95 %",
    "margin",
    "harm from",
    "seeds",
    "all at once?",
)
LONG = 24
"""Longest text of a cell, in characters, that isn't broken into lines."""


def arms_section(found: ArmsComparison, start: Outcome) -> str:
    """Return the section's body as HTML."""
    text = " ".join([*basis(found, start), *found.notes])
    headers = [h if h != "95 %" else f"{100 * found.level:g} %" for h in _HEADERS]
    rows = []
    for pair in found.pairs:
        effect = pair.effect
        if effect.value is None or effect.low is None or effect.high is None:
            rows.append([pair.first, pair.second, f"no claim: {effect.reason}", "–", "–", "–", "–", "–", "–"])
            continue
        rows.append(
            [
                pair.first,
                pair.second,
                VERDICTS[effect.verdict],
                points(effect.value),
                f"{points(effect.low)} to {points(effect.high)}",
                f"±{100 * found.margin:g}",
                "search half" if pair.look is None else "confirmation half",
                str(len(effect.seeds)),
                "yes" if effect.family else "no",
            ]
        )
    note = (
        "All at once: whether the verdict stays with intervals that hold for the first arm against all others of the "
        "study together. Below 0 the arm is less harmful."
    )
    return (
        f'<p class="note">{escape(text)}</p>'
        + _table("Arms at equal utility", headers, rows)
        + f'<p class="note">{escape(note)}</p>'
        + _table(
            "Compute of the arms, all seeds together", COMPUTE_HEADERS, [compute_cells(a) for a in found.arms]
        )
    )


def _table(label: str, headers: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f'<th scope="col" class="text">{escape(h)}</th>' for h in headers)
    body = "".join("<tr>" + "".join(map(_cell, row)) + "</tr>" for row in rows)
    return scroll_box(
        f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(label)}">'
        f'<table class="plain"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
    )


def _cell(text: str) -> str:
    css = "text wide" if len(text) > LONG else "text"
    return f'<td class="{css}">{escape(text)}</td>'
