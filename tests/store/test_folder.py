"""The folder store under kills, full disks, damage and leftovers."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ftstab.errors import StoreError
from ftstab.store import FolderStore, files, open_store


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    return open_store(tmp_path / "store", create=True)


def _run(script: str, *args: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", script, *map(str, args)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def _leftovers(store: FolderStore) -> list[Path]:
    """Sub-folders of writers that no manifest names."""
    found = []
    for path in store.root.rglob("~*"):
        piece = store.get(path.parent.relative_to(store.root).as_posix()) if path.is_dir() else None
        if path.is_dir() and (piece is None or piece.nonce != path.name):
            found.append(path)
    return found


def _only_files(folder: Path) -> Path:
    (path,) = [p for p in folder.rglob("*") if p.is_file() and p.name == "x"]
    return path


# Killed at each of its steps on the file system in turn, each time in a fork of its own.
_KILLED_AT_EACH_STEP = """
import json, os, signal, sys
from pathlib import Path
from ftstab.store import open_store

store, doing = open_store(sys.argv[1]), sys.argv[2]

def act():
    if doing == "put":
        store.put("a/b", {"x": b"new", "y": b"new"})
    elif doing == "put_if_absent":
        store.put_if_absent("c/d", {"x": b"new", "y": b"new"})
    else:
        store.delete("a/b")

def count(event, args, step):
    global steps
    if armed and event in STEPS:
        steps += 1
        if steps == step:
            os.kill(os.getpid(), signal.SIGKILL)

STEPS = {"open", "os.rename", "os.remove", "os.mkdir", "os.link", "os.rmdir", "os.scandir", "shutil.rmtree"}
seen = []
for step in range(1, 200):
    store.delete("c/d")
    store.put("a/b", {"x": b"old", "y": b"old"})
    pid = os.fork()
    if not pid:
        steps, armed = 0, True
        sys.addaudithook(lambda event, args: count(event, args, step))
        act()
        os._exit(0)
    _, status = os.waitpid(pid, 0)
    states = {}
    for key in ("a/b", "c/d"):
        piece = store.get(key)
        states[key] = None if piece is None else [piece.read(n).decode() for n in piece.names]
    listed = store.list()
    seen.append([os.WIFSIGNALED(status), states, listed])
    store.put("a/b", {"x": b"again"})
    assert store.get("a/b").read("x") == b"again"
    if not os.WIFSIGNALED(status):
        break
print(json.dumps(seen))
"""


@pytest.mark.parametrize("doing", ["put", "put_if_absent", "delete"])
def test_killed_at_every_step_the_piece_is_whole(store: FolderStore, doing: str):
    ran = _run(_KILLED_AT_EACH_STEP, store.root, doing)
    assert ran.returncode == 0, ran.stderr
    seen = json.loads(ran.stdout)
    assert [killed for killed, _, _ in seen] == [True] * (len(seen) - 1) + [False]
    old, new = ["old", "old"], ["new", "new"]
    key, allowed = {
        "put": ("a/b", [old, new]),
        "put_if_absent": ("c/d", [None, new]),
        "delete": ("a/b", [old, None]),
    }[doing]
    # It goes from the first state to the second once, and never shows another.
    states = [states[key] for _, states, _ in seen]
    turn = states.index(allowed[1])
    assert turn > 0
    assert states == [allowed[0]] * turn + [allowed[1]] * (len(states) - turn)
    for _, states, listed in seen:
        assert listed == sorted(k for k, content in states.items() if content is not None)
    store.sweep(older_than=0)
    assert _leftovers(store) == []
    assert store.get("a/b").read("x") == b"again"


_PUT_FOREVER = """
import itertools, sys
from pathlib import Path
from ftstab.store import open_store
store = open_store(sys.argv[1])
for i in itertools.count(int(sys.argv[2])):
    body = b"%09d" % i * 20000
    store.put(f"k/{i % 3}", {"x": body, "y": body})
    store.put_if_absent(f"once/{i}", {"x": body})
    if i % 5 == 4:
        store.delete(f"k/{i % 3}")
    print(i, flush=True)
"""


def test_killed_at_random_leaves_only_whole_pieces(store: FolderStore):
    done = 0
    for trial in range(6):
        writer = subprocess.Popen(
            [sys.executable, "-c", _PUT_FOREVER, str(store.root), str(done)],
            stdout=subprocess.PIPE,
            text=True,
        )
        writer.stdout.readline()
        time.sleep(0.02 + 0.017 * trial)
        os.kill(writer.pid, signal.SIGKILL)
        rest, _ = writer.communicate()
        done = max([done, *map(int, rest.split())]) + 2
        assert writer.returncode == -signal.SIGKILL
        for key in store.list():
            piece = store.get(key)
            contents = {piece.read(name) for name in piece.names}
            assert len(contents) == 1
            assert len(contents.pop()) == 180000
    assert len(store.list("once")) >= 6
    whole = store.list()
    store.sweep(older_than=0)
    assert store.list() == whole
    assert _leftovers(store) == []


_PUT_PAST_A_LIMIT = """
import resource, sys
from ftstab.errors import StoreError
from ftstab.store import open_store
store = open_store(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
for put in (store.put, store.put_if_absent):
    try:
        put(sys.argv[2], {"x": b"n" * 50_000, "y": b"n" * 150_000})
    except StoreError as error:
        print(error)
"""


@pytest.mark.parametrize("key", ["a/b", "fresh/one"])
def test_past_a_size_limit_nothing_half_is_left(store: FolderStore, key: str):
    store.put("a/b", {"x": b"old"})
    before = sorted(store.root.rglob("*"))
    ran = _run(_PUT_PAST_A_LIMIT, store.root, key)
    assert ran.returncode == 0, ran.stderr
    messages = ran.stdout.splitlines()
    assert len(messages) == (1 if key == "a/b" else 2)
    for message in messages:
        assert key in message
        assert str(store.root) in message
        assert "free some space and run the same command again: finished settings are kept" in message
    assert sorted(store.root.rglob("*")) == before
    assert store.get("a/b").read("x") == b"old"


_needs_root = pytest.mark.skipif(
    sys.platform != "linux" or os.geteuid() != 0, reason="needs root on Linux to mount a small disk"
)


@pytest.fixture
def small_disk(tmp_path: Path):
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"can't mount a small disk: {mounted.stderr.decode().strip()}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@_needs_root
def test_on_a_full_disk_nothing_half_is_left(small_disk: Path):
    store = open_store(small_disk / "store", create=True)
    store.put("a", {"x": b"old" * 100_000})

    def write(folder: Path) -> None:
        (folder / "small").write_bytes(b"1")
        (folder / "x").write_bytes(b"w" * 2_000_000)

    small = {"small": b"1", "x": b"n" * 900_000}
    for key, files_ in (("a", small), ("a", write), ("b/c", write)):
        with pytest.raises(
            StoreError, match=r"No space left.*free some space and run the same command again"
        ):
            store.put(key, files_)
        assert store.list() == ["a"]
        assert store.get("a").read("x") == b"old" * 100_000
        assert _leftovers(store) == []
    store.delete("a")
    store.put("b/c", {"x": b"n" * 900_000})
    assert store.list() == ["b/c"]


@_needs_root
def test_a_read_only_disk_is_said(small_disk: Path):
    store = open_store(small_disk / "store", create=True)
    store.put("a", {"x": b"old"})
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    for call in (lambda: store.put("a", {"x": b"new"}), lambda: store.delete("a")):
        with pytest.raises(StoreError, match=r"Read-only.*must be able to read and write"):
            call()
    assert open_store(store.root).get("a").read("x") == b"old"
    with pytest.raises(StoreError, match=r"Read-only.*must be able to read and write"):
        open_store(small_disk / "another", create=True)


def test_a_truncated_file_is_named(store: FolderStore):
    store.put("a/b", {"x": b"0123456789"})
    path = store.get("a/b").path("x")
    path.write_bytes(b"01234")
    for access in (store.get("a/b").read, store.get("a/b").path):
        with pytest.raises(
            StoreError, match=r"'a/b'.*damaged.*'x'.*5 bytes.*10.*delete .*run the same command"
        ):
            access("x")


def test_a_changed_file_is_named(store: FolderStore):
    store.put("a/b", {"x": b"0123456789"})
    store.get("a/b").path("x").write_bytes(b"012345678x")
    for access in (store.get("a/b").read, store.get("a/b").path):
        with pytest.raises(StoreError, match=r"'a/b'.*damaged.*'x'.*checksum"):
            access("x")


def test_a_lost_file_is_damage_and_not_a_replacement(store: FolderStore):
    store.put("a/b", {"x": b"0123456789"})
    piece = store.get("a/b")
    _only_files(store.root).unlink()
    with pytest.raises(StoreError, match=r"'a/b'.*damaged.*'x'.*missing"):
        piece.read("x")


def test_a_damaged_manifest_is_named_and_can_be_put_or_deleted_over(store: FolderStore):
    for content in (b"{", b"[]", b'{"nonce": "~0"}'):
        store.put("a/b", {"x": b"1"})
        (store.root / "a/b/manifest.json").write_bytes(content)
        for call in (store.get, store.exists):
            with pytest.raises(StoreError, match=r"'a/b'.*damaged.*manifest"):
                call("a/b")
        store.put("a/b", {"x": b"2"})
        assert store.get("a/b").read("x") == b"2"
        (store.root / "a/b/manifest.json").write_bytes(content)
        store.delete("a/b")
        assert not store.exists("a/b")
    assert _leftovers(store) != []
    store.sweep(older_than=0)
    assert _leftovers(store) == []


def test_big_files_are_checked_by_size_alone(store: FolderStore, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(files, "HASHED_BELOW", 1000)
    content = {"big": b"b" * 1000, "small": b"b" * 999}

    def write(folder: Path) -> None:
        for name, data in content.items():
            (folder / name).write_bytes(data)

    for key, given in (("bytes", content), ("written", write)):
        store.put(key, given)
        manifest = json.loads((store.root / key / "manifest.json").read_bytes())["files"]
        assert manifest["big"] == {"size": 1000}
        assert manifest["small"] == {"size": 999, "sha256": hashlib.sha256(b"b" * 999).hexdigest()}
        piece = store.get(key)
        assert {name: piece.read(name) for name in piece.names} == content
        piece.path("big").write_bytes(b"b" * 998)
        with pytest.raises(StoreError, match="998 bytes"):
            piece.path("big")


def test_sweep_takes_old_leftovers_only(store: FolderStore):
    store.put("a/b", {"x": b"1"})
    old, young = store.root / "a/b/~00000000000000aa", store.root / "c/~00000000000000bb"
    in_root = store.root / "~00000000000000cc"
    for folder in (old, young, in_root):
        (folder / "sub").mkdir(parents=True)
        (folder / "sub/x").write_bytes(b"half")
    hour_ago = time.time() - 3700
    for path in (old / "sub/x", old / "sub", old, in_root / "sub/x", in_root / "sub", in_root, young):
        os.utime(path, (hour_ago, hour_ago))
    live = store.root / "a/b" / store.get("a/b").nonce
    for path in (live / "x", live):
        os.utime(path, (hour_ago, hour_ago))
    assert store.sweep() == 2
    # The folder of `young` is old, but a file in it was written to just now.
    assert not old.exists()
    assert not in_root.exists()
    assert young.exists()
    assert store.get("a/b").read("x") == b"1"
    assert store.sweep(older_than=0) == 1
    assert not (store.root / "c").exists()
    assert store.sweep(older_than=0) == 0


def test_sweep_keeps_what_a_damaged_manifest_may_name(store: FolderStore):
    store.put("a/b", {"x": b"1"})
    manifest = (store.root / "a/b/manifest.json").read_bytes()
    (store.root / "a/b/manifest.json").write_bytes(b"{")
    assert store.sweep(older_than=0) == 0
    (store.root / "a/b/manifest.json").write_bytes(manifest)
    assert store.get("a/b").read("x") == b"1"


def test_put_and_delete_leave_nothing_behind(store: FolderStore):
    for i in range(3):
        store.put("a/b", {"x": b"%d" % i})
        assert not store.put_if_absent("a/b", {"x": b"no"})
    assert _leftovers(store) == []
    store.delete("a/b")
    assert [p.name for p in store.root.iterdir()] == ["ftstab-store.json"]


def test_foreign_files_in_a_store_are_no_pieces(store: FolderStore):
    store.put("a", {"x": b"1"})
    (store.root / "a/notes.txt").write_text("mine")
    (store.root / "not a key").mkdir()
    (store.root / "not a key/manifest.json").write_text("{}")
    assert store.list() == ["a"]
    store.delete("a")
    assert (store.root / "a/notes.txt").read_text() == "mine"


def test_a_link_repeated_by_the_file_system_is_no_defeat(store: FolderStore, monkeypatch: pytest.MonkeyPatch):
    real = os.link

    def link(source, target, **options):
        real(source, target, **options)
        real(source, target, **options)

    monkeypatch.setattr(os, "link", link)
    assert store.put_if_absent("a", {"x": b"1"}) is True
    assert store.get("a").read("x") == b"1"


def test_ctrl_c_just_after_the_piece_became_visible(store: FolderStore, monkeypatch: pytest.MonkeyPatch):
    store.put("a", {"x": b"old"})
    real = os.replace

    def replace(source, target, **options):
        real(source, target, **options)
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", replace)
    with pytest.raises(KeyboardInterrupt):
        store.put("a", {"x": b"new"})
    assert store.get("a").read("x") == b"new"
    store.sweep(older_than=0)
    assert store.get("a").read("x") == b"new"


def test_a_store_that_went_away_is_not_made_anew(store: FolderStore):
    store.root.rename(store.root.with_name("moved"))
    with pytest.raises(StoreError, match="the folder is gone"):
        store.put("a", {"x": b"1"})
    assert not store.root.exists()


def test_writers_and_deleters_side_by_side(store: FolderStore, tmp_path: Path):
    script = """
import sys
from ftstab.store import open_store
store = open_store(sys.argv[1])
for i in range(40):
    store.put("a/b/c", {"x": b"1"})
    store.delete("a/b/c")
"""
    workers = [subprocess.Popen([sys.executable, "-c", script, str(store.root)]) for _ in range(4)]
    assert [worker.wait(60) for worker in workers] == [0] * 4
    store.delete("a/b/c")
    assert store.list() == []


def test_a_folder_pruned_while_a_writer_begins(store: FolderStore, monkeypatch: pytest.MonkeyPatch):
    real, pruned = os.mkdir, []

    def mkdir(path, *rest):
        real(path, *rest)
        if Path(path).name == "b" and len(pruned) < 3:
            pruned.append(path)
            os.rmdir(path)

    monkeypatch.setattr(os, "mkdir", mkdir)
    store.put("a/b", {"x": b"1"})
    assert len(pruned) == 3
    assert store.get("a/b").read("x") == b"1"


def test_a_store_travels_to_workers(store: FolderStore):
    store.put("a", {"x": b"1"})
    assert pickle.loads(pickle.dumps(store)).get("a").read("x") == b"1"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder_is_said(store: FolderStore):
    store.root.chmod(0o500)
    try:
        with pytest.raises(StoreError, match="must be able to read and write"):
            store.put("a", {"x": b"1"})
    finally:
        store.root.chmod(0o700)
