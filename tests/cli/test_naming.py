"""One way of naming a setting, for every command that takes one."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ftstab.cli.naming import find_setting
from ftstab.errors import MisuseError
from tests.lab import Finished, cli


def test_numbers_of_the_frontier_name_settings_everywhere(finished: Finished) -> None:
    rows = cli("frontier", finished.study, "--json").json["settings"]
    assert rows
    for row in rows:
        said = cli("responses", finished.study, str(row["number"]), "--json").json
        assert said["setting"] == row["setting"]
    first, last = rows[0], rows[-1]
    said = cli("compare", finished.study, str(first["number"]), str(last["number"]), "--json").json
    assert [one["setting"] for one in said["settings"]] == [first["setting"], last["setting"]]


def test_start_and_keys(finished: Finished) -> None:
    results = finished.lab.results(finished.study)
    assert find_setting(results, "start") is results.start
    for outcome in results.outcomes:
        assert find_setting(results, outcome.setting) == outcome


@pytest.mark.parametrize("name", ["99999", "starts", ""])
@pytest.mark.parametrize("command", [("responses",), ("compare", "start")])
def test_what_names_nothing_is_told_what_does(
    finished: Finished, command: tuple[str, ...], name: str
) -> None:
    count = len(finished.lab.results(finished.study).outcomes)
    done = cli(command[0], finished.study, *command[1:], name)
    assert done.code == 2
    assert f"a number that `ftstab frontier` prints (1 to {count}), `start`, or the beginning" in done.err


def test_a_beginning_of_several_keys_is_refused(finished: Finished) -> None:
    results = finished.lab.results(finished.study)
    first, second, *_ = results.outcomes
    alike = (first.model_copy(update={"setting": "abc1"}), second.model_copy(update={"setting": "abc2"}))
    results = replace(results, outcomes=alike)
    with pytest.raises(MisuseError, match="the keys of 2 settings begin so"):
        find_setting(results, "abc")
    assert find_setting(results, "abc2") == alike[1]
