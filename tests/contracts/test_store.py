"""What every store must do.  A new implementation is added to `STORES` and inherits all of it."""

from __future__ import annotations

import contextlib
import errno
import multiprocessing
import threading
from collections.abc import Callable
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest

from ftstab.errors import StoreError
from ftstab.store import Content, ReplacedError, Store, open_store, read_piece

Opener = Callable[[Path], Store]


def _folder(path: Path) -> Store:
    return open_store(path / "store", create=True)


# Each opens the store at a place that is the test's own: called again there, by any process, the same one.
STORES: dict[str, Opener] = {"folder": _folder}

HOSTILE_KEYS = [
    "",
    "/",
    "/etc/passwd",
    "a/",
    "a//b",
    ".",
    "..",
    "../a",
    "a/../b",
    "a/./b",
    "a/..",
    "a b",
    "a\\b",
    "a\n",
    "a\x00b",
    "~0123456789abcdef",
    "é",
    "a:b",
    "a*",
    "manifest.json",
    "a/manifest.json",
    "a" * 201,
]


@pytest.fixture(params=sorted(STORES))
def opener(request: pytest.FixtureRequest) -> Opener:
    return STORES[request.param]


@pytest.fixture
def store(opener: Opener, tmp_path: Path) -> Store:
    return opener(tmp_path)


WHOLE = {"x.json": b'{"n": [1, null]}', "sub/y.bin": bytes(range(256)) * 5000, "empty": b""}


def write_whole(folder: Path) -> None:
    for name, content in WHOLE.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(content)


@pytest.mark.parametrize("files", [WHOLE, write_whole], ids=["bytes", "written"])
def test_what_is_put_is_got(store: Store, files: Content):
    store.put("a/b", files)
    piece = store.get("a/b")
    assert piece is not None
    assert piece.key == "a/b"
    assert piece.names == ["empty", "sub/y.bin", "x.json"]
    assert piece.json("x.json") == {"n": [1, None]}
    assert piece.read("sub/y.bin") == WHOLE["sub/y.bin"]
    assert piece.path("sub/y.bin").read_bytes() == WHOLE["sub/y.bin"]
    assert piece.read("empty") == b""
    assert store.exists("a/b")


def test_put_replaces_the_whole_piece(store: Store):
    store.put("a", {"x": b"1", "y": b"1"})
    store.put("a", {"x": b"2"})
    assert store.get("a").names == ["x"]
    assert store.get("a").read("x") == b"2"


def test_absent(store: Store):
    store.put("a/b/c", {"x": b"1"})
    for key in ("z", "a", "a/b", "a/b/c/d"):
        assert store.get(key) is None
        assert not store.exists(key)
        store.delete(key)
    assert store.list() == ["a/b/c"]


def test_a_piece_may_have_no_files(store: Store):
    store.put("a", {})
    assert store.exists("a")
    assert store.get("a").names == []


def test_put_if_absent(store: Store):
    assert store.put_if_absent("a/b", {"x": b"1"}) is True
    assert store.put_if_absent("a/b", {"x": b"2"}) is False
    assert store.get("a/b").read("x") == b"1"
    store.delete("a/b")
    assert store.put_if_absent("a/b", {"x": b"3"}) is True
    assert store.get("a/b").read("x") == b"3"


def test_list_is_sorted_and_strictly_below(store: Store):
    for key in ("t/b/o/2", "t/b/o/10", "t/b", "t/ba/o/1", "t/a", "u"):
        store.put(key, {"x": b""})
    assert store.list() == ["t/a", "t/b", "t/b/o/10", "t/b/o/2", "t/ba/o/1", "u"]
    assert store.list("t/b") == ["t/b/o/10", "t/b/o/2"]
    assert store.list("t/b/o") == ["t/b/o/10", "t/b/o/2"]
    assert store.list("t/b/o/2") == []
    assert store.list("v") == []


def test_pieces_below_pieces_are_independent(store: Store):
    store.put("a", {"b": b"outer", "b.json": b"outer"})
    store.put("a/b", {"x": b"inner"})
    store.put("a", {"y": b"outer again"})
    assert store.get("a/b").read("x") == b"inner"
    store.delete("a")
    assert not store.exists("a")
    assert store.get("a/b").read("x") == b"inner"
    store.put("a", {"y": b"outer"})
    store.delete("a/b")
    assert store.get("a").read("y") == b"outer"


def test_delete(store: Store):
    store.put("a/b", {"x": b"1"})
    store.put("a/c", {"x": b"1"})
    store.delete("a/b")
    assert not store.exists("a/b")
    assert store.list() == ["a/c"]
    store.delete("a/b")


@pytest.mark.parametrize("key", HOSTILE_KEYS, ids=lambda k: repr(k)[:24])
def test_hostile_keys_are_refused_everywhere(store: Store, tmp_path: Path, key: str):
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(StoreError, match="not allowed"):
        store.put(key, {"x": b""})
    with pytest.raises(StoreError, match="not allowed"):
        store.put_if_absent(key, {"x": b""})
    with pytest.raises(StoreError, match="not allowed"):
        store.put("good", {key: b""})
    for call in (store.get, store.exists, store.delete):
        with pytest.raises(StoreError, match="not allowed"):
            call(key)
    if key:
        with pytest.raises(StoreError, match="not allowed"):
            store.list(key)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("key", ["a", "A.b_c-1", "a..b", "...", ".a", "-a/_b", "a" * 200])
def test_odd_but_good_keys(store: Store, key: str):
    store.put(key, {"x": b"1"})
    assert store.get(key).read("x") == b"1"
    assert store.list() == [key]


def test_unknown_file_names_the_nearest(store: Store):
    store.put("a", {"outcome.json": b"{}"})
    with pytest.raises(StoreError, match=r"'a'.*'outcom.json'.*did you mean 'outcome.json'"):
        store.get("a").read("outcom.json")
    with pytest.raises(StoreError, match="has no file"):
        store.get("a").path("outcom.json")


def test_what_is_no_json_is_said_without_quoting_it(store: Store):
    store.put("a/b", {"x.json": b"the text of an answer"})
    with pytest.raises(StoreError, match=r"'a/b'.*x\.json") as caught:
        store.get("a/b").json("x.json")
    assert "the text" not in str(caught.value)


def test_what_can_not_be_written_leaves_what_was_there(store: Store):
    def write(folder: Path) -> None:
        (folder / "x").write_bytes(b"new")
        raise FileNotFoundError(errno.ENOENT, "No such file or directory", "nowhere")

    store.put("a", {"x": b"old"})
    with pytest.raises(StoreError, match="nowhere"):
        store.put("a", write)
    assert store.list() == ["a"]
    assert store.get("a").read("x") == b"old"


def test_a_writer_names_files_as_keys_allow(store: Store):
    with pytest.raises(StoreError, match="'a b'"):
        store.put("a", lambda folder: (folder / "a b").write_bytes(b"1"))
    assert store.list() == []


def test_a_piece_is_one_version(store: Store):
    store.put("a", {"x": b"1", "y": b"1"})
    piece = store.get("a")
    store.put("a", {"x": b"2", "y": b"2"})
    # A store that keeps old versions may go on giving them; any other must say that this one is gone.
    with contextlib.suppress(ReplacedError):
        assert piece.read("y") == b"1"
    with contextlib.suppress(ReplacedError):
        assert piece.path("y").read_bytes() == b"1"
    assert store.get("a").read("y") == b"2"


def test_reading_beside_a_writer_never_mixes_versions(store: Store):
    store.put("a", {"x": b"0", "y": b"0"})
    ended = threading.Event()

    def write() -> None:
        for i in range(60):
            store.put("a", {"x": b"%d" % i, "y": b"%d" % i})
        ended.set()

    writer = threading.Thread(target=write)
    writer.start()
    seen = set()
    while not ended.is_set():
        x, y = read_piece(store, "a", lambda piece: (piece.read("x"), piece.read("y")))
        assert x == y
        assert store.list() == ["a"]
        seen.add(x)
    writer.join()
    assert len(seen) > 1


def test_read_piece_of_nothing(store: Store):
    assert read_piece(store, "a", lambda piece: piece.read("x")) is None


def _race(opener: Opener, place: Path, barrier: Barrier, number: int, rounds: int, file: Path) -> None:
    store = opener(place)
    wins = []
    for i in range(rounds):
        barrier.wait(60)
        if store.put_if_absent(f"race/{i}", {"who": b"%d" % number, "more": b"%d" % number}):
            wins.append(i)
    file.write_text(" ".join(map(str, wins)))


def test_of_eight_processes_exactly_one_puts(opener: Opener, tmp_path: Path):
    store = opener(tmp_path)
    context = multiprocessing.get_context("spawn")
    barrier, rounds = context.Barrier(8), 15
    files = [tmp_path / f"wins-{i}" for i in range(8)]
    workers = [
        context.Process(target=_race, args=(opener, tmp_path, barrier, i, rounds, files[i])) for i in range(8)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
        assert worker.exitcode == 0
    wins = {i: [int(w) for w in file.read_text().split()] for i, file in enumerate(files)}
    assert sorted(w for mine in wins.values() for w in mine) == list(range(rounds))
    for number, mine in wins.items():
        for i in mine:
            piece = store.get(f"race/{i}")
            assert piece.read("who") == piece.read("more") == b"%d" % number
