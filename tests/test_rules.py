"""`tests/RULES.md` names the tests that hold each rule of measuring; every one of them must be there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

HERE = Path(__file__).parent
NAMED = sorted(
    set(re.findall(r"`([\w/]+\.py)(?:::(\w+))?`", (HERE / "RULES.md").read_text(encoding="utf-8")))
)


def test_rules_are_named():
    rows = re.findall(r"^\| (\d+) \|", (HERE / "RULES.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert {int(n) for n in rows} == {*range(1, 24)}


@pytest.mark.parametrize(("file", "test"), NAMED)
def test_a_named_test_is_there(file, test):
    path = HERE / file if (HERE / file).is_file() else HERE.parent / file
    assert path.is_file()
    # A name may end in the beginning of several tests' names.
    assert not test or f"def {test}" in path.read_text(encoding="utf-8")
