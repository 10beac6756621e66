"""Typed records: what is put is got back, whole and equal, under the keys that the module documents."""

from __future__ import annotations

import errno
import gzip
import json
import math
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ftstab.errors import StoreError
from ftstab.outcome import Outcome, Profile, Rate, Score
from ftstab.store import Records, open_store


@pytest.fixture
def records(tmp_path: Path) -> Records:
    return Records(open_store(tmp_path / "store", create=True))


def _outcome(key: str = "k1", **changes: object) -> Outcome:
    rate = Rate(
        name="non_refusal_rate",
        judge="refusal_phrases@1",
        benchmark="builtin:harmful@abc",
        n=10,
        hits=3,
        misses=6,
        incoherent=1,
        unscored=0,
        value=3 / 9,
        low=0.1,
        high=0.6,
    )
    score = Score(
        metric="exact_match",
        direction="maximize",
        benchmark="b@1",
        n=3,
        value=None,
        low=None,
        high=None,
        interval="-",
    )
    base = {
        "key": key,
        "setting": key,
        "trajectory": "t1",
        "attempt": "a1",
        "status": "scored",
        "training": {"learning_rate": 1e-4, "seed": 0, "lora_targets": ["q", "v"]},
        "seed": 0,
        "step": 20,
        "profile": Profile(kind="exponential", value=0.9),
        "interpolation": 1.0,
        "rates": {"harmful": rate},
        "utility": score,
        "marks": {"harmful": "RNNI"},
        "losses": [1.25, 0.1 + 0.2],
    }
    return Outcome(**{**base, **changes})


def test_outcomes(records: Records):
    first, second = _outcome("k1"), _outcome("k2", step=40)
    assert records.outcome("t1", "k1") is None
    assert records.outcomes("t1") == []
    records.put_outcome(second)
    records.put_outcome(first)
    records.put_outcome(_outcome("k3", trajectory="t10"))
    assert records.outcome("t1", "k1") == first
    assert records.outcomes("t1") == [first, second]
    assert records.store.list("trajectories/t1") == [
        "trajectories/t1/outcomes/k1",
        "trajectories/t1/outcomes/k2",
    ]
    again = first.model_copy(update={"step": 30})
    records.put_outcome(again)
    assert records.outcome("t1", "k1") == again


def test_an_outcome_that_diverged_keeps_its_numbers(records: Records):
    diagnostics = {"train_loss": math.nan, "distance": math.inf, "update_ratio": -math.inf}
    records.put_outcome(
        _outcome(
            status="diverged", reason="loss is not finite", diagnostics=diagnostics, losses=[math.nan, 1.0]
        )
    )
    found = records.outcome("t1", "k1")
    assert math.isnan(found.diagnostics["train_loss"])
    assert found.diagnostics["distance"] == math.inf
    assert found.diagnostics["update_ratio"] == -math.inf
    assert math.isnan(found.losses[0])
    assert found.losses[1] == 1.0
    assert found.rates["harmful"].value == 3 / 9


def test_an_outcome_of_another_version_is_named_and_not_quoted(records: Records):
    raw = _outcome().model_dump()
    raw["verbosity"] = "the text of an answer"
    raw["step"] = "the text of an answer"
    records.store.put("trajectories/t1/outcomes/k1", {"outcome.json": json.dumps(raw).encode()})
    with pytest.raises(StoreError, match=r"'trajectories/t1/outcomes/k1'.*step, verbosity") as caught:
        records.outcomes("t1")
    assert "the text" not in str(caught.value)


@pytest.mark.parametrize("kind", ["responses", "verdicts"])
def test_tables(records: Records, kind: str):
    put, get = getattr(records, f"put_{kind}"), getattr(records, kind)
    rows = [
        {"prompt": 0, "text": "line\nbreak\u2028and\x85more \ud800 \U0001f600", "tokens": [1, 2]},
        {"prompt": 1, "text": "", "score": math.nan},
        {"prompt": 2, "text": None},
    ]
    assert get("t1", "r1") is None
    put("t1", "r1", rows, {"decoding": {"max_new_tokens": 64}, "seconds": 1.5})
    found, about = get("t1", "r1")
    assert found[0] == rows[0]
    assert math.isnan(found[1]["score"])
    assert found[2] == rows[2]
    assert about == {"decoding": {"max_new_tokens": 64}, "seconds": 1.5}
    piece = records.store.get(f"trajectories/t1/{kind}/r1")
    assert piece.names == ["about.json", "rows.jsonl.gz"]
    assert len(gzip.decompress(piece.read("rows.jsonl.gz")).splitlines()) == 3
    put("t1", "r1", [], {})
    assert get("t1", "r1") == ([], {})
    assert get("t1", "r2") is None


def test_equal_tables_are_equal_bytes_whenever_they_are_put(
    records: Records, monkeypatch: pytest.MonkeyPatch
):
    packed = set()
    for now in (1_000_000_000.0, 2_000_000_000.0):
        monkeypatch.setattr(time, "time", lambda now=now: now)
        records.put_responses("t1", "r1", [{"text": "x"}], {})
        packed.add(records.store.get("trajectories/t1/responses/r1").read("rows.jsonl.gz"))
    assert len(packed) == 1


def test_a_table_that_can_not_be_unpacked_is_named(records: Records):
    packed = gzip.compress(b'{"text": "an answer"}\n')
    for broken in (packed[:-9], b"plain", packed[:12] + b"\xff" + packed[13:], gzip.compress(b"an answer")):
        records.store.put("trajectories/t1/responses/r1", {"rows.jsonl.gz": broken, "about.json": b"{}"})
        with pytest.raises(StoreError, match="'trajectories/t1/responses/r1' is damaged") as caught:
            records.responses("t1", "r1")
        assert "an answer" not in str(caught.value)


def test_attempts(records: Records):
    assert records.attempts("t1") == {}
    records.put_attempt("t1", "a2", {"torch": "2.13.0"})
    records.put_attempt("t1", "a1", {"torch": "2.11.0"})
    records.put_attempt("t1", "a1", {"torch": "2.12.0"})
    assert records.attempts("t1") == {"a1": {"torch": "2.12.0"}, "a2": {"torch": "2.13.0"}}


def _rows(first: int, last: int, life: int) -> list[dict[str, float]]:
    return [{"step": step, "loss": step / 10, "life": life} for step in range(first, last + 1)]


def test_signals_come_in_order_of_step(records: Records):
    assert records.signals("t1", "a1") == []
    records.put_signals("t1", "a1", [])
    assert records.store.list() == []
    for first in (1, 101, 1001, 11):
        records.put_signals("t1", "a1", _rows(first, first + 2, 0))
    records.put_signals("t1", "a2", _rows(1, 1, 9))
    found = records.signals("t1", "a1")
    assert [row["step"] for row in found] == [1, 2, 3, 11, 12, 13, 101, 102, 103, 1001, 1002, 1003]
    assert len(records.store.list("trajectories/t1/signals/a1")) == 4


def test_signals_of_a_resumed_run_win(records: Records):
    records.put_signals("t1", "a1", _rows(1, 10, 0))
    records.put_signals("t1", "a1", _rows(11, 20, 0))
    # Killed at 20 and resumed from a state at step 5; killed again at 16 and resumed from 12.
    records.put_signals("t1", "a1", _rows(6, 15, 1))
    records.put_signals("t1", "a1", _rows(13, 14, 2))
    lives = {row["step"]: row["life"] for row in records.signals("t1", "a1")}
    expected = {s: 0 for s in range(1, 21)} | {s: 1 for s in range(6, 16)} | {13: 2, 14: 2}
    assert lives == expected
    records.put_signals("t1", "a1", _rows(1, 10, 3))
    assert [r["life"] for r in records.signals("t1", "a1")][:11] == [3] * 10 + [1]


def test_signals_keep_what_is_not_finite_and_several_rows_a_step(records: Records):
    rows = [{"step": 3, "kind": "grad", "norm": math.nan}, {"step": 3, "kind": "loss", "norm": math.inf}]
    records.put_signals("t1", "a1", rows)
    found = records.signals("t1", "a1")
    assert [row["kind"] for row in found] == ["grad", "loss"]
    assert math.isnan(found[0]["norm"])
    assert found[1]["norm"] == math.inf
    records.put_signals("t1", "a1", [{"step": 3, "kind": "loss", "norm": 1.0}])
    assert records.signals("t1", "a1") == [{"step": 3, "kind": "loss", "norm": 1.0}]


def test_states_roll(records: Records):
    assert records.latest_state("t1") is None
    records.save_state("t1", "a1", 5, {"masters": b"m5", "cursor.json": b"{}"})
    records.save_state("t2", "a1", 7, {"masters": b"other"})
    records.save_state("t1", "a1", 10, {"masters": b"m10"})
    state = records.latest_state("t1")
    assert (state.step, state.attempt, state.piece.read("masters")) == (10, "a1", b"m10")
    assert len(records.store.list("trajectories/t1/states")) == 1
    # A new attempt starts over: its state is the latest although its step is lower.
    records.save_state("t1", "a2", 3, {"masters": b"m3"})
    assert (records.latest_state("t1").step, records.latest_state("t1").attempt) == (3, "a2")
    records.save_state("t1", "a2", 3, {"masters": b"again"})
    assert records.latest_state("t1").piece.read("masters") == b"again"
    records.drop_states("t1")
    assert records.latest_state("t1") is None
    assert records.latest_state("t2").step == 7


def test_killed_between_saving_a_state_and_deleting_the_older(
    records: Records, monkeypatch: pytest.MonkeyPatch
):
    records.save_state("t1", "a1", 100, {"x": b"old"})

    def killed(self: object, key: str) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(type(records.store), "delete", killed)
        with pytest.raises(KeyboardInterrupt):
            records.save_state("t1", "a2", 50, {"x": b"new"})
    assert len(records.store.list("trajectories/t1/states")) == 2
    assert records.latest_state("t1").piece.read("x") == b"new"
    records.save_state("t1", "a2", 60, {"x": b"newer"})
    assert len(records.store.list("trajectories/t1/states")) == 1
    assert records.latest_state("t1").step == 60


def test_a_state_that_can_not_be_saved_keeps_the_one_before(records: Records):
    records.save_state("t1", "a1", 5, {"x": b"5"})

    def write(folder: Path) -> None:
        (folder / "masters").write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(StoreError, match="No space left on device; free some space"):
        records.save_state("t1", "a1", 10, write)
    assert records.latest_state("t1").step == 5


def test_weights(records: Records):
    assert records.weights("t1", "s1") is None
    assert records.weight_settings("t1") == []
    records.put_weights("t1", "s2", {"model.safetensors": b"w", "config.json": b"{}"})
    records.put_weights("t1", "s1", {"model.safetensors": b"w"})
    assert records.weight_settings("t1") == ["s1", "s2"]
    assert records.weights("t1", "s2").path("model.safetensors").read_bytes() == b"w"
    records.delete_weights("t1", "s2")
    assert records.weight_settings("t1") == ["s1"]
    assert records.weights("t1", "s2") is None


def test_copies_of_shadows_go_unless_they_are_said_to_stay(records: Records, tmp_path: Path):
    assert records.kept_copies("t") == {}
    for attempt, step in (("a", 5), ("a", 10), ("b", 5)):
        records.put_copy("t", attempt, step, {"shadows": f"{attempt}{step}".encode()})
    piece = records.copy("t", "a", 10)
    assert piece is not None
    assert piece.read("shadows") == b"a10"
    assert records.copy("t", "a", 7) is records.copy("u", "a", 10) is None
    records.keep_copies("t", "b", {"every": 5})
    assert records.kept_copies("t") == {"b": {"every": 5}}
    records.drop_copies("t")
    assert records.copy("t", "a", 5) is records.copy("t", "a", 10) is None
    assert records.copy("t", "b", 5) is not None
    assert records.store.list("trajectories/t") == [
        "trajectories/t/copies/b",
        "trajectories/t/copies/b/000000005",
    ]


def test_studies_and_stop_requests(records: Records):
    assert records.studies() == []
    assert records.study("quick") is None
    records.put_study("quick", "study: quick  # é\n", {"version": "0.1.0"})
    records.put_study("a..b", "x", {})
    records.request_stop("quick", "host-1-abcd")
    records.request_stop("file", "host-1-abcd")
    assert records.studies() == ["a..b", "quick"]
    assert records.study("quick") == ("study: quick  # é\n", {"version": "0.1.0"})
    assert records.stop_requested("quick", "host-1-abcd")
    assert not records.stop_requested("quick", "host-1-abce")
    records.request_stop("quick", "host-1-abcd")
    records.clear_stop("quick", "host-1-abcd")
    assert not records.stop_requested("quick", "host-1-abcd")
    records.clear_stop("quick", "host-1-abcd")


def test_samples_and_labels(records: Records):
    assert records.samples("quick") == {}
    assert records.labels("quick") == {}
    assert records.put_sample("quick", "s1", [{"unit": "u1"}], {"number": 0})
    assert not records.put_sample("quick", "s1", [{"unit": "u2"}], {"number": 1})
    assert records.samples("quick") == {"s1": ([{"unit": "u1"}], {"number": 0})}
    records.put_label("quick", "u1", "ann", {"label": "refused"})
    records.put_label("quick", "u1", "bob", {"label": "refused"})
    records.put_label("quick", "u1", "ann", {"label": "complied"})
    assert records.labels("quick") == {
        ("u1", "ann"): {"label": "complied"},
        ("u1", "bob"): {"label": "refused"},
    }
    assert records.labels("other") == {}
    assert records.studies() == []


def test_parts_of_keys_are_single_parts(records: Records):
    with pytest.raises(StoreError, match="single part"):
        records.outcome("t1/outcomes", "k1")
    with pytest.raises(StoreError, match="single part"):
        records.save_state("t1", "a/1", 5, {})
    with pytest.raises(StoreError, match="not allowed"):
        records.weights("t1", "..")
    with pytest.raises(StoreError, match="not allowed"):
        records.study("")


def test_the_id_of_a_store_is_made_once(records: Records) -> None:
    """Of any number of drivers that ask for it at once, all are told the same."""
    with ThreadPoolExecutor(8) as pool:
        found = set(pool.map(lambda _: records.store_id(), range(16)))
    assert found == {records.store_id()}
    assert records.studies() == []


def test_why_a_trajectory_could_not_be_finished(records: Records) -> None:
    assert records.failure("one", "t1") is None
    records.put_failure("one", "t1", "out of memory")
    records.put_failure("one", "t1", "judge unavailable")
    assert records.failure("one", "t1") == "judge unavailable"
    assert (records.failure("one", "t2"), records.failure("two", "t1")) == (None, None)
    records.drop_failure("one", "t1")
    records.drop_failure("one", "t1")
    assert records.failure("one", "t1") is None
