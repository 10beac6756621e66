"""Candidates are confirmed on prompts that no choice has seen: asked, tested, logged, continued, handed over.

The real thing: weights from the store, asked by the engine of the sweep.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from ftstab.evaluation.questions import make_questions
from ftstab.looks import now
from ftstab.models.chat import Chat
from ftstab.models.load import load_model, load_tokenizer
from ftstab.plan import Job
from ftstab.results import find_study
from ftstab.running.answering import weights_hash
from ftstab.running.launcher import Context, Event, JobSource
from ftstab.running.worker import run_job
from ftstab.store import Lease
from tests.flow.candidates import NO_HARM, UNSEEN, Copy
from tests.lab import Finished, cli, measured


class Killed:
    """Carries out jobs, and is killed once so many sets were begun."""

    def __init__(self, after: int) -> None:
        self.left, self.said = after, [""]

    def run(self, context: Context, source: JobSource, on_event: Callable[[Job, Event], None]) -> None:
        while (job := source.next_job()) is not None:
            run_job(context, job, self.heard)
            source.finished(job, None)

    def heard(self, event: Event) -> None:
        if event.kind == "phase" and (event.message or "").startswith("asking"):
            if self.left == 0:
                raise KeyboardInterrupt
            self.left -= 1
            self.said.append(event.message or "")


def test_a_candidate_is_asked_the_other_half_and_picked(copy: Copy) -> None:
    before = copy.pieces()
    folder = copy.lab.store / "small"
    report = folder / "report.html"
    assert (folder / "candidate.yaml").exists()
    assert "Candidate, not yet confirmed" in report.read_text()
    done = cli("pick", copy.study, "--confirm", "--json")
    said = done.json
    # The report would go on calling it unconfirmed.
    assert f"report written again: {report}" in done.err
    assert "not yet confirmed" not in report.read_text()
    assert "Picked: " in report.read_text()
    # So would the recipe of the candidate.
    assert not (folder / "candidate.yaml").exists()
    kept = yaml.safe_load((folder / "recipe.yaml").read_text())
    assert kept["recipe"]["status"] == "picked: confirmed on the confirmation half"
    assert kept["found"]["setting"] == said["picked"]["setting"]
    assert said["status"] == "picked"
    assert said["picked"]["setting"] == said["order"][-1] == said["confirmation"]["result"]["picked"]
    text = said["statement"]
    assert text.startswith("Picked: ")
    for part in (
        f"On {NO_HARM} unseen prompts of builtin:harmful@",
        "confirmation half, greedy, answers of at most 10 tokens, single turn, no attack, judge refusal_phrases@2",
        "(exact, one-sided, 95 %) counting incoherent and unscored answers as not refused",
        f"The start model: 0 of {NO_HARM} not refused",
        "Holds for these weights; one training run, another may differ.",
        "Not tested: jailbreaks, other languages, sampling, other judges.",
    ):
        assert part in text
    # Every set in full, of the start and of each candidate, and of nothing else.
    after = copy.pieces()
    asked = 1 + len(said["order"])
    assert len(after["outcomes"]) == len(before["outcomes"]) + asked
    assert len(after["responses"]) == len(before["responses"]) + 3 * asked
    assert {k: v for k, v in after["weights"].items() if k in before["weights"]} == before["weights"]
    (look,) = copy.looks
    assert look.about["command"] == f"ftstab pick {copy.study} --confirm --json"
    assert "@" in look.about["who"]
    tested = look.tested[-1]
    outcome = copy.lab.records.outcome(tested.trajectory, tested.outcome)
    assert outcome is not None
    assert outcome.record["half"] == "confirm"
    assert [len(outcome.marks[r]) for r in ("harmful", "over_refusal", "utility")] == [NO_HARM, UNSEEN, 6]
    assert outcome.rates["harmful"].n == tested.tests[0].n == NO_HARM

    # The same question is answered from the log.
    again = cli("pick", copy.study, "--confirm", "--json")
    assert again.json == said
    assert again.err == f"report written again: {report}\n"
    assert cli("pick", copy.study, "--json").json == said
    assert copy.pieces() == after
    assert len(copy.looks) == 1

    # Another one is another look, and says so wherever its result is shown; no prompt is asked twice.
    other = cli("pick", copy.study, "--confirm", "--error-rate", "0.01", "--json").json
    assert "reused: 1 earlier look with another question" in other["statement"]
    assert "unseen" not in other["statement"]
    assert other["confirmation"]["reused"] == 1
    assert copy.pieces() == after
    recipe = copy.lab.folder / "recipe.yaml"
    done = cli("pick", copy.study, "--error-rate", "0.01", "--out", recipe)
    assert done.code == 0, done.err
    made = yaml.safe_load(recipe.read_text())
    assert made["recipe"]["status"] == "picked: confirmed on the confirmation half, which was reused"
    assert "reused: 1 earlier look" in made["statement"]
    assert "who" not in made["confirmation"]
    # Without an error rate, whatever look answers the question is shown: the last.
    page = copy.lab.folder / "page.html"
    assert cli("report", copy.study, "--out", page).code == 0
    assert "reused: 1 earlier look with another question" in page.read_text()


def test_a_confirmation_says_what_it_was_asked_on(copy: Copy, monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere = {"versions": {"torch": "0.1"}, "device": "another", "threads": 3}
    before = now()
    with monkeypatch.context() as patch:
        patch.setattr("ftstab.running.confirming.environment", lambda device: elsewhere)
        recipe = copy.lab.folder / "recipe.yaml"
        said = cli("pick", copy.study, "--confirm", "--out", recipe, "--json").json
    (asked,) = said["confirmation"]["result"]["asked_on"]
    assert asked["environment"] == elsewhere
    assert asked["command"] == f"ftstab pick {copy.study} --confirm --out {recipe} --json"
    assert before <= asked["first"] <= asked["last"] <= now()
    tested = [one["setting"] for one in said["confirmation"]["result"]["tested"]]
    assert asked["settings"] == [copy.lab.results(copy.study).need_start().setting, *tested]
    # Beside it, what was recorded when the setting was trained and asked the search half.
    assert said["record"]["half"] == "search"
    assert said["record"]["command"].startswith("ftstab run ")
    trained = said["record"]["environment"]
    assert trained["device"] == "cpu"
    made = yaml.safe_load(recipe.read_text())
    assert made["found"]["environment"] == trained
    assert made["confirmation"]["result"]["asked_on"] == [asked]


def test_answers_of_another_environment_are_kept_and_told(
    copy: Copy, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The start is asked whole, the first candidate one set of three.
    with pytest.raises(KeyboardInterrupt):
        copy.confirm(Killed(after=4))
    elsewhere = {"versions": {"torch": "0.1"}, "device": "another", "threads": 3}
    monkeypatch.setattr("ftstab.running.confirming.environment", lambda device: elsewhere)
    second = Killed(after=1000)
    look = copy.confirm(second)
    assert look.result is not None
    assert len(second.said) - 1 == 3 * len(look.question.order) - 1
    here, there = look.result["asked_on"]
    assert here["settings"] == [copy.lab.results(copy.study).need_start().setting, look.question.order[0]]
    assert here["environment"]["device"] == "cpu"
    assert (there["environment"], there["settings"]) == (elsewhere, list(look.question.order))


def test_what_is_picked_is_handed_over_with_its_card(copy: Copy, tmp_path: Path) -> None:
    weights, recipe = tmp_path / "weights", tmp_path / "recipe.yaml"
    refused = cli("pick", copy.study, "--out", recipe)
    assert refused.code == 1
    assert "--unconfirmed" in refused.err
    assert not recipe.exists()
    candidate = cli("pick", copy.study, "--weights", weights, "--unconfirmed")
    assert candidate.code == 0, candidate.err
    card = (weights / "README.md").read_text()
    assert "**Candidate: not confirmed on unseen prompts.**" in card
    assert "picked" not in card.lower()
    shutil.rmtree(weights)

    done = cli("pick", copy.study, "--confirm", "--weights", weights, "--out", recipe)
    assert done.code == 0, done.err
    statement = next(line for line in done.out.splitlines() if line.startswith("Picked: "))
    card = (weights / "README.md").read_text()
    assert "**Picked: confirmed on the confirmation half.**" in card
    assert statement in card.replace("\\", "")
    # What had no part in the training isn't listed, what wasn't done is.
    assert "| Lora r |" not in card
    assert "| Max grad norm | none |" in card
    made = yaml.safe_load(recipe.read_text())
    assert made["statement"] == statement
    assert made["recipe"]["status"] == "picked: confirmed on the confirmation half"
    assert weights_hash(dict(load_model(weights).named_parameters())) == made["found"]["weights_sha256"]
    page = tmp_path / "page.html"
    assert cli("report", copy.study, "--out", page).code == 0
    assert f"On {NO_HARM} unseen prompts" in page.read_text()

    # Nothing is dropped unless that is asked for, and then all but what is picked.
    kept = copy.lab.pieces("weights")
    assert "kept: the weights of" in done.out
    with Lease(copy.lab.records.store, "small"):
        refused = cli("pick", copy.study, "--drop-weights")
    assert refused.code == 1
    assert f"is being run by process {os.getpid()}" in refused.err
    assert copy.lab.pieces("weights") == kept
    dropped = cli("pick", copy.study, "--drop-weights", "--json").json
    assert dropped["weights"]["dropped"]
    left = {k.rsplit("/", 1)[1] for k in copy.lab.pieces("weights")}
    assert left == {dropped["picked"]["setting"]}
    assert len(dropped["weights"]["needless"]) == len(kept) - 1
    assert cli("pick", copy.study, "--json").json["status"] == "picked"


def test_a_killed_confirmation_goes_on_and_asks_nothing_twice(copy: Copy) -> None:
    first = Killed(after=4)
    with pytest.raises(KeyboardInterrupt):
        copy.confirm(first)
    (look,) = copy.looks
    assert look.result is None
    unfinished = cli("pick", copy.study, "--json").json
    assert unfinished["status"] == "candidate"
    assert "isn't finished" in unfinished["advice"]
    responses = copy.lab.pieces("responses")

    second = Killed(after=1000)
    look = copy.confirm(second)
    assert look.picked is not None
    assert len(copy.looks) == 1
    every = 3 * (1 + len(look.question.order))
    assert len(first.said) - 1 + len(second.said) - 1 == every
    after = copy.lab.pieces("responses")
    assert set(responses) < set(after)


def test_the_engine_is_that_of_the_sweep(copy: Copy) -> None:
    """Asked the search half again from its kept weights, a setting says what it said while it was trained."""
    from ftstab.running import confirming

    results = copy.lab.results(copy.study)
    study, base_dir = find_study(str(copy.study))
    chat = Chat(load_tokenizer(copy.lab.model), study.template, 512)
    searched = make_questions(study, base_dir, chat)
    for found in results.outcomes[:2]:
        trajectory, setting = next(
            (t, s) for t in results.plan.trajectories for s in t.settings if s.key == found.setting
        )
        job = Job(replace(trajectory, settings=(setting,)), confirms=found.key)
        context = Context(study, str(base_dir), str(copy.lab.store), "", "", "d", "c")
        asker = confirming.Confirmer(context, job, lambda event: None)
        asker._load(found)
        asker.questions = asker.answering.questions = searched
        again = asker._measure(found, found.key)
        assert again is not None
        assert measured({"": again}) == measured({"": found})


@pytest.mark.ray
def test_workers_of_ray_confirm_as_this_process_does(copy: Copy, small: Finished, local_ray: Path) -> None:
    here = copy.confirm()
    other = Copy(small, copy.lab.folder.parent / "other")
    text = yaml.safe_load(other.study.read_text())
    other.study.write_text(yaml.safe_dump(text | {"resources": {"launcher": "ray"}}))
    there = other.confirm()
    assert there.tested == here.tested
    assert there.picked is not None
    one, two = (c.lab.records.outcome(there.picked.trajectory, there.picked.outcome) for c in (copy, other))
    assert one is not None
    assert two is not None
    assert measured({"": one}) == measured({"": two})


def test_prompts_that_changed_since_are_another_half(copy: Copy) -> None:
    path = copy.lab.folder / "colours_test.jsonl"
    path.write_text(path.read_text().replace("box", "bag"))
    done = cli("pick", copy.study, "--confirm")
    assert done.code == 1
    assert "the prompt sets or judges changed since the search half was asked" in done.err
    assert copy.looks == []
