"""The rows of an update: a function of data, seed, effective batch, share mixed in and update number (rule 17).

Pure.  Nothing here knows how many updates a run will have.
"""

from __future__ import annotations

import hashlib
import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Mixed(NamedTuple):
    """Rows that are mixed in: how many there are, and the share of all rows trained on that comes from them."""

    rows: int
    share: float


def update_rows(
    n_rows: int, data_hash: str, seed: int, batch_size: int, update: int, mixed: Mixed | None = None
) -> list[int]:
    """Return the row indexes of update ``update``.

    Every epoch is a permutation of all rows; the epochs, one after the other, are one stream, and update t
    takes the rows t * batch_size to (t + 1) * batch_size of it.  An update may reach over the end of an
    epoch, or over several.

    Args:
        n_rows: number of rows, at least 1.
        data_hash: key of the rows.
        seed: seed of the run.
        batch_size: effective batch.
        update: number of the update, from 0.
        mixed: rows that are mixed in; they are counted on behind the ``n_rows``.  They are a stream of their own,
            whose rows stand among the others at even distances, from a place that data and seed decide: among any n
            rows in a row, the share is missed by less than one row.  Between them the others keep their order.
    """
    if mixed is not None and mixed.share > 0:
        begin = _beginning(data_hash, seed)
        first = update * batch_size
        return [
            _mixed_row(p, begin, n_rows, data_hash, seed, mixed) for p in range(first, first + batch_size)
        ]
    rows: list[int] = []
    place = update * batch_size
    while len(rows) < batch_size:
        epoch, offset = divmod(place + len(rows), n_rows)
        rows.extend(_epoch(n_rows, data_hash, seed, epoch)[offset : offset + batch_size - len(rows)].tolist())
    return rows


def _mixed_row(place: int, begin: float, n_rows: int, data_hash: str, seed: int, mixed: Mixed) -> int:
    """The row at ``place`` of the stream of all rows."""
    before = math.floor(place * mixed.share + begin)
    if math.floor((place + 1) * mixed.share + begin) > before:
        epoch, offset = divmod(before, mixed.rows)
        return n_rows + int(_epoch(mixed.rows, f"{data_hash}/mix", seed, epoch)[offset])
    epoch, offset = divmod(place - before, n_rows)
    return int(_epoch(n_rows, data_hash, seed, epoch)[offset])


def _beginning(data_hash: str, seed: int) -> float:
    """How far it is to the first row that is mixed in, as a share (0 to 1) of their distance."""
    key = hashlib.sha256(f"{data_hash}/{seed}/mix".encode()).digest()
    return int.from_bytes(key[:6]) / 2**48


@lru_cache(maxsize=8)
def _epoch(n_rows: int, data_hash: str, seed: int, epoch: int) -> NDArray[np.intp]:
    """The permutation of one epoch.

    Sorted raw draws rather than `Generator.permutation`: numpy promises the raw stream of PCG64 across
    versions, but not what a Generator makes of it.
    """
    key = hashlib.sha256(f"{data_hash}/{seed}/{epoch}".encode()).digest()
    draws = np.random.PCG64(int.from_bytes(key)).random_raw(n_rows)
    return np.argsort(np.asarray(draws), kind="stable")
