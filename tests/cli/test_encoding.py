"""Where words go need not be UTF-8: a pipe of Windows, a terminal of an old locale."""

from __future__ import annotations

import pytest

from tests.lab import Finished


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_what_an_encoding_lacks_is_written_out(finished: Finished, encoding: str) -> None:
    with finished.lab.start("frontier", finished.study, PYTHONIOENCODING=encoding) as process:
        said, errors = process.communicate()
    assert process.returncode == 0, errors
    # The minus sign of an interval.
    assert "[\\u2212" in said
