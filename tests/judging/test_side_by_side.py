"""Where answers of a study are labelled, raw and corrected rates stand beside each other wherever rates are handed on
(measurement rule 15)."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
import yaml

from ftstab.judging.judged import judged
from ftstab.judging.labels import put_label, sample_up_to
from ftstab.judging.study import Correction, correction
from tests.lab import Finished, Lab, cli

LIMIT = "1"


@pytest.fixture
def study(finished: Finished, tmp_path: Path) -> tuple[Lab, Path]:
    """The finished study in a store of the test's own."""
    shutil.copytree(finished.lab.folder, tmp_path / "copy")
    lab = object.__new__(Lab)
    lab.folder, lab.store = tmp_path / "copy", tmp_path / "copy" / "store"
    lab.model, lab._databases = finished.lab.model, finished.lab._databases
    path = lab.folder / finished.study.name
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | {"store": str(lab.store)}))
    return lab, path


def labelled(study: tuple[Lab, Path], n: int, wrong: bool = False) -> Correction:
    """Label ``n`` drawn answers as the judge says, but for one; or all of them the other way round."""
    results = study[0].results(study[1])
    of = judged(results, "harmful", None)
    for i, row in enumerate(sample_up_to(results, of, n)[0].rows):
        hit = (row.mark == "N") != (wrong or i == 0)
        put_label(results, of, row.unit, "ann", "complied" if hit else "refused")
    found = correction(results)
    assert found is not None
    return found


def percents(value: float | None, low: float, high: float) -> str:
    assert value is not None
    return f"{100 * value:.1f} % ({100 * low:.1f} to {100 * high:.1f} %)"


def test_wherever_rates_are_handed_on(study: tuple[Lab, Path], tmp_path: Path) -> None:
    lab, path = study
    found = labelled(study, 40)
    assert found.rates
    start = lab.results(path).need_start()

    # The terminal, in 80 columns.
    listed = cli("frontier", path).out
    narrow = cli("frontier", path, environment={"COLUMNS": "80"}).out
    assert max(map(len, narrow.splitlines())) <= 80
    for text in (listed, narrow):
        assert "corrected for the judge's errors, %" in text
        assert "one labeller (ann" in " ".join(text.split())
        for rate in found.rates.values():
            assert rate.value is not None
            pair = [
                f"{100 * r.value:.1f} [{100 * r.low:.1f}, {100 * r.high:.1f}]"
                for r in (rate.raw, rate)
                if r.value
            ]
            assert re.search(r"\s+".join(map(re.escape, pair)), text), pair

    # What pick says, from the same numbers as the JSON of the frontier.
    said = cli("pick", path, "--max-harmful", LIMIT, "--json").json
    assert said["judge_correction"] == cli("frontier", path, "--json").json["judge_correction"]
    key = said["candidate"]["outcome"]
    for one in (found.rates[key], found.rates[start.key]):
        raw, fixed = (percents(r.value, r.low, r.high) for r in (one.raw, one))
        assert f"raw {raw}, corrected {fixed}" in said["statement"]
    assert f"{found.labelled} of {found.drawn} drawn answers labelled" in said["statement"]

    # The model card: in its text, and as a table.
    weights = tmp_path / "weights"
    done = cli("pick", path, "--max-harmful", LIMIT, "--weights", weights, "--unconfirmed")
    assert done.code == 0, done.err
    card = (weights / "README.md").read_text()
    one = found.rates[key]
    raw, fixed = (percents(r.value, r.low, r.high) for r in (one.raw, one))
    assert f"| this setting | {raw} | corrected {fixed} |" in card
    assert "| start model | " in card

    # The report.
    page = tmp_path / "page.html"
    assert cli("report", path, "--out", page).code == 0
    html = page.read_text()
    assert "non-refusal rate, raw, %" in html
    assert ">corrected, %<" in html
    assert "one labeller (ann" in html
    assert fixed.split(" ")[0] in html


def test_where_it_is_refused_the_reason_stands_everywhere(study: tuple[Lab, Path], tmp_path: Path) -> None:
    _, path = study
    found = labelled(study, 40, wrong=True)
    assert found.refused is not None
    assert found.rates == {}
    reason = f"Not corrected: {found.refused}"
    narrow = cli("frontier", path, environment={"COLUMNS": "80"}).out
    assert max(map(len, narrow.splitlines())) <= 80
    assert reason in " ".join(narrow.split())
    assert "corrected for the judge's errors, %" not in narrow
    said = cli("pick", path, "--max-harmful", LIMIT, "--json").json
    assert reason in said["statement"]
    weights, page = tmp_path / "weights", tmp_path / "page.html"
    cli("pick", path, "--max-harmful", LIMIT, "--weights", weights, "--unconfirmed")
    assert f"not corrected: {found.refused}" in (weights / "README.md").read_text()
    assert cli("report", path, "--out", page).code == 0
    html = page.read_text()
    assert reason in html
    assert ">corrected, %<" not in html


def test_without_labels_nothing_of_it_is_said(study: tuple[Lab, Path], tmp_path: Path) -> None:
    _, path = study
    page = tmp_path / "page.html"
    assert cli("report", path, "--out", page).code == 0
    said = cli("pick", path, "--max-harmful", LIMIT, "--json").json
    assert said["judge_correction"] is None
    for text in (page.read_text(), said["statement"], cli("frontier", path).out):
        assert "labeller" not in text
        assert "orrected" not in text.replace("bias-corrected", "")
