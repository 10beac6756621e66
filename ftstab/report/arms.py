"""The section of the report on arms: each pair with effect, interval, margin and verdict, and the compute beside it."""

from __future__ import annotations

from ftstab.arms.comparison import ArmsComparison
from ftstab.arms.words import COMPUTE_HEADERS, VERDICTS, basis, compute_cells, points
from ftstab.outcome import Outcome
from ftstab.report.escape import prose
from ftstab.report.style import plain_table

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
        f'<p class="note">{prose(text)}</p>'
        + plain_table("Arms at equal utility", headers, rows)
        + f'<p class="note">{prose(note)}</p>'
        + plain_table(
            "Compute of the arms, all seeds together", COMPUTE_HEADERS, [compute_cells(a) for a in found.arms]
        )
    )
