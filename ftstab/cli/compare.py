"""`ftstab compare`: two settings on the same prompts, as text or as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from ftstab.cli.naming import find_setting
from ftstab.compare import CATEGORY_PROMPTS, FALSE_DISCOVERIES, Comparison, RateDifference, compare
from ftstab.data.rows import read_rows
from ftstab.errors import MisuseError
from ftstab.frontier import FrontierRow, frontier_rows, start_row
from ftstab.frontier_row import make_row
from ftstab.recipes import by_recipe, recipe_of
from ftstab.results import Results
from ftstab.stats import NewRun
from ftstab.terminal import say
from ftstab.wording.numbers import ends, percent
from ftstab.wording.rates import RATE_WORDS, rate_basis
from ftstab.wording.settings import AVERAGES, described
from ftstab.wording.utility import GAIN_UNITS, METRIC_WORDS, gain_text, is_share, score_text

LEGEND = (
    "A recipe is a setting without its seed; fresh seeds are those that `ftstab run STUDY --frontier-seeds` trains the "
    f"recipes of the frontier with, once they are found. {AVERAGES[0].upper()}{AVERAGES[1:]}."
)


def comparison(results: Results, first: str, second: str) -> tuple[Comparison, list[FrontierRow]]:
    """Return the comparison of two settings by their names, and their rows.

    Raises:
        MisuseError: no such setting, or the same twice.
        StudyError: one that can't be compared.
    """
    start, study = results.need_start(), results.study
    rows = frontier_rows(results.outcomes, start, study)
    a, b = (find_setting(results, name) for name in (first, second))
    if a.key == b.key:
        raise MisuseError(f"given {first} and {second}, which are the same setting; name two")
    recipes = by_recipe([*results.outcomes, *results.fresh], study.seeds.search)
    found = compare(
        a,
        b,
        _prompt_categories(results),
        None if a.start else recipes[recipe_of(a)],
        None if b.start else recipes[recipe_of(b)],
    )
    by_key = {row.key: row for row in rows} | {start.key: start_row(start, study)}
    # A fresh seed is no setting to choose among, so no row of the frontier.
    varied = rows[0].varied if rows else ()
    return found, [by_key.get(one.key) or make_row(one, start, study, varied) for one in (a, b)]


def _prompt_categories(results: Results) -> list[str | None]:
    """Category of each harmful prompt in the order asked; empty where the set has none, or isn't as it was."""
    start = results.need_start()
    rate, key = start.rates.get("harmful"), start.record.get("responses", {}).get("harmful")
    if rate is None or not rate.by_category or key is None:
        return []
    stored = results.records.responses(start.trajectory, key)
    source, base_dir = results.study.evaluation.harmful.benchmark, Path(results.about["base_dir"])
    rows = read_rows(source, base_dir, needs_response=False)
    if stored is None or rows.label != rate.benchmark:
        return []
    category = {row.id: row.category for row in rows.rows}
    return [category[answer["id"]] for answer in stored[0]]


def comparison_json(found: Comparison, rows: list[FrontierRow], results: Results) -> dict[str, Any]:
    """Everything that `ftstab compare --json` says."""
    return {
        "study": results.study.study,
        "settings": [row.as_dict() for row in rows],
        **found.as_dict(),
        "category_family": {
            "tests": len(found.categories),
            "method": "exact McNemar, Benjamini-Hochberg",
            "false_discovery_rate": FALSE_DISCOVERIES,
            "prompts_needed_for_limits": CATEGORY_PROMPTS,
        },
        "statement": comparison_text(found, rows),
        "record": results.need_start().record,
        "command": results.about.get("command"),
    }


def print_comparison(console: Console, found: Comparison, rows: list[FrontierRow]) -> None:
    """Print the comparison in sentences, and what their words mean."""
    for line in (*comparison_text(found, rows), LEGEND):
        say(console, line)


def comparison_text(found: Comparison, rows: list[FrontierRow]) -> list[str]:
    """Return the comparison, a sentence or a line each (plain text)."""
    lines = [f"{name}: {described(row)}" for name, row in zip("AB", rows, strict=True)]
    rate, score = rows[0].rate, rows[0].utility
    if rate is not None:
        values = _both([None if r.rate is None else _rate_text(r) for r in rows])
        lines.append(f"{RATE_WORDS[rate.name]} ({rate.judge} on {rate.benchmark}, {rate.interval}): {values}")
        lines.append(f"  A - B: {_rate_difference(found.harm)}{_doubt(found.harm)}")
    if score is not None and found.utility is not None:
        lines.append(
            f"{METRIC_WORDS[score.metric]} ({score.benchmark}): {_both([score_text(r.utility) for r in rows])}"
        )
        gain = found.utility.gain
        won = gain_text(score.metric, gain.value, gain.low, gain.high)
        p = "" if found.utility.p is None else f", exact McNemar p = {_p(found.utility.p)}"
        lines.append(f"  A - B, above 0 is better: {won}{p}")
    if found.over_refusal is not None:
        over = found.over_refusal
        lines.append(f"over-refusal, A - B: {_rate_difference(over)}{_doubt(over)}")
    if found.cut_short:
        lines.append(
            "At least one of them was stopped early by what it showed: only the prompts both answered are compared, "
            "without p-value or interval, which wouldn't hold."
        )
    return lines + _about(found, rows) + _categories(found)


def _about(found: Comparison, rows: list[FrontierRow]) -> list[str]:
    claim = found.recipe
    if claim.reason is not None or claim.harm is None:
        return [
            "About these weights, over prompts like these: one training run; another may differ (no claim about "
            f"recipes: {claim.reason})."
        ]
    seeds = ", ".join(map(str, claim.seeds))
    text = (
        f"About recipes, fresh seeds {seeds}; the seed they were found with is left out. A new run of both with one "
        f"seed, 95 %: harmful-response rate A - B {_new_run(claim.harm, 100, 1)} points"
    )
    metric = rows[0].utility.metric if rows[0].utility else "exact_match"
    if claim.utility is not None:
        scale, digits = (100, 1) if is_share(metric) else (1, 3)
        unit = GAIN_UNITS[metric]
        text += f", utility {_new_run(claim.utility, scale, digits)} {unit} (above 0 is better)"
    return [text + "."]


def _categories(found: Comparison) -> list[str]:
    if not found.categories:
        return []
    sizes = [c.difference.n for c in found.categories]
    different = [c for c in found.categories if c.different]
    lines = [
        f"Categories: a family of {len(sizes)} exact McNemar tests, false-discovery rate "
        f"{percent(FALSE_DISCOVERIES, 0)} (Benjamini-Hochberg): {len(different)} differ."
    ]
    lines += [
        f"  {c.category}: {_rate_difference(c.difference)}, adjusted {_p(c.adjusted_p)}" for c in different
    ]
    if min(sizes) < CATEGORY_PROMPTS:
        lines.append(
            f"  {_span(sizes)} prompts a category: a limit on a category needs at least {CATEGORY_PROMPTS}."
        )
    return lines


def _doubt(found: RateDifference) -> str:
    """What is said of answers that couldn't be scored; empty where all could."""
    lost = [found.first_lost, found.second_lost]
    if not any(lost):
        return ""
    return f"; {_both([str(n) for n in lost])} incoherent or unscored, counted here against any difference"


def _span(sizes: Sequence[int]) -> str:
    return f"{min(sizes)}" if min(sizes) == max(sizes) else f"{min(sizes)} to {max(sizes)}"


def _rate_text(row: FrontierRow) -> str:
    assert row.rate is not None
    return f"{percent(row.rate.value)} ({ends(row.rate.low, row.rate.high)}, {rate_basis(row.rate)})"


def _both(values: list[str | None]) -> str:
    return ", ".join(f"{name} {value}" for name, value in zip("AB", values, strict=True))


def _rate_difference(found: RateDifference) -> str:
    value, counts = found.value, f"{found.first_only} of {found.n} prompts only A, {found.second_only} only B"
    shown_value = "not known" if value is None else f"{100 * value:+.1f} points".replace("-", "−")
    if found.low is None or found.high is None or found.p is None:
        return f"{shown_value} ({counts})"
    interval = f"({100 * found.low:+.1f} to {100 * found.high:+.1f})".replace("-", "−")
    return f"{shown_value} {interval}, exact McNemar p = {_p(found.p)} ({counts})"


def _new_run(claim: NewRun, scale: float, digits: int) -> str:
    values = (f"{scale * v:+.{digits}f}".replace("-", "−") for v in (claim.value, claim.low, claim.high))
    return "{} ({} to {})".format(*values)


def _p(value: float) -> str:
    return f"{value:.1e}" if value < 0.001 else f"{value:.3f}"
