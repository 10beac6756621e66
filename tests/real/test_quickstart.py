"""The whole quickstart on the real small model and on Ray workers, with few steps, prompts and tokens."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from ftstab.cli.main import main

QUICKSTART = Path(__file__).parents[2] / "sweeps" / "quickstart.yaml"


@pytest.mark.real
@pytest.mark.ray
@pytest.mark.timeout(1200)
def test_the_quickstart_runs_with_few_steps(tmp_path, monkeypatch, capsys):
    file = yaml.safe_load(QUICKSTART.read_text(encoding="utf-8"))
    file["study"] = "few-steps"
    file["store"] = str(tmp_path / "studies")
    file["axes"]["steps"] = [1, 2, 3]
    file["training"]["max_length"] = 96
    file["evaluation"]["harmful"]["limit"] = 12
    file["evaluation"]["over_refusal"]["limit"] = 6
    file["evaluation"]["utility"]["limit"] = 6
    file["evaluation"]["decoding"] = {"max_new_tokens": 8, "batch_size": 12}
    file["keep_weights"] = "none"
    study = tmp_path / "few-steps.yaml"
    study.write_text(yaml.safe_dump(file, sort_keys=False), encoding="utf-8")

    _command(monkeypatch, "run", str(study))
    printed = capsys.readouterr().out
    assert "[24/24]" in printed
    assert "A demonstration on a 135M model" in printed

    _command(monkeypatch, "frontier", str(study), "--json")
    found = json.loads(capsys.readouterr().out)
    assert found["summary"]["settings"] == 24
    assert found["summary"]["trajectories"] == 4
    start = found["start"]["rate"]
    # The start model refuses what it is asked, or the quickstart would have nothing to lose.
    assert start["name"] == "non_refusal_rate"
    assert start["hits"] <= 4
    assert all(row["rate"]["n"] == 12 for row in found["settings"])
    # Weights that moved answer otherwise than the start: the shadows are not the last weights.
    hashes = {row["setting"] for row in found["settings"]}
    assert len(hashes) == 24
    assert (tmp_path / "studies" / "few-steps" / "report.html").stat().st_size > 100_000


def _command(monkeypatch: pytest.MonkeyPatch, *words: str) -> None:
    monkeypatch.setattr("sys.argv", ["ftstab", *words])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0
