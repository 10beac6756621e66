"""A store in a folder of this machine or of a shared file system.  Touches files below its root only.

A piece ``a/b`` is the folder ``<root>/a/b`` with ``manifest.json`` and one sub-folder ``~<nonce>`` that holds
the files; pieces below ``a/b`` lie beside them.  A writer fills a sub-folder of its own, then makes its
manifest visible in one step: killed at any point it leaves the old piece or the new one whole, and perhaps a
sub-folder that no manifest names, which `FolderStore.sweep` removes.
"""

from __future__ import annotations

import builtins
import hashlib
import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ftstab.errors import StoreError, nearest
from ftstab.store import files as disk
from ftstab.store.contract import MANIFEST, SEGMENT, Content, ReplacedError, check_key


@dataclass(frozen=True)
class FolderPiece:
    """A `ftstab.store.Piece` whose files lie in a folder."""

    store: FolderStore
    key: str
    nonce: str
    files: Mapping[str, Mapping[str, Any]]

    @property
    def names(self) -> list[str]:
        """Its file names, sorted."""
        return sorted(self.files)

    def path(self, name: str) -> Path:
        """The file itself, after checking its size and, below 64 MiB, its hash."""
        if "sha256" in self._entry(name):
            self.read(name)
        return self._sized(name)

    def read(self, name: str) -> bytes:
        """The content of ``name``, checked likewise."""
        path = self._sized(name)
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            raise self._gone(name) from None
        except OSError as error:
            raise disk.failed(self.store.root, f"can't read {name!r} of {self.key!r}", error) from error
        expected = self._entry(name).get("sha256")
        if expected is not None and hashlib.sha256(content).hexdigest() != expected:
            raise self._damaged(name, "its content doesn't match the checksum in its manifest")
        return content

    def json(self, name: str) -> Any:
        """The content of ``name``, parsed."""
        try:
            return json.loads(self.read(name))
        except ValueError:
            # Not the parser's message: no part of an answer may reach an error.
            raise self._damaged(name, "it isn't JSON") from None

    def _entry(self, name: str) -> Mapping[str, Any]:
        if name not in self.files:
            raise StoreError(
                f"piece {self.key!r} in {self.store.root} has no file {name!r}{nearest(name, self.files)}; "
                f"it has: {', '.join(self.names) or 'none'}"
            )
        return self.files[name]

    def _sized(self, name: str) -> Path:
        expected = self._entry(name)["size"]
        path = self.store.root / self.key / self.nonce / name
        try:
            size = path.stat().st_size
        except FileNotFoundError:
            raise self._gone(name) from None
        except OSError as error:
            raise disk.failed(self.store.root, f"can't read {name!r} of {self.key!r}", error) from error
        if size != expected:
            raise self._damaged(name, f"it has {size} bytes where its manifest says {expected}")
        return path

    def _gone(self, name: str) -> StoreError:
        now = self.store.get(self.key)
        if now is None or now.nonce != self.nonce:
            return ReplacedError(
                f"piece {self.key!r} in {self.store.root} was replaced or deleted while it was read; "
                "run the same command again"
            )
        return self._damaged(name, "it is missing")

    def _damaged(self, name: str, what: str) -> StoreError:
        return self.store.damaged(self.key, f"file {name!r}: {what}")


@dataclass(frozen=True)
class FolderStore:
    """A `ftstab.store.Store` in a folder; `ftstab.store.open_store` makes and opens one, its format checked.

    Attributes:
        root: the folder; it exists.
    """

    root: Path

    def put(self, key: str, files: Content) -> None:
        """Make ``files`` the whole content of the piece, replacing what was there."""
        self._write(key, files, replace=True)

    def put_if_absent(self, key: str, files: Content) -> bool:
        """Make the piece unless it exists; of any number of callers at once exactly one is told True."""
        return not self.exists(key) and self._write(key, files, replace=False)

    def get(self, key: str) -> FolderPiece | None:
        """The piece, or None if there is none."""
        path = self.root / check_key(key) / MANIFEST
        try:
            manifest = json.loads(path.read_bytes())
            return FolderPiece(self, key, manifest["nonce"], manifest["files"])
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise disk.failed(self.root, f"can't read {key!r}", error) from error
        except (ValueError, KeyError, TypeError):
            raise self.damaged(key, "its manifest can't be parsed") from None

    def exists(self, key: str) -> bool:
        """Whether the piece exists."""
        return self.get(key) is not None

    def list(self, prefix: str = "") -> builtins.list[str]:
        """Sorted keys of the whole pieces below ``prefix`` (a key; "" is everything), itself not included."""
        top = self.root / check_key(prefix) if prefix else self.root
        found = []
        for folder, folders, names in os.walk(top, onerror=self._unlisted):
            folders[:] = [f for f in folders if SEGMENT.fullmatch(f)]
            if MANIFEST in names and Path(folder) != top:
                found.append(Path(folder).relative_to(self.root).as_posix())
        return sorted(found)

    def delete(self, key: str) -> None:
        """Remove the piece, its manifest first; nothing happens if there is none."""
        folder = self.root / check_key(key)
        nonce = self._nonce(key)
        try:
            (folder / MANIFEST).unlink()
            disk.sync(folder)
        except (FileNotFoundError, NotADirectoryError):
            return
        except OSError as error:
            raise disk.failed(self.root, f"can't delete {key!r}", error) from error
        disk.remove(folder, nonce or "")
        disk.prune(folder, self.root)

    def sweep(self, older_than: float = 3600.0) -> int:
        """Remove what killed writers left behind, and return how many leftovers that were.

        Args:
            older_than: seconds since a leftover was last written to; below that, its writer may be alive.
        """
        removed = 0
        for name, folders, _ in os.walk(self.root, onerror=self._unlisted):
            folder = Path(name)
            left = [f for f in folders if disk.NONCE.fullmatch(f)]
            folders[:] = [f for f in folders if SEGMENT.fullmatch(f)]
            for nonce in left:
                if time.time() - disk.touched(folder / nonce) >= older_than and self._unused(folder, nonce):
                    disk.remove(folder, nonce)
                    disk.prune(folder, self.root)
                    removed += 1
        return removed

    def damaged(self, key: str, what: str) -> StoreError:
        """The error for a piece that can't be trusted: ``what`` is wrong, and what to do."""
        return StoreError(
            f"piece {key!r} in {self.root} is damaged: {what}; delete {self.root / key} and run the same "
            "command again: what it held is made anew"
        )

    def _write(self, key: str, files: Content, replace: bool) -> bool:
        folder = self.root / check_key(key)
        if not callable(files):
            for name in files:
                check_key(name)
        if not self.root.is_dir():
            raise StoreError(
                f"can't put {key!r} into {self.root}: the folder is gone; bring it back (is it mounted?)"
            )
        nonce = ""
        try:
            nonce = disk.fresh(folder)
            entries = self._fill(folder / nonce, files)
            for below, _, _ in os.walk(folder / nonce):
                disk.sync(Path(below))
            manifest = json.dumps({"nonce": nonce, "files": entries}, indent=1, sort_keys=True).encode()
            old = self._nonce(key) if replace else ""
            made = disk.publish(folder, nonce, MANIFEST, manifest, replace)
        except OSError as error:
            raise disk.failed(self.root, f"can't put {key!r}", error) from error
        finally:
            # The disk is asked, not a variable: Ctrl-C may strike between the publishing and a note of it.
            if self._unused(folder, nonce):
                disk.remove(folder, nonce)
                disk.prune(folder, self.root)
        disk.remove(folder, old or "")
        return made

    def _fill(self, folder: Path, files: Content) -> dict[str, dict[str, Any]]:
        """Bring the files of a piece into ``folder``, and return their entries in the manifest."""
        if not callable(files):
            return {name: disk.write(content, folder / name) for name, content in files.items()}
        files(folder)
        made = [path for path in folder.rglob("*") if path.is_file()]
        return {check_key(path.relative_to(folder).as_posix()): disk.settle(path) for path in made}

    def _nonce(self, key: str) -> str | None:
        """The sub-folder that the piece lies in; empty if there is no piece, None if it can't be told."""
        try:
            piece = self.get(key)
        except StoreError:
            return None
        return "" if piece is None else piece.nonce

    def _unused(self, folder: Path, nonce: str) -> bool:
        """Whether it is certain that no manifest names the sub-folder ``nonce``."""
        if folder == self.root:
            return True
        live = self._nonce(folder.relative_to(self.root).as_posix())
        return live not in {nonce, None}

    def _unlisted(self, error: OSError) -> None:
        # Folders come and go while they are walked; anything else would hide pieces.
        if not isinstance(error, FileNotFoundError | NotADirectoryError):
            raise disk.failed(self.root, "can't list it", error) from error
