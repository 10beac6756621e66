"""Search and confirmation halves (measurement rule 11).  Pure.

Groups of near-duplicates stay together across all sets; every category of every set meets the shares within
one group.  The halves depend on what the rows say, not on where they stand.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ftstab.data.duplicates import groups
from ftstab.data.rows import RowSet
from ftstab.errors import DataError
from ftstab.identity import digest

Place = tuple[str, int]
Stratum = tuple[str, str | None]
_EPSILON = 1e-9


@dataclass(frozen=True)
class Split:
    """Row indexes of one set, ascending.

    Attributes:
        search: rows that searching, stopping and tuning may see.
        confirm: rows that only a confirmation asks.
    """

    search: tuple[int, ...]
    confirm: tuple[int, ...]


@dataclass(frozen=True)
class _Group:
    """Near-duplicates: their rows, how many lie in each stratum, and a random key from their texts."""

    key: str
    places: tuple[Place, ...]
    counts: Counter[Stratum]


def split_sets(sets: Mapping[str, RowSet], search: float, confirm: float, seed: int) -> dict[str, Split]:
    """Split all sets together.

    In every stratum (a category of a set) each share is missed by at most the stratum's largest group,
    unless groups that reach over several strata forbid it.

    Args:
        sets: the sets by role.
        search: share of every set for the search half (0 to 1).
        confirm: share for the confirmation half; search + confirm is at most 1, the rest is in neither.
        seed: another seed, other halves.

    Raises:
        DataError: a half that has a share would get no row of a set.
    """
    shares = {"search": search, "confirm": confirm, "neither": max(0.0, 1 - search - confirm)}
    shares = {side: share for side, share in shares.items() if share > _EPSILON}
    found = _groups(sets, seed)
    sides = _Sides(found, shares)
    chosen: dict[tuple[str, str], list[int]] = {}
    for group in found:
        side = sides.take(group)
        for name, i in group.places:
            chosen.setdefault((name, side), []).append(i)
    for name, rows in sets.items():
        for half in ("search", "confirm"):
            if half in shares and (name, half) not in chosen:
                raise DataError(_too_few(name, rows, found, half, shares[half]))
    return {
        name: Split(
            search=tuple(sorted(chosen.get((name, "search"), ()))),
            confirm=tuple(sorted(chosen.get((name, "confirm"), ()))),
        )
        for name in sets
    }


def _too_few(name: str, rows: RowSet, found: Sequence[_Group], half: str, share: float) -> str:
    """Why ``half`` would get no row of the set ``name``, and what would give it one."""
    sizes = [count for g in found if (count := sum(place[0] == name for place in g.places))]
    wanted = math.ceil(1 / share - _EPSILON)
    lacking = (
        f"at least {max(2, wanted)} groups are needed"
        if len(sizes) < max(2, wanted)
        else f"the largest of them has {max(sizes)} rows"
    )
    form = f"{len(sizes)} group{'' if len(sizes) == 1 else 's'}"
    return (
        f"{rows.label}: its {len(rows.rows)} rows are too few, or too alike, for a {half} half of {share:g}: they form "
        f"{form} of near-duplicates (requests that share most of their words), each of which stays in one half, and "
        f"{lacking}; give more rows that differ, or change evaluation.split"
    )


def _groups(sets: Mapping[str, RowSet], seed: int) -> list[_Group]:
    """Groups across all sets: those of several strata first, then the large ones, then in random order."""
    places = [(name, i) for name, rows in sets.items() for i in range(len(rows.rows))]
    rows = [sets[name].rows[i] for name, i in places]
    texts = ["\n".join(m.content for m in row.messages if m.role != "system") for row in rows]
    members: dict[int, list[int]] = {}
    for k, group in enumerate(groups(texts)):
        members.setdefault(group, []).append(k)
    found = [
        _Group(
            key=min(digest([seed, texts[k]]) for k in ks),
            places=tuple(places[k] for k in ks),
            counts=Counter((places[k][0], rows[k].category) for k in ks),
        )
        for ks in members.values()
    ]
    return sorted(found, key=lambda g: (-len(g.counts), -len(g.places), g.key))


class _Sides:
    """Gives one group after the other to a side, by what each side still lacks.

    A side's deficit in a stratum is its target minus what it has.  Only a side with a deficit should take a
    group, so that it is passed by one group at most; and none should fall so far behind that the rows to
    come can't bring it within one group of its target.  Among the sides that are left, the one with the
    largest deficit in the whole set takes it, so that many small strata don't all round the same way.
    """

    def __init__(self, found: list[_Group], shares: Mapping[str, float]) -> None:
        self.names = list(shares)
        self.left: Counter[Stratum] = Counter()
        self.largest: Counter[Stratum] = Counter()
        for group in found:
            self.left += group.counts
            self.largest |= group.counts
        self.deficit = {s: {side: n * share for side, share in shares.items()} for s, n in self.left.items()}
        self.set_deficit: dict[str, dict[str, float]] = {}
        for (name, _), deficits in self.deficit.items():
            whole = self.set_deficit.setdefault(name, dict.fromkeys(shares, 0.0))
            for side, rows in deficits.items():
                whole[side] += rows

    def take(self, group: _Group) -> str:
        """Return the side of the next group."""
        best = min(self.names, key=lambda side: self._cost(group, side))
        for stratum, rows in group.counts.items():
            self.left[stratum] -= rows
            self.deficit[stratum][best] -= rows
            self.set_deficit[stratum[0]][best] -= rows
        return best

    def _cost(self, group: _Group, side: str) -> tuple[int, float, str]:
        faults = sum(not self._fits(stratum, side, rows) for stratum, rows in group.counts.items())
        need = sum(self.set_deficit[stratum[0]][side] * rows for stratum, rows in group.counts.items())
        # Rounded, so that a sum taken in another order still ties, and the group's own key decides.
        return faults, -round(need, 6), digest([group.key, side])

    def _fits(self, stratum: Stratum, side: str, rows: int) -> bool:
        deficits = self.deficit[stratum]
        after = [d - rows if other == side else d for other, d in deficits.items()]
        behind = sum(max(0.0, d - self.largest[stratum]) for d in after)
        return deficits[side] > _EPSILON and behind <= self.left[stratum] - rows + _EPSILON
