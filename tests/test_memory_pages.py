"""Large tensors lie in huge pages, unless somebody says otherwise."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

PAGES = Path("/sys/kernel/mm/transparent_hugepage/enabled")
FAULTS = """
import ftstab, resource, torch
torch.set_num_threads(1)
big = torch.zeros(8_000_000)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
(big + 1).sum()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(**environment: str) -> int:
    """Page faults of a tensor of 32 MB: 7,813 small pages, or 16 huge ones."""
    kept = {k: v for k, v in os.environ.items() if k != "THP_MEM_ALLOC_ENABLE"}
    ran = subprocess.run(
        [sys.executable, "-c", FAULTS], env=kept | environment, capture_output=True, text=True, check=True
    )
    return int(ran.stdout)


@pytest.mark.skipif(
    not PAGES.is_file() or re.search(r"\[(never|always)\]", PAGES.read_text()) is not None,
    reason="this system gives no huge pages on request",
)
def test_large_tensors_lie_in_huge_pages() -> None:
    assert faults(THP_MEM_ALLOC_ENABLE="0") > 7000
    assert faults() < 4000
