"""The contract of every store: whole pieces under keys.  Protocols and key checking only; touches no file.

A piece is a named set of files under a key such as ``trajectories/ab12/outcomes/cd34``.  It exists when its
manifest, written last, does.  The contract has no rename, no append and no database, so that a folder and an
object store are alike.  Pieces may stand below pieces: a key says nothing about other keys.
"""

from __future__ import annotations

import builtins
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol, TypeVar

from ftstab.errors import StoreError

MANIFEST = "manifest.json"
"""Name of the file that makes a piece exist; no part of a key may be called so."""

SEGMENT = re.compile(r"[A-Za-z0-9._-]{1,200}")

T = TypeVar("T")

Content = Mapping[str, bytes] | Callable[[Path], object]
"""The files of a piece: their bytes by name, or what writes them into the new, empty folder that it is given.

Large files are written where they stay, because a copy of a training state of gigabytes takes as long again.  What a
writer can't write is an OSError.
"""


class ReplacedError(StoreError):
    """The piece was replaced or deleted while it was read: get it again."""


class Piece(Protocol):
    """One version of a piece, as it was when it was got.

    Every access raises `ReplacedError` when that version is gone, and StoreError naming the piece when a
    file of it is truncated or damaged.
    """

    @property
    def key(self) -> str:
        """The key that it lies under."""
        ...

    @property
    def names(self) -> list[str]:
        """Its file names, sorted."""
        ...

    def path(self, name: str) -> Path:
        """A local file with the content of ``name``; never write to it."""
        ...

    def read(self, name: str) -> bytes:
        """The content of ``name``."""
        ...

    def json(self, name: str) -> Any:
        """The content of ``name``, which must be JSON."""
        ...


class Store(Protocol):
    """Whole pieces under keys.

    Every method raises StoreError for a malformed key, and when the place can't be read or written (the
    message says where and what to do).  A write that fails or is killed leaves the old piece or the new
    one, whole.
    """

    def put(self, key: str, files: Content) -> None:
        """Make ``files`` the whole content of the piece, replacing what was there."""
        ...

    def put_if_absent(self, key: str, files: Content) -> bool:
        """Make the piece unless it exists; of any number of callers at once exactly one is told True."""
        ...

    def get(self, key: str) -> Piece | None:
        """The piece, or None if there is none."""
        ...

    def exists(self, key: str) -> bool:
        """Whether the piece exists."""
        ...

    def list(self, prefix: str = "") -> builtins.list[str]:
        """Sorted keys of the whole pieces below ``prefix`` (a key; "" is everything), itself not included."""
        ...

    def delete(self, key: str) -> None:
        """Remove the piece, its manifest first; nothing happens if there is none."""
        ...


def check_key(key: str) -> str:
    """Return ``key`` if it is well formed: segments of ``A-Z a-z 0-9 . _ -`` joined by ``/``.

    Raises:
        StoreError: it isn't, or a segment is ``.``, ``..``, ``manifest.json`` or longer than 200.
    """
    for segment in key.split("/"):
        if SEGMENT.fullmatch(segment) is None or segment in {".", "..", MANIFEST}:
            raise StoreError(
                f"store key {key!r}: the part {segment!r} is not allowed; a key is parts of 1 to 200 "
                f"letters, digits, '.', '_' and '-', joined by '/', none of them '.', '..' or '{MANIFEST}'"
            )
    return key


def read_piece(store: Store, key: str, use: Callable[[Piece], T]) -> T | None:
    """Return ``use(piece)`` for the piece under ``key``, starting over when it is replaced meanwhile.

    None if there is no such piece.
    """
    while True:
        piece = store.get(key)
        if piece is None:
            return None
        try:
            return use(piece)
        except ReplacedError:
            continue
