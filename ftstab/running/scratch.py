"""Files on their way to the store.  Writes into the temporary folder of the system, and takes away what it wrote."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError

from ftstab.errors import StoreError


@contextmanager
def scratch(what: str) -> Iterator[Path]:
    """Context with a folder for ``what`` is to be stored; a full disk here is what a full store is.

    Raises:
        StoreError: a file can't be written.
    """
    try:
        with tempfile.TemporaryDirectory(prefix=f"ftstab-{what}-") as folder:
            yield Path(folder)
    except (OSError, SafetensorError) as error:
        raise StoreError(
            f"can't write the {what} into {tempfile.gettempdir()}: {error}; make room on that disk, or set TMPDIR to a "
            "folder of another, and run the same command again: finished settings are kept"
        ) from error
