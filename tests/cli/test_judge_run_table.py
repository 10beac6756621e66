"""The tables that list settings with another judge's rates: the frontier's numbers and order, at every width."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from ftstab.cli.naming import listed, listing
from ftstab.evaluation.marking import verdicts_key
from ftstab.results import Results
from tests.lab import Finished, cli

OTHER = "refusal_phrases_advbench@1"


def disagree(results: Results) -> None:
    """Store verdicts of the other judge that aren't all alike, so that kappa is defined."""
    for outcome in (results.need_start(), *results.outcomes):
        key = outcome.record["responses"]["harmful"]
        stored = results.records.responses(outcome.trajectory, key)
        assert stored is not None
        rows = [
            {"prompt_id": row["id"], "mark": "RN"[place % 2], "reason": None}
            for place, row in enumerate(stored[0])
        ]
        results.records.put_verdicts(outcome.trajectory, verdicts_key(key, OTHER), rows, {})


@pytest.mark.parametrize("width", [80, 120, 160])
def test_lines_stand_as_in_the_frontier_and_no_cell_is_cut(finished: Finished, tmp_path, width: int) -> None:
    lab, study = finished.copied(tmp_path / "copy")
    disagree(lab.results(study))
    listed_rows = cli("frontier", study, "--json").json["settings"]
    marks = [f"{row['number']}{'*' if row['on_frontier'] else ''}" for row in listed_rows]
    done = cli("judge", "run", study, "--judge", OTHER, environment={"COLUMNS": str(width)})
    assert done.code == 0, done.err
    lines = done.out.splitlines()
    first = next(i for i, line in enumerate(lines) if line.startswith("start"))
    table = lines[first : first + 1 + len(marks)]
    assert [line.split()[0] for line in table] == ["start", *marks]
    assert "…" not in done.out
    assert all(len(line) <= width for line in table)
    # The interval of kappa has no room under 100 columns.
    assert any(line.count("[") == 3 for line in table) == (width >= 100)


def test_parameters_that_do_not_fit_are_left_out(finished: Finished) -> None:
    lines = listed(finished.lab.results(finished.study))

    def table(width: int) -> str:
        out = io.StringIO()
        console = Console(file=out, width=width, color_system=None)
        console.print(listing(console, lines, ("figure",), lambda line: ["x" * 20]))
        return out.getvalue()

    assert "average" in table(60)
    narrow = table(30)
    assert "average" not in narrow
    assert narrow.count("x" * 20) == len(lines)
