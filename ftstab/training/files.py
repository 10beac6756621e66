"""Tensors on their way to a file.  Writes the file that it is told to."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file


def write_tensors(
    tensors: Mapping[str, torch.Tensor], path: Path, metadata: dict[str, str] | None = None
) -> None:
    """Write ``tensors``, from whatever device, to the safetensors file ``path``.

    Raises:
        OSError: the file can't be written; its number says why.
    """
    whole = {name: t.detach().cpu().contiguous() for name, t in tensors.items()}
    try:
        save_file(whole, path, metadata)
    except SafetensorError as error:
        # It passes on what the system said as text alone.
        said = re.search(r"os error (\d+)", str(error))
        number = int(said[1]) if said else errno.EIO
        raise OSError(number, os.strerror(number) if said else str(error), str(path)) from error
