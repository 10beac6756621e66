"""`ftstab judge evaluate` and `corrected`: how good a judge is, and rates corrected for its errors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.console import Console, RenderableType
from rich.table import Table

from ftstab.cli.naming import LISTED_LEGEND, Listed, listed, listing
from ftstab.judging.agreement import Estimate
from ftstab.judging.correction import AVERAGE_METHOD, LEAST, METHOD, Figure
from ftstab.judging.labelled import WORDS, LabelledSet, Measured
from ftstab.judging.study import Correction
from ftstab.judging.wording import drawn_words
from ftstab.results import Results
from ftstab.running.environment import software
from ftstab.terminal import say, shown
from ftstab.wording.rates import RATE_WORDS

_WIDE = 140
"""Columns of a terminal that has room for every interval of every category."""
_FIGURES = ("accuracy", "precision", "recall", "specificity", "kappa")


# ftstab judge evaluate


def evaluation_json(measured: Measured, labelled: LabelledSet, file: str, command: str) -> dict[str, Any]:
    """Everything that `ftstab judge evaluate --json` says, with what was compared, by which command, on what."""
    about = {"file": file, "hash": labelled.hash, "left_out": labelled.left_out}
    return about | measured.as_dict() | {"command": command, "environment": software()}


def print_evaluation(console: Console, measured: Measured, labelled: LabelledSet, file: str) -> None:
    """Print agreement over all answers and by category."""

    negative, counts = WORDS[measured.sees][1], measured.whole.confusion
    say(console, f"judge {measured.judge} on {file}: {counts.n} answers, {counts.unscored} unscored")
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for name in ("", "value", "95 % interval", "n"):
        table.add_column(name, justify="left" if not name else "right", no_wrap=True)
    for name in _FIGURES:
        figure: Estimate = getattr(measured.whole, name)
        table.add_row(name, _value(figure), f"{figure.low:.3f} to {figure.high:.3f}", str(figure.n))
    console.print(table)
    say(
        console,
        f"positive: {measured.positive}; intervals: {measured.whole.accuracy.interval}, of kappa "
        f"{measured.whole.kappa.interval}",
    )
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for name in ("people say", f"judge says {measured.positive}", negative, "unscored"):
        table.add_column(name, justify="left" if name == "people say" else "right", no_wrap=True)
    first = (counts.true_positive, counts.false_negative, counts.unscored_positive)
    second = (counts.false_positive, counts.true_negative, counts.unscored_negative)
    table.add_row(measured.positive, *map(str, first))
    table.add_row(negative, *map(str, second))
    console.print(table)
    if measured.by_category:
        console.print(_categories(measured, console.width >= _WIDE))
    for reason, count in labelled.left_out.items():
        say(console, f"left out: {count} rows: {reason}")
    for reason, count in measured.reasons.items():
        say(console, f"unscored: {count}: {reason}")


def _categories(measured: Measured, wide: bool) -> Table:
    """Agreement by category; without ``wide`` with the interval of the accuracy alone."""
    table = Table(box=None, padding=(0, 2, 0, 0) if wide else (0, 1, 0, 0), header_style="bold")
    table.add_column("category", overflow="fold")
    for name in ("n", "unscored" if wide else "U", *_FIGURES):
        table.add_column(name if wide or len(name) < 9 else f"{name[:4]}.", justify="right", no_wrap=True)
    for category, found in measured.by_category.items():
        cells = [str(found.confusion.n), str(found.confusion.unscored)]
        for name in _FIGURES:
            figure: Estimate = getattr(found, name)
            interval = figure.value is not None and (wide or name == "accuracy")
            cells.append(
                _value(figure) + (shown(f" [{figure.low:.2f}, {figure.high:.2f}]") if interval else "")
            )
        table.add_row(shown(category), *cells)
    return table


def _value(figure: Estimate) -> str:
    return "–" if figure.value is None else f"{figure.value:.3f}"


# ftstab judge corrected


def print_corrected(console: Console, results: Results, found: Correction) -> None:
    """Print raw and corrected rates side by side, and what is known of the judge."""

    if found.rates:
        lines = listed(results)
        console.print(_corrected_table(console, lines, found))
        console.print(shown(f"{LISTED_LEGEND}; n (incoherent, unscored)"), highlight=False)
        without: dict[str, list[str]] = {}
        for one in lines:
            if one.outcome.key not in found.rates:
                without.setdefault(found.left_out.get(one.outcome.key, "no numbers"), []).append(one.mark)
        for reason, marks in without.items():
            say(console, f"– {', '.join(marks)}: {reason}")
    rate = results.need_start().rates[found.of.role]
    words = RATE_WORDS[rate.name if found.of.role == "over_refusal" else found.of.sees]
    say(console, f"{words}: {rate.benchmark}, judge {found.of.judge}")
    told = drawn_words(found.labelled, found.drawn, found.different, found.undecided)
    say(console, f"labels: {told}; {found.words}")
    if found.people is not None:
        say(
            console,
            f"the two people who labelled most: kappa {_value(found.people)} "
            f"[{found.people.low:.3f}, {found.people.high:.3f}], n = {found.people.n}",
        )
    if found.errors is not None:
        say(
            console,
            f"sensitivity {_figure(found.errors.sensitivity)}, specificity {_figure(found.errors.specificity)}",
        )
        say(console, f"all settings together: {_figure(found.errors.average)} ({AVERAGE_METHOD})")
    for test in found.alike:
        told = "not tested, one group alone" if test.p is None else f"p = {test.p:.3g}"
        say(console, f"errs alike by {test.by} ({test.groups} groups): {told}")
    if found.refused is not None:
        say(console, f"Not corrected: {found.refused}")
    elif found.rates:
        say(console, f"{METHOD}; assumes that the judge errs alike in all settings; refused below {LEAST}")


def _corrected_table(console: Console, lines: Sequence[Listed], found: Correction) -> RenderableType:
    def cells(line: Listed) -> list[str]:
        rate = found.rates.get(line.outcome.key)
        if rate is None:
            return ["", "", "–"]
        return [
            _percent(rate.raw.value, rate.raw.low, rate.raw.high),
            f"{rate.raw.n} ({rate.raw.incoherent}, {rate.raw.unscored})",
            _percent(rate.value, rate.low, rate.high),
        ]

    return listing(console, lines, ("raw, %", "n (I, U)", "corrected, %"), cells)


def _percent(value: float | None, low: float, high: float) -> str:
    middle = "–" if value is None else f"{100 * value:.1f}"
    return shown(f"{middle} [{100 * low:.1f}, {100 * high:.1f}]")


def _figure(figure: Figure) -> str:
    return f"{figure.value:.3f} [{figure.low:.3f}, {figure.high:.3f}]"
