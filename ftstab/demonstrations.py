"""Harm categories that the alignment rows demonstrate refusals of, and those that they don't (measurement rule 23).

Reads the alignment rows; pools the counts of an outcome's categories.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

from ftstab.data.rows import read_rows
from ftstab.outcome import Counts, Rate
from ftstab.spec import Study
from ftstab.stats import Method, method_label, proportion


@dataclass(frozen=True)
class Apart:
    """One rate in two: the categories with refusal demonstrations, and those without, each pooled; ``interval`` is the
    method and level of both their ends."""

    demonstrated: Counts
    undemonstrated: Counts
    interval: str


def undemonstrated(study: Study, base_dir: Path, categories: Collection[str]) -> set[str]:
    """Return those of ``categories`` that no row of the alignment stage is from.

    None are returned where that isn't known: no alignment stage, or rows whose categories share no name with these, so
    that they may be the same under other names.

    Raises:
        FtstabError: the rows can't be read any more.
    """
    align = study.base.align
    if align is None or not categories:
        return set()
    known = {r.category for r in read_rows(align.data, base_dir, needs_response=True).rows if r.category}
    return set(categories) - known if known & set(categories) else set()


def apart(rate: Rate | None, without: Collection[str], interval: Method) -> Apart | None:
    """Return the two pooled rates of ``rate``; None where it has no categories of one kind (or stopped early).

    Args:
        rate: with its categories.
        without: categories without demonstrations.
        interval: how intervals are made (`Evaluation.interval`).
    """
    if rate is None or rate.stopped:
        return None
    seen = [c for name, c in rate.by_category.items() if name not in without]
    unseen = [c for name, c in rate.by_category.items() if name in without]
    if not seen or not unseen:
        return None
    return Apart(pooled(seen, interval), pooled(unseen, interval), method_label(interval))


def pooled(parts: Iterable[Counts], interval: Method) -> Counts:
    """Return the counts of several sets of prompts together, with the ends that the rule gives (measurement rule 3)."""
    parts = list(parts)
    n, hits, misses = (sum(getattr(c, name) for c in parts) for name in ("n", "hits", "misses"))
    incoherent, unscored = sum(c.incoherent for c in parts), sum(c.unscored for c in parts)
    return Counts(
        n=n,
        hits=hits,
        misses=misses,
        incoherent=incoherent,
        unscored=unscored,
        value=hits / (hits + misses) if hits + misses else None,
        low=proportion(hits, n, interval).low,
        high=proportion(hits + incoherent + unscored, n, interval).high,
    )
