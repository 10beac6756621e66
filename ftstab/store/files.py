"""Steps on the file system that hold through a kill or a power failure.  What the folder store is built of.

A writer works in a sub-folder ``~<nonce>`` of its own and then makes one file visible.  Keys are unknown
here.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import secrets
import shutil
import time
from pathlib import Path
from typing import Any

from ftstab.errors import StoreError

HASHED_BELOW = 64 * 2**20
"""Files of this many bytes or more are checked by size alone, to keep weights cheap."""

NONCE = re.compile(r"~[0-9a-f]{16}")
"""Names of writers' sub-folders; ``~`` is in no key."""

_PENDING = "~pending"
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTSUP, errno.EOPNOTSUPP}


def failed(root: Path, what: str, error: OSError) -> StoreError:
    """The error for ``what`` failing with ``error`` in the store at ``root``: where, why, what to do."""
    if error.errno in _FULL:
        todo = "free some space and run the same command again: finished settings are kept"
    elif error.errno in _FORBIDDEN:
        todo = (
            f"this user must be able to read and write {root}, on a file system with hard links; mend that "
            "or give `store` another folder, and run the same command again"
        )
    else:
        todo = "check the disk and run the same command again: finished settings are kept"
    at = f" ({error.filename})" if error.filename else ""
    return StoreError(f"store {root}: {what}: {error.strerror or error}{at}; {todo}")


def fresh(folder: Path) -> str:
    """Name of a new sub-folder for one writer."""
    nonce = "~" + secrets.token_hex(8)
    tries = 100
    while True:
        tries -= 1
        try:
            (folder / nonce).mkdir(parents=True)
            return nonce
        except FileNotFoundError:
            # A deleter pruned the still empty folder between the two steps of making it.
            if not tries:
                raise


def write(content: bytes, target: Path) -> dict[str, Any]:
    """Write ``content`` to ``target``, down to the disk, and return its entry in the manifest."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("wb") as out:
        out.write(content)
        out.flush()
        os.fsync(out.fileno())
    return _entry(len(content), content)


def settle(file: Path) -> dict[str, Any]:
    """Bring a file that somebody wrote down to the disk, and return its entry in the manifest."""
    with file.open("rb+") as written:
        os.fsync(written.fileno())
        size = os.fstat(written.fileno()).st_size
        return _entry(size, written.read() if size < HASHED_BELOW else b"")


def _entry(size: int, content: bytes) -> dict[str, Any]:
    hashed = {"sha256": hashlib.sha256(content).hexdigest()} if size < HASHED_BELOW else {}
    return {"size": size, **hashed}


def publish(folder: Path, nonce: str, name: str, content: bytes, replace: bool) -> bool:
    """Make ``<folder>/<name>`` visible with ``content`` in one step, by way of the sub-folder ``nonce``.

    Returns False, and changes nothing, if the file exists and ``replace`` is False.

    Raises:
        OSError: something failed; the file is there whole or as it was before.
    """
    pending = folder / nonce / _PENDING
    write(content, pending)
    sync(folder / nonce)
    if replace:
        pending.replace(folder / name)
    else:
        try:
            (folder / name).hardlink_to(pending)
        except FileExistsError:
            # A network file system may repeat a link whose answer was lost: then the file is this one.
            if not (folder / name).samefile(pending):
                return False
    sync(folder)
    return True


def sync(folder: Path) -> None:
    """Write the entries of ``folder`` to the disk, so that the order of steps survives a power failure."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except FileNotFoundError:
        return  # another process deleted it: nothing to keep
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def remove(folder: Path, nonce: str) -> None:
    """Remove a writer's sub-folder that is in no use; what can't be removed now is left to a sweep."""
    if NONCE.fullmatch(nonce):
        shutil.rmtree(folder / nonce, ignore_errors=True)


def prune(folder: Path, root: Path) -> None:
    """Remove ``folder`` and the folders above it, below ``root``, as far as they are empty."""
    with contextlib.suppress(OSError):
        while folder != root:
            folder.rmdir()
            folder = folder.parent


def touched(folder: Path) -> float:
    """When anything in ``folder`` was last written, in seconds since 1970; now, if it is just going away."""
    try:
        return max(p.lstat().st_mtime for p in (folder, *folder.rglob("*")))
    except FileNotFoundError:
        return time.time()
