"""The cache: whole folders or none, whoever builds at the same time."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from ftstab.models.cache import building, cache_root


def test_the_environment_names_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FTSTAB_CACHE", str(tmp_path / "mine"))
    assert cache_root() == tmp_path / "mine"
    monkeypatch.delenv("FTSTAB_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_root() == tmp_path / "xdg" / "ftstab"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert cache_root() == tmp_path / "home" / ".cache" / "ftstab"


def test_a_target_appears_whole(tmp_path: Path) -> None:
    target = tmp_path / "models" / "x"
    with building(target) as folder:
        (folder / "a").write_text("1")
        assert not target.exists()
    assert (target / "a").read_text() == "1"
    assert os.listdir(target.parent) == ["x"]


@pytest.mark.parametrize(
    ("umask", "folder_mode", "file_mode"), [(0o022, 0o755, 0o644), (0o027, 0o750, 0o640)]
)
def test_who_may_read_it_is_what_the_umask_says(
    tmp_path: Path, umask: int, folder_mode: int, file_mode: int
) -> None:
    before = os.umask(umask)
    try:
        with building(tmp_path / "x") as folder:
            (folder / "deep").mkdir()
            # As libraries write it that keep their files to themselves.
            (folder / "deep" / "a").touch(mode=0o600)
    finally:
        os.umask(before)
    assert (tmp_path / "x").stat().st_mode & 0o777 == folder_mode
    assert (tmp_path / "x" / "deep" / "a").stat().st_mode & 0o777 == file_mode


def test_nothing_stays_of_a_failure(tmp_path: Path) -> None:
    def fail() -> None:
        with building(tmp_path / "x") as folder:
            (folder / "a").write_text("1")
            raise MemoryError

    with pytest.raises(MemoryError):
        fail()
    assert os.listdir(tmp_path) == []


def test_the_first_to_finish_wins_and_the_second_keeps_quiet(tmp_path: Path) -> None:
    target = tmp_path / "x"
    with building(target) as slow:
        (slow / "a").write_text("slow")
        with building(target) as quick:
            assert quick != slow
            (quick / "a").write_text("quick")
        assert (target / "a").read_text() == "quick"
    assert (target / "a").read_text() == "quick"
    assert os.listdir(tmp_path) == ["x"]


def test_many_builders_leave_one_whole_folder(tmp_path: Path) -> None:
    target, count = tmp_path / "x", 8
    together, errors = threading.Barrier(count), []

    def build(number: int) -> None:
        try:
            with building(target) as folder:
                for name in "abc":
                    (folder / name).write_text(str(number))
                together.wait(timeout=20)
        except OSError as error:
            errors.append(error)

    threads = [threading.Thread(target=build, args=(i,)) for i in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert len({(target / name).read_text() for name in "abc"}) == 1
    assert os.listdir(tmp_path) == ["x"]


def test_a_file_in_the_way_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("in the way")
    with pytest.raises(OSError, match="Not a directory"), building(tmp_path / "x") as folder:
        (folder / "a").write_text("1")
    assert os.listdir(tmp_path) == ["x"]
