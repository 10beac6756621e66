"""The table of all outcomes, sortable by its headers."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ftstab.constraints import Rise
from ftstab.demonstrations import Apart, apart
from ftstab.evaluation.contrast import Contrast
from ftstab.frontier import FrontierRow, numbers
from ftstab.frontier_row import SafetyLoss
from ftstab.judging.study import Correction
from ftstab.outcome import Score
from ftstab.report.escape import escape
from ftstab.report.figures import Named
from ftstab.report.style import scroll_box
from ftstab.stats import Method
from ftstab.wording.numbers import ends, number, percent
from ftstab.wording.rates import HIT_WORDS, RATE_WORDS, asked_words, counts_words
from ftstab.wording.utility import GAIN_UNITS, METRIC_WORDS, gain_text, score_ends, score_text

CONTRAST = "refused: harmful minus look-alikes, points"
"""Whether a model tells harmful prompts from safe ones (measurement rule 5)."""


@dataclass(frozen=True)
class Cell:
    """One cell.  `sort` is what it is ordered by, None for "nothing to order by": always last."""

    html: str
    sort: float | str | None
    css: str = ""


def outcome_table(
    rows: Sequence[FrontierRow],
    start: FrontierRow,
    errors: Correction | None = None,
    unseen: Collection[str] = (),
    interval: Method = "wilson",
    named: Named | None = None,
) -> str:
    """Return the table: the start in a body of its own that stays on top, then every setting.

    Args:
        rows: the settings.
        start: the start model.
        errors: what labels say of the judge: its corrected rates stand beside the raw ones.
        unseen: harm categories without refusal demonstrations: pooled, they stand beside those with some.
        interval: how intervals of pooled categories are made (`Evaluation.interval`).
        named: the setting that the report names.
    """
    errors = errors if errors is not None and errors.rates else None
    by_key = numbers(rows)
    names = rows[0].varied if rows else ()
    halves = {row.key: apart(row.rate, unseen, interval) for row in (start, *rows)}
    told_apart = halves[start.key] is not None
    columns = _headers(names, start, errors is not None, told_apart)
    head = "".join(
        f'<th scope="col" aria-sort="none" class="{css}"><button type="button">{escape(title)}</button></th>'
        for title, css in columns
    )
    secondary, margin = start.secondary is not None, start.safety_loss is not None

    def line(row: FrontierRow) -> str:
        pools = _apart(halves[row.key]) if told_apart else []
        called = named.word if named is not None and named.key == row.key else ""
        return _line(row, names, by_key, called, secondary, margin, errors, pools)

    first, body = line(start), "".join(map(line, rows))
    return scroll_box(
        '<div class="scroll" tabindex="0" role="region" aria-label="Table of all settings">'
        f'<table id="outcomes"><thead><tr>{head}</tr></thead><tbody>{first}</tbody>'
        f"<tbody>{body}</tbody></table></div>"
    )


def _headers(
    names: Sequence[str], start: FrontierRow, corrected: bool, told_apart: bool
) -> list[tuple[str, str]]:
    rate = RATE_WORDS[start.rate.name] if start.rate else "rate"
    metric = METRIC_WORDS[start.utility.metric] if start.utility else "utility"
    unit = GAIN_UNITS[start.utility.metric] if start.utility else ""
    found = [("number", "")]
    found += [
        ("step" if n == "steps" else n.replace("_", " "), "text" if n == "averaging" else "") for n in names
    ]
    found += [
        (f"{rate}{', raw' if corrected else ''}, %", ""),
        *([("corrected, %", "")] if corrected else []),
        (f"gain over the start, {unit}", ""),
        (metric, ""),
        ("on the frontier?", "text"),
        ("by point values?", "text"),
        ("over-refusal, %", ""),
        ("rise, points", ""),
        (CONTRAST, ""),
        ("status", "text"),
        ("gain shown?", "text"),
        ("share of resamples, %", ""),
        ("seed", ""),
    ]
    if told_apart:
        hit = HIT_WORDS[start.rate.name] if start.rate else "counted"
        kinds = ("with refusal demonstrations", "without them †")
        found += [(f"{hit}, categories {kind}, %", "") for kind in kinds]
    found += [("counts", "text")]
    found += [("incoherent", ""), ("unscored", ""), ("right / wrong / refused", "")]
    found += [(METRIC_WORDS[start.secondary.metric], "")] if start.secondary else []
    found += [("safety loss, nats", "")] if start.safety_loss is not None else []
    found += [("weight kept on start, %", ""), ("half-life, updates", ""), ("incoherent at most, %", "")]
    found += [("along the way, rho", ""), ("distance from the start", ""), ("nearest snapshot, step", "")]
    found += [("trajectory", "text"), ("attempt", "text")]
    return found


def _line(
    row: FrontierRow,
    names: Sequence[str],
    by_key: Mapping[str, int],
    called: str,
    secondary: bool,
    margin: bool,
    errors: Correction | None,
    pools: Sequence[Cell],
) -> str:
    css = "start" if row.start else ("frontier" if row.on_frontier else ("" if row.feasible else "off"))
    cells = [_rank(row, by_key, called), *(_parameter(row, n) for n in names)]
    shown, *counts = _rate(row)
    score, gained, sure, split = _utility(row)
    cells += [
        shown,
        *([] if errors is None else [_corrected(row, errors)]),
        gained,
        score,
        _class(row),
        _by_values(row),
    ]
    cells += [*_over_refusal(row), _status(row), sure, _share(row.frontier_share), _value(row.seed)]
    cells += [*pools, *counts, split]
    cells += [_score(row.secondary)] * secondary
    cells += [_safety_loss(row.safety_loss)] * margin
    cells += [
        _share(row.retained_weight),
        _value(row.half_life),
        _share(max((c.value for c in row.coherence.values()), default=None)),
        _value(row.rho),
        _value(row.distance_from_start),
        _value(row.nearest_snapshot),
    ]
    cells += [_text(row.trajectory, 8), _text(row.attempt, 16)]
    line = "".join(f'<td class="{c.css}" data-sort="{escape(_key(c))}">{c.html}</td>' for c in cells)
    return f'<tr class="{css}" data-key="{escape(row.key)}">{line}</tr>'


def _key(cell: Cell) -> float | str:
    return "" if cell.sort is None else cell.sort


def _rank(row: FrontierRow, by_key: Mapping[str, int], called: str) -> Cell:
    if row.start:
        return Cell("start", None)
    rank = by_key[row.key]
    # How far it is confirmed stands above; the column is narrow.
    name = f" <small>{escape(called.partition(',')[0])}</small>" if called else ""
    return Cell((f'<span class="badge">{rank}</span>' if row.on_frontier else str(rank)) + name, rank)


def _class(row: FrontierRow) -> Cell:
    if row.violated:
        return Cell("breaks a constraint", "breaks a constraint", "text")
    if row.frontier_class is None:
        return _nothing("text")
    return Cell(row.frontier_class, row.frontier_class, "text")


def _by_values(row: FrontierRow) -> Cell:
    """What badge and shading say, in words: neither is read aloud, nor printed by everybody."""
    if row.start or row.rate is None or row.gain is None:
        return _nothing("text")
    word = "yes" if row.on_frontier else "no"
    return Cell(word, word, "text")


def _parameter(row: FrontierRow, name: str) -> Cell:
    if row.start:
        return Cell("–", None, "text" if name == "averaging" else "")
    value = row.parameters.get(name)
    if name == "averaging":
        return _text(str(value))
    return Cell("none", None) if value is None else _value(value)


def _rate(row: FrontierRow) -> list[Cell]:
    rate = row.rate
    if rate is None:
        return [_nothing(), _nothing("text"), _nothing(), _nothing()]
    shown = f"{percent(rate.value)} <small>{ends(rate.low, rate.high)}</small>"
    counts = counts_words(rate, HIT_WORDS[rate.name])
    if rate.planned is not None:
        counts += f" (stopped early of {rate.planned})"
    return [
        Cell(shown.replace(" %", ""), rate.value),
        Cell(escape(counts), rate.hits, "text"),
        _value(rate.incoherent),
        _value(rate.unscored),
    ]


def _apart(found: Apart | None) -> list[Cell]:
    """The rate over the categories with refusal demonstrations, and over those without."""
    if found is None:
        return [_nothing(), _nothing()]
    return [
        Cell(f"{percent(c.value)} <small>{ends(c.low, c.high)}</small>".replace(" %", ""), c.value)
        for c in (found.demonstrated, found.undemonstrated)
    ]


def _corrected(row: FrontierRow, errors: Correction) -> Cell:
    rate = errors.rates.get(row.key)
    if rate is None:
        why = errors.left_out.get(row.key)
        return _nothing() if why is None else Cell(escape(f"not corrected: {why}"), None, "text wide")
    shown = f"{percent(rate.value)} <small>{ends(rate.low, rate.high)}</small>"
    return Cell(shown.replace(" %", ""), rate.value)


def _utility(row: FrontierRow) -> list[Cell]:
    score, won = row.utility, row.gain
    if score is None:
        return [_nothing(), _nothing(), _nothing("text"), _nothing()]
    gained = _nothing()
    if won is not None:
        gained = Cell(
            _without_unit(gain_text(score.metric, won.value, won.low, won.high), score.metric), won.value
        )
    parts = (score.right, score.wrong, score.refused)
    split = " / ".join(number(p) for p in parts) if score.right is not None else "–"
    return [
        _score(score),
        gained,
        _nothing("text") if row.start else Cell(row.gain_label, row.gain_label, "text"),
        Cell(split, score.right),
    ]


def _score(score: Score | None) -> Cell:
    """A utility with its interval."""
    found = score_ends(score)
    shown = f"{score_text(score)}{f' <small>{found}</small>' if found else ''}"
    return Cell(shown, score.value if score else None)


def _safety_loss(found: SafetyLoss | None) -> Cell:
    """A safety loss with its interval."""
    if found is None:
        return _nothing()
    if found.low is None or found.high is None:
        return _value(found.value)
    between = f"{number(found.low)} to {number(found.high)}"
    return Cell(f"{number(found.value)} <small>{between}</small>", found.value)


def _over_refusal(row: FrontierRow) -> list[Cell]:
    rate, more = row.over_refusal, row.over_refusal_rise
    if rate is None:
        return [_nothing(), _nothing(), _nothing()]
    shown = f"{percent(rate.value)} <small>{ends(rate.low, rate.high)}</small>".replace(" %", "")
    return [Cell(shown, rate.value), _points(more), _points(row.contrast)]


def _points(found: Rise | Contrast | None) -> Cell:
    """A difference of two rates."""
    if found is None or found.value is None:
        return _nothing()
    text = gain_text("exact_match", found.value, found.low, found.high)
    return Cell(_without_unit(text, "exact_match"), found.value)


def _without_unit(text: str, metric: str) -> str:
    """A gain as HTML, its unit standing in the header."""
    value, _, interval = text.partition(f" {GAIN_UNITS[metric]} ")
    return f"{value} <small>{interval}</small>"


def _status(row: FrontierRow) -> Cell:
    words = [row.status] if row.status != "scored" else []
    words += [row.reason] if row.reason else []
    for what, rate in (("harmful prompts", row.rate), ("look-alikes", row.over_refusal)):
        if rate is not None and rate.stopped:
            words.append(f"stopped early, {what}: {asked_words(rate)}; interval {rate.interval}")
    words += row.violated
    words += ["beaten by the start model"] if row.beaten_by_start else []
    text = "; ".join(words)
    if not text:
        return Cell("", None, "text")
    return Cell(escape(text), text, "text wide" if len(text) > 24 else "text")


def _share(value: float | None) -> Cell:
    return Cell(percent(value).replace(" %", ""), value)


def _value(value: Any) -> Cell:
    if value is None:
        return _nothing()
    return Cell(escape(number(value)), value if isinstance(value, int | float | str) else str(value))


def _text(value: str, longest: int | None = None) -> Cell:
    shown = escape(value if longest is None else value[:longest])
    return Cell(f'<span title="{escape(value)}">{shown}</span>' if longest else shown, value, "text")


def _nothing(css: str = "") -> Cell:
    return Cell("–", None, css)
