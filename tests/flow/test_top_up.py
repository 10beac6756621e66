"""Settings that stopped early answer the rest of a set for another judge; what they are known for stays as it was."""

from __future__ import annotations

import io
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from rich.console import Console

from ftstab.errors import StudyError
from ftstab.judging.answers import answer_sets, whole_key
from ftstab.judging.judged import judged
from ftstab.judging.labels import put_label, read_frame, sample_up_to, samples
from ftstab.judging.study import correction
from ftstab.outcome import Outcome
from ftstab.plan import Job
from ftstab.results import Results
from ftstab.running.launcher import Context, Event, JobSource
from ftstab.running.top_up import top_up
from ftstab.running.worker import run_job
from tests.evaluation.judges.server import answer_of, chat, serving
from tests.lab import Lab, cli

SIZE = 48
SECOND = "refusal_phrases_advbench"
STUDY: dict[str, Any] = {
    "axes": {"learning_rate": [3e-3], "batch_size": [4], "steps": [6, 12]},
    "evaluation": {
        "harmful": {"benchmark": "builtin:harmful", "limit": SIZE},
        "over_refusal": {"benchmark": "builtin:safe_lookalikes", "limit": 8},
        "utility": {"limit": 6},
        "decoding": {"max_new_tokens": 10, "batch_size": 8, "block_size": 8},
    },
    "constraints": {"harmful_response": {"max": 0.4}},
    "keep_weights": "all",
}
PARTS = ("outcomes", "responses", "verdicts", "weights", "attempts", "states")


@dataclass(frozen=True)
class Runs:
    """One grid asked in full and one stopped by its limit, in stores of their own; never changed.

    Attributes:
        lab: where the stopped one is.
        stopped: its file.
        full: answers of the one in full, by setting.
        full_study: its file.
        full_said: what the second judge says of it.
    """

    lab: Lab
    stopped: Path
    full: dict[str, list[dict[str, Any]]]
    full_study: Path
    full_said: dict[str, Any]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, refusing_model: Path, empty_databases: Path) -> Runs:
    whole = Lab(tmp_path_factory.mktemp("whole"), refusing_model, empty_databases)
    study = whole.study("full", **STUDY)
    assert whole.run(study).code == 0
    outcomes = whole.results(study).outcomes
    full = {o.setting: answers(whole, o, o.record["responses"]["harmful"]) for o in outcomes}
    said = cli("judge", "run", study, "--judge", SECOND, "--json").json
    lab = Lab(tmp_path_factory.mktemp("stopped"), refusing_model, empty_databases)
    stopped = lab.study("stopped", **STUDY, stopping={})
    assert lab.run(stopped).code == 0
    found = lab.results(stopped).outcomes
    assert all(o.rates["harmful"].stopped for o in found)
    assert set(full) == {o.setting for o in found}
    return Runs(lab, stopped, full, study, said)


def answers(lab: Lab, outcome: Outcome, key: str) -> list[dict[str, Any]]:
    stored = lab.records.responses(outcome.trajectory, key)
    assert stored is not None
    return stored[0]


class Copy:
    """The stopped study in a folder of its own."""

    def __init__(self, runs: Runs, folder: Path) -> None:
        shutil.copytree(runs.lab.folder, folder)
        self.lab = object.__new__(Lab)
        self.lab.folder, self.lab.store = folder, folder / "store"
        self.lab.model, self.lab._databases = runs.lab.model, runs.lab._databases
        self.path = folder / runs.stopped.name
        text = yaml.safe_load(self.path.read_text()) | {"store": str(self.lab.store)}
        self.path.write_text(yaml.safe_dump(text))

    @property
    def results(self) -> Results:
        return self.lab.results(self.path)

    @property
    def missing(self) -> dict[str, int]:
        """Prompts that each setting was never asked."""
        return {o.setting: SIZE - o.rates["harmful"].n for o in self.results.outcomes}

    def pieces(self) -> dict[str, dict[str, int]]:
        return {part: self.lab.pieces(part) for part in PARTS}

    def whole(self) -> dict[str, list[dict[str, Any]]]:
        """Topped-up answers by setting."""
        found = {}
        for outcome in self.results.outcomes:
            key = whole_key(outcome.record["responses"]["harmful"])
            if self.lab.records.responses(outcome.trajectory, key) is not None:
                found[outcome.setting] = answers(self.lab, outcome, key)
        return found

    def judge(self, *options: str | Path, judge: str | Path = SECOND) -> Any:
        return cli("judge", "run", self.path, "--judge", judge, *options)


@pytest.fixture
def copy(runs: Runs, tmp_path: Path) -> Copy:
    return Copy(runs, tmp_path / "copy")


def test_the_other_judge_reads_what_a_study_in_full_would_have_said(copy: Copy, runs: Runs) -> None:
    before, frontier = copy.pieces(), cli("frontier", copy.path, "--json").json
    missing = copy.missing
    partly = copy.judge("--json").json
    assert [s["judge"]["low"] for s in partly["settings"] if not s["start"]] == [None, None]

    done = copy.judge("--top-up", "--json")
    said = done.json
    prompts = sum(missing.values())
    assert f"top-up: {prompts} prompts (harmful) to be answered by 2 settings that stopped early" in done.err
    assert done.err.index("top-up:") < done.err.index("[1/2]") < done.err.index("[2/2]")
    assert said["topped_up"] == {"settings": 2, "prompts": prompts, "before": 0, "left_out": {}}
    assert copy.whole() == runs.full
    for mine, theirs in zip(said["settings"], runs.full_said["settings"], strict=True):
        assert mine["setting"] == theirs["setting"]
        assert mine["whole"]
        assert mine["judge"] == theirs["judge"]
        assert mine["judge"]["interval"] == "wilson-95"
        assert mine["both_scored"] <= mine["first"]["n"]

    # What the settings are known for is what it was, to the byte; the confirmation half is as unasked as before.
    after = copy.pieces()
    for part in ("outcomes", "weights", "attempts", "states"):
        assert after[part] == before[part]
    assert {k: v for k, v in after["responses"].items() if k in before["responses"]} == before["responses"]
    assert len(after["responses"]) == len(before["responses"]) + 2
    assert cli("frontier", copy.path, "--json").json["settings"] == frontier["settings"]
    for setting in said["settings"][1:]:
        assert setting["first"]["interval"] == "sequence-95"
        assert setting["first"]["n"] < SIZE

    # The same command finds everything done; other judges read all of it without being told.
    again = copy.judge("--top-up")
    assert again.code == 0, again.err
    assert "nothing to top up: 2 settings stopped early and were topped up before" in again.out
    assert "of 2 the other has read all prompts, topped up" in again.out
    assert copy.pieces() == after
    first = copy.judge("--json", judge="refusal_phrases").json
    assert [s["judge"]["n"] for s in first["settings"]] == [s["first"]["n"] for s in first["settings"]]
    assert copy.pieces() == after


def test_a_judge_reads_no_answer_twice(copy: Copy, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    path = copy.lab.folder / "judge.yaml"
    with serving(lambda r, text, n: chat("SAFE")) as server:
        spec = {"kind": "endpoint", "model": "small", "sees": "harm", "name": "harm", "url": server.url}
        path.write_text(yaml.safe_dump(spec))
        copy.judge("--json", judge=path)
        asked = len(server.seen)
        said = copy.judge("--top-up", "--json", judge=path).json
        more = [answer_of(request) for request, _, _ in server.seen[asked:]]
    # Equal answers to a prompt are asked about once, incoherent ones never.
    assert 0 < len(more) <= sum(copy.missing.values())
    assert said["estimate"]["requests"] >= len(more)
    assert all(s["judge"]["n"] == SIZE for s in said["settings"])


def test_kept_weights_do_and_lost_ones_are_said(copy: Copy, runs: Runs) -> None:
    one, two = copy.results.outcomes
    copy.lab.records.delete_weights(one.trajectory, one.setting)
    done = copy.judge("--top-up")
    assert done.code == 0, done.err
    assert f"left out: 1 settings ({copy.missing[one.setting]} prompts) whose weights aren't kept" in done.out
    assert f"ftstab judge run {copy.path} --judge {SECOND} --top-up --retrain" in done.out
    assert copy.whole() == {two.setting: runs.full[two.setting]}
    assert "of 1 the other has read those asked by then alone" in done.out
    # And again: what is there stays, what is left out is said.
    done = copy.judge("--top-up", "--json")
    assert done.json["topped_up"] == {
        "settings": 0,
        "prompts": 0,
        "before": 1,
        "left_out": {one.setting: "its weights aren't kept any more"},
    }


def test_without_weights_settings_are_trained_again_on_demand(copy: Copy, runs: Runs) -> None:
    for outcome in copy.results.outcomes:
        copy.lab.records.delete_weights(outcome.trajectory, outcome.setting)
    before = copy.pieces()
    lost = copy.judge("--top-up")
    assert lost.code == 1
    assert f"so their {sum(copy.missing.values())} missing prompts can't be answered" in lost.err
    assert f"ftstab judge run {copy.path} --judge {SECOND} --top-up --retrain" in lost.err
    assert copy.pieces() == before
    done = copy.judge("--top-up", "--retrain")
    assert done.code == 0, done.err
    assert "2 of them are trained again first, 12 updates in all" in done.out
    assert copy.whole() == runs.full
    after = copy.pieces()
    # Weights that were trained for this alone aren't kept, and nothing was measured anew.
    assert after["weights"] == after["states"] == {}
    assert after["outcomes"] == before["outcomes"]


@pytest.mark.parametrize("lost", [False, True], ids=["kept", "trained again"])
def test_other_weights_answer_nothing(copy: Copy, lost: bool) -> None:
    """Weights that aren't those measured can't speak for the setting."""
    for outcome in copy.results.outcomes:
        changed = outcome.model_copy(update={"record": outcome.record | {"weights_sha256": "0" * 64}})
        copy.lab.records.put_outcome(changed)
        if lost:
            copy.lab.records.delete_weights(outcome.trajectory, outcome.setting)
    done = copy.judge("--top-up", *(["--retrain"] if lost else []))
    assert done.code == 1
    assert ("gave other weights" if lost else "its weights aren't those measured") in done.err
    assert copy.whole() == {}


def test_answers_of_other_weights_are_no_top_up(copy: Copy) -> None:
    """A setting that is measured anew by another attempt has other weights; what was topped up before isn't its own."""
    assert copy.judge("--top-up").code == 0
    outcome = copy.results.outcomes[0]
    assert [s.whole for s in answer_sets(copy.lab.records, outcome, "harmful")] == [False, True]
    other = outcome.model_copy(update={"record": outcome.record | {"weights_sha256": "0" * 64}})
    assert [s.whole for s in answer_sets(copy.lab.records, other, "harmful")] == [False]


def test_a_killed_top_up_goes_on_and_asks_no_setting_twice(copy: Copy, runs: Runs) -> None:
    class Killed:
        """Carries out jobs, and is killed once so many settings are answered."""

        def __init__(self, after: int) -> None:
            self.left, self.asked = after, 0

        def run(self, context: Context, source: JobSource, on_event: Callable[[Job, Event], None]) -> None:
            while (job := source.next_job()) is not None:
                run_job(context, job, self.heard)
                source.finished(job, None)

        def heard(self, event: Event) -> None:
            self.asked += (event.message or "").startswith("answering")
            if event.kind == "outcome":
                self.left -= 1
                if self.left == 0:
                    raise KeyboardInterrupt

    def go(launcher: Killed) -> None:
        top_up(copy.results, "harmful", "the command", Console(file=io.StringIO()), launcher=launcher)

    first, second = Killed(after=1), Killed(after=99)
    with pytest.raises(KeyboardInterrupt):
        go(first)
    kept = copy.pieces()["responses"]
    assert len(copy.whole()) == 1
    go(second)
    assert (first.asked, second.asked) == (1, 1)
    assert copy.whole() == runs.full
    assert {k: v for k, v in copy.pieces()["responses"].items() if k in kept} == kept


def test_a_top_up_that_was_stopped_says_how_to_go_on(copy: Copy) -> None:
    class Lost:
        """Can't run anything."""

        def run(self, context: Context, source: JobSource, on_event: Callable[[Job, Event], None]) -> None:
            while (job := source.next_job()) is not None:
                source.finished(job, "its worker was lost")

    console = Console(file=io.StringIO())
    with pytest.raises(StudyError, match=r"its worker was lost(.|\n)*to go on:\n  the command"):
        top_up(copy.results, "harmful", "the command", console, launcher=Lost())


def test_the_judge_that_stopped_them_keeps_its_figures(copy: Copy) -> None:
    before = copy.pieces()
    done = copy.judge("--top-up", judge="refusal_phrases")
    assert done.code == 1
    assert "keeps the confidence sequence of what it read by then" in done.err
    assert copy.pieces() == before
    done = copy.judge("--retrain")
    assert done.code == 2
    assert "--retrain: only with --top-up" in done.err


def test_labels_are_drawn_from_what_the_judge_has_read(copy: Copy) -> None:
    """Labels of answers drawn before a top-up say nothing of the whole set; drawn after it, they correct its rate."""
    copy.judge()
    of = judged(copy.results, "harmful", SECOND)
    small = len(read_frame(copy.results, of))
    for row in sample_up_to(copy.results, of, 10)[0].rows:
        put_label(copy.results, of, row.unit, "one", "complied" if row.mark == "N" else "refused")
    assert samples(copy.results, of)[0].rows
    stopped = {o.key for o in copy.results.outcomes}
    copy.judge("--top-up")
    assert len(read_frame(copy.results, of)) > small
    found = correction(copy.results, "harmful", SECOND)
    assert found is not None
    assert {found.left_out[key] for key in stopped} == {
        "no labelled sample holds its answers; label more with a larger --n"
    }
    before, later = sample_up_to(copy.results, of, 60)
    for row in later.rows:
        put_label(copy.results, of, row.unit, "one", "complied" if row.mark == "N" else "refused")
    found = correction(copy.results, "harmful", SECOND)
    assert found is not None
    assert found.refused is None, found.refused
    # Of the first sample only those answers of the start count still.
    assert found.drawn == len(later.rows) + sum(row.setting not in copy.missing for row in before.rows) < 60
    assert stopped <= set(found.rates)
    for outcome in copy.results.outcomes:
        assert found.rates[outcome.key].raw.n == SIZE
    # The first judge's frame ends where asking stopped, as before.
    first = judged(copy.results, "harmful", None)
    places = {(r.setting, r.place) for r in read_frame(copy.results, first)}
    assert max(place for s, place in places if s in copy.missing) < SIZE - min(copy.missing.values())


def test_a_study_in_full_has_nothing_to_top_up(runs: Runs) -> None:
    assert runs.full_said["topped_up"] is None
    done = cli("judge", "run", runs.full_study, "--judge", SECOND, "--top-up")
    assert done.code == 0, done.err
    assert "nothing to top up: no setting stopped early" in done.out
