"""Data sets of the hub, read by the real `datasets` from a folder in the place of the network."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from ftstab.data.hub import local_only
from ftstab.data.rows import read_rows
from ftstab.errors import DataError, NotHereError
from ftstab.spec import Source


@pytest.fixture
def hub_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory in which `owner/set` is a data set, with a cache of its own."""
    import datasets

    folder = tmp_path / "owner" / "set"
    folder.mkdir(parents=True)
    for split, count in (("train", 3), ("test", 2)):
        rows = [{"instruction": f"{split} {i}", "input": "", "output": "x"} for i in range(count)]
        (folder / f"{split}.jsonl").write_text("\n".join(json.dumps(r) for r in rows))
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.chdir(tmp_path)
    datasets.disable_progress_bars()
    return folder


def test_hub_rows_of_a_split(hub_folder: Path) -> None:
    rows = read_rows(Source(location="hf:owner/set"), Path("."), True)
    assert [r.prompt for r in rows.rows] == ["train 0", "train 1", "train 2"]
    assert rows.name == "hf:owner/set"
    test = read_rows(Source(location="hf:owner/set", split="test", limit=1), Path("."), True)
    assert [r.prompt for r in test.rows] == ["test 0"]


def test_hub_errors(hub_folder: Path) -> None:
    with pytest.raises(
        DataError, match=r"hf:owner/set \(split 'validation', revision newest\): can't be loaded"
    ):
        read_rows(Source(location="hf:owner/set", split="validation"), Path("."), True)
    with pytest.raises(DataError, match="write hf:<owner>/<dataset>"):
        read_rows(Source(location="hf:../somewhere/else"), Path("."), True)


def test_code_of_a_data_set_is_not_run(hub_folder: Path, tmp_path: Path) -> None:
    for file in hub_folder.iterdir():
        file.unlink()
    ran = tmp_path / "ran"
    (hub_folder / "set.py").write_text(f"open({str(ran)!r}, 'w')\n")
    with pytest.raises(DataError, match="can't be loaded"):
        read_rows(Source(location="hf:owner/set"), Path("."), True)
    assert not ran.exists()


def test_missing_extra_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(DataError, match=r"pip install 'ftstab\[hub\]'"):
        read_rows(Source(location="hf:owner/set"), Path("."), True)


def test_nothing_is_downloaded_where_that_is_not_allowed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import datasets.config
    import huggingface_hub.constants

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    before = (datasets.config.HF_HUB_OFFLINE, huggingface_hub.constants.HF_HUB_OFFLINE)
    with local_only(), pytest.raises(NotHereError, match=r"hf:owner/other .*can't be loaded"):
        read_rows(Source(location="hf:owner/other"), Path("."), True)
    assert before == (datasets.config.HF_HUB_OFFLINE, huggingface_hub.constants.HF_HUB_OFFLINE)
