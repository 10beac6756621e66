"""Labels of a study's answers, from the terminal to the corrected rates."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from ftstab.errors import FtstabError, MisuseError, StudyError
from ftstab.evaluation.marking import verdicts_key
from ftstab.judging.judged import Judged, judged
from ftstab.judging.labels import labels, put_label, read_frame, sample_up_to, samples
from ftstab.judging.study import corrected_rates, correction
from ftstab.outcome import Outcome
from ftstab.results import Results
from tests.lab import REFUSAL, Done, Finished, Lab, cli


@pytest.fixture
def study(finished: Finished, tmp_path: Path) -> tuple[Lab, Path]:
    """The finished study in a store of the test's own."""
    return finished.copied(tmp_path / "copy")


def label(path: Path, keys: str, monkeypatch: pytest.MonkeyPatch, *options: str) -> Done:
    """``ftstab judge label`` with what a person types."""
    monkeypatch.setattr("sys.stdin", io.StringIO(keys))
    return cli("judge", "label", path, "--show", *options)


def a_person(path: Path, monkeypatch: pytest.MonkeyPatch, *options: str) -> None:
    """Label everything that is drawn by what it says, an answer a session."""
    done = label(path, "", monkeypatch, *options)
    while "--- 1 of" in done.out:
        refused = done.out.rsplit("answer:\n", 1)[1].startswith(REFUSAL)
        label(path, "r\n" if refused else "c\n", monkeypatch, *options)
        done = label(path, "", monkeypatch, *options)


@pytest.fixture
def labelled(study: tuple[Lab, Path]) -> Results:
    """A study with labels as the judge says, but for one."""
    results = study[0].results(study[1])
    of = judged(results, "harmful", None)
    drawn = sample_up_to(results, of, 40)[0].rows
    for i, row in enumerate(drawn):
        hit = row.mark == "N"
        put_label(results, of, row.unit, "one", "complied" if hit != (i == 0) else "refused")
    return results


def test_the_frame_is_every_answer_with_a_verdict(study: tuple[Lab, Path]) -> None:
    results = study[0].results(study[1])
    of = judged(results, "harmful", None)
    assert of == Judged("harmful", "refusal_phrases@2", "non_refusal_rate")
    rows = read_frame(results, of)
    outcomes = {o.setting: o for o in (results.start, *results.outcomes) if o is not None}
    for setting, outcome in outcomes.items():
        marks = "".join(r.mark for r in rows if r.setting == setting)
        assert marks == re.sub("[IU]", "", outcome.marks["harmful"])
    assert {r.group for r in rows} == {"start", *(t.key for t in results.plan.trajectories)}
    # Equal answers to a prompt are one unit.
    assert len({r.unit for r in rows}) < len(rows)


def test_a_person_labels_blind_and_goes_on_later(
    study: tuple[Lab, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    lab, path = study
    results = lab.results(path)
    of = judged(results, "harmful", None)
    done = label(path, "back\nr\nxyz\nskip\nback\nu\nr\ni\nq\n", monkeypatch, "--n", "12", "--who", "ann")
    assert done.code == 0, done.err
    assert "research data" in done.out
    drawn = samples(results, of)[0].rows
    units = list(dict.fromkeys(r.unit for r in drawn))
    # r, then skip of the second, back to it: u, then r, then i.
    said = labels(results, of)
    assert [said.get(u, {}).get("ann") for u in units[:5]] == [
        "refused",
        "unsure",
        "refused",
        "incoherent",
        None,
    ]
    assert "'xyz' is no key here, and nothing was stored; known: r, c, i, u, n, b, q" in done.out
    assert "nothing to go back to" in done.out
    assert "n skip to the next, b back to the one before, q quit" in done.out
    # Two of the four decide; equal answers to a prompt share a label.
    given = {u: said[u]["ann"] for u in units[:4]}
    decided = sum(given.get(r.unit) == "refused" for r in drawn)
    undecided = sum(r.unit in given for r in drawn) - decided
    assert f"ann: {decided} of 12 drawn answers labelled (2 different), {undecided} undecided" in done.out
    # Neither the setting nor the verdict is shown.
    for outcome in results.outcomes:
        assert outcome.setting[:6] not in done.out
        assert outcome.trajectory[:6] not in done.out
    assert "refusal_phrases@2 says" not in done.out
    shown = done.out.split("--- 1 of")[1]
    assert "inability" not in shown
    # The next time it goes on where it stopped, with the same sample; the end of the input stops it.
    again = label(path, "c\n", monkeypatch, "--n", "12", "--who", "ann")
    assert f"--- 1 of {len(units) - 4}" in again.out
    assert labels(results, of)[units[4]]["ann"] == "complied"
    assert len(samples(results, of)) == 1
    # Another person starts anew.
    assert f"--- 1 of {len(units)}" in label(path, "", monkeypatch, "--n", "12", "--who", "bob").out
    more = sample_up_to(results, of, 20)
    assert [len(s.rows) for s in more] == [12, 8]


def test_nothing_is_shown_without_asking(study: tuple[Lab, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    lab, path = study
    monkeypatch.setattr("sys.stdin", io.StringIO("r\n" * 9))
    done = cli("judge", "label", path)
    assert done.code == 2
    assert "--show" in done.err
    assert REFUSAL not in done.out + done.err
    assert lab.records.samples("whole") == {}


@pytest.mark.parametrize("who", ["", "a/b", ".", "a b", "x" * 41])
def test_a_person_has_a_plain_name(
    study: tuple[Lab, Path], monkeypatch: pytest.MonkeyPatch, who: str
) -> None:
    done = label(study[1], "r\n", monkeypatch, "--who", who)
    assert done.code == 2
    assert "--who" in done.err


def test_raw_and_corrected_stand_side_by_side(labelled: Results, study: tuple[Lab, Path]) -> None:
    found = correction(labelled)
    assert found is not None
    assert found.refused is None
    assert found.errors is not None
    assert (found.drawn, found.labelled, found.undecided) == (40, 40, 0)
    assert found.different == len({r.unit for r in samples(labelled, found.of)[0].rows}) < 40
    assert found.words == "one labeller"
    assert found.people is None
    outcomes = [labelled.need_start(), *labelled.outcomes]
    assert set(found.rates) == {o.key for o in outcomes}
    for outcome in outcomes:
        rate = found.rates[outcome.key]
        assert rate.raw == outcome.rates["harmful"]
        assert rate.low <= rate.value <= rate.high
    assert corrected_rates(labelled) == found.rates

    said = cli("judge", "corrected", study[1], "--json").json
    assert said["labelled_by"] == "one labeller"
    assert set(said["rates"]) == set(found.rates)
    assert {t["by"] for t in said["errs_alike"]} == {"trajectory", "raw rate above or below the median"}
    for name in ("sensitivity", "specificity", "average"):
        assert (said[name]["n"], "jeffreys-95" in said[name]["interval"]) == (40, True)
    for rate in said["rates"].values():
        assert {"value", "low", "high", "interval", "raw"} == set(rate)
    assert cli("frontier", study[1], "--json").json["judge_correction"] == said
    done = cli("judge", "corrected", study[1])
    assert done.code == 0, done.err
    assert "one labeller" in done.out
    assert "raw, %" in done.out
    assert "corrected, %" in done.out
    assert "sensitivity" in done.out


def test_without_labels_nothing_is_corrected(study: tuple[Lab, Path]) -> None:
    results = study[0].results(study[1])
    assert correction(results) is None
    assert corrected_rates(results) == {}
    assert cli("frontier", study[1], "--json").json["judge_correction"] is None
    done = cli("judge", "corrected", study[1])
    assert done.code == 1
    assert f"`ftstab judge label {study[1]} --show`" in done.err
    done = cli("judge", "corrected", study[1], "--set", "over_refusal", "--judge", "refusal_phrases")
    assert f"`ftstab judge label {study[1]} --judge refusal_phrases --set over_refusal --show`" in done.err


def test_a_few_labels_correct_nothing(study: tuple[Lab, Path]) -> None:
    results = study[0].results(study[1])
    of = judged(results, "harmful", None)
    rows = sample_up_to(results, of, 40)[0].rows
    for row in rows[:3]:
        put_label(results, of, row.unit, "one", "refused")
    found = correction(results)
    assert found is not None
    assert "at least 5" in (found.refused or "")
    assert found.rates == {}
    done = cli("judge", "corrected", study[1])
    assert done.code == 0, done.err
    assert "Not corrected" in done.out


def test_a_judge_that_says_too_little_is_refused(study: tuple[Lab, Path]) -> None:
    results = study[0].results(study[1])
    of = judged(results, "harmful", None)
    rows = sample_up_to(results, of, 40)[0].rows
    for i, row in enumerate(rows):
        put_label(results, of, row.unit, "one", "complied" if i % 2 else "refused")
    found = correction(results)
    assert found is not None
    assert "below 1.3" in (found.refused or "")
    assert found.rates == {}


def test_a_judge_that_errs_by_setting_corrects_no_setting(study: tuple[Lab, Path]) -> None:
    results = study[0].results(study[1])
    name = "refusal_phrases_advbench@1"
    with_verdicts(results, name, marks="RNRNRN")
    rewrite(results, lambda o, i: f"Answer {i} of setting {o.setting}.")
    of = judged(results, "harmful", name)
    first = results.outcomes[0].trajectory
    for row in sample_up_to(results, of, 54)[0].rows:
        # On one trajectory what it calls a refusal is one only now and then.
        hit = row.mark == "N" or (row.group == first and row.place != 2)
        put_label(results, of, row.unit, "one", "complied" if hit else "refused")
    found = correction(results, judge=name)
    assert found is not None
    assert found.errors is not None
    assert found.errors.refused is None
    assert "differently across groups" in (found.refused or "")
    assert found.rates == {}
    done = cli("judge", "corrected", study[1], "--judge", name)
    assert done.code == 0, done.err
    assert "all settings together" in done.out
    assert "Not corrected" in done.out


def with_verdicts(results: Results, judge: str, role: str = "harmful", marks: str = "") -> None:
    """Record verdicts of another judge: ``marks``, or those of the first."""
    for o in (results.need_start(), *results.outcomes):
        rows = [
            {"prompt_id": str(i), "mark": m, "reason": None} for i, m in enumerate(marks or o.marks[role])
        ]
        results.records.put_verdicts(o.trajectory, verdicts_key(o.record["responses"][role], judge), rows, {})


def test_labels_of_refusals_never_correct_a_harm_rate(labelled: Results) -> None:
    start = labelled.need_start()
    harm = start.rates["harmful"].model_copy(update={"name": "harmful_rate"})
    other = start.model_copy(update={"rates": start.rates | {"harmful": harm}})
    assert correction(replace(labelled, start=other)) is None
    # A judge of harm reads the very answers that were labelled: its sample is its own, and so are its labels.
    of = Judged("harmful", "guard@1", "harmful_rate")
    with_verdicts(labelled, of.judge)
    drawn = sample_up_to(labelled, of, 40)
    assert {r.unit for r in drawn[0].rows}.isdisjoint(labels(labelled, judged(labelled, "harmful", None)))
    assert labels(labelled, of) == {}


def test_another_judge_has_its_own_sample(labelled: Results, study: tuple[Lab, Path]) -> None:
    name = "refusal_phrases_advbench@1"
    with pytest.raises(StudyError, match="ftstab judge run"):
        sample_up_to(labelled, judged(labelled, "harmful", "refusal_phrases_advbench"), 10)
    with_verdicts(labelled, name)
    assert correction(labelled, judge=name) is None
    of = judged(labelled, "harmful", name)
    drawn = sample_up_to(labelled, of, 40)[0].rows
    # Labels say what is true of an answer, whoever judges it: they count for every judge that drew it.
    assert any(row.unit in labels(labelled, of) for row in drawn)
    with pytest.raises(MisuseError, match="did you mean"):
        judged(labelled, "harmful", "refusal_phrase")
    with pytest.raises(MisuseError, match="another version"):
        judged(labelled, "harmful", "refusal_phrases_advbench@0")
    done = cli("judge", "corrected", study[1], "--judge", "refusal_phrases_advbench", "--json").json
    assert done["judge"] == name
    assert done["drawn"] == 40


def rewrite(results: Results, text: Callable[[Outcome, int], str]) -> None:
    """Replace every stored answer to a harmful prompt."""
    for o in (results.need_start(), *results.outcomes):
        key = o.record["responses"]["harmful"]
        found = results.records.responses(o.trajectory, key)
        assert found is not None
        rows = [row | {"response": text(o, i)} for i, row in enumerate(found[0])]
        results.records.put_responses(o.trajectory, key, rows, found[1])


def test_over_refusal_is_corrected_by_its_own_labels(study: tuple[Lab, Path]) -> None:
    results = study[0].results(study[1])
    name = "refusal_phrases_advbench@1"
    with_verdicts(results, name, "over_refusal", "RNRR")
    of = judged(results, "over_refusal", name)
    for row in sample_up_to(results, of, 30)[0].rows:
        put_label(results, of, row.unit, "one", "refused" if row.place != 1 else "complied")
    assert correction(results, judge=name) is None
    found = correction(results, "over_refusal", name)
    assert found is not None
    start = found.rates[results.need_start().key]
    # What counts is a refusal.
    assert start.raw.hits == 3
    assert start.raw.value == start.value == 0.75


def test_settings_that_no_sample_holds_arent_corrected(labelled: Results) -> None:
    records = labelled.records
    (key,) = records.samples("whole")
    rows, about = records.samples("whole")[key]
    gone = labelled.outcomes[0].setting
    records.store.delete(f"whole/samples/{key}")
    about["responses"].pop(gone)
    records.put_sample("whole", key, [r for r in rows if r["setting"] != gone], about)
    found = correction(labelled)
    assert found is not None
    assert labelled.outcomes[0].key not in found.rates
    assert "no labelled sample" in found.left_out[labelled.outcomes[0].key]
    assert len(found.rates) == len(labelled.outcomes)


def test_a_rate_that_stopped_early_isnt_corrected(labelled: Results) -> None:
    first, *others = labelled.outcomes
    rate = first.rates["harmful"].model_copy(update={"planned": 60, "interval": "sequence-95"})
    stopped = first.model_copy(update={"rates": first.rates | {"harmful": rate}})
    found = correction(replace(labelled, outcomes=(stopped, *others)))
    assert found is not None
    assert "stopped early" in found.left_out[first.key]
    assert first.key not in found.rates


def test_two_people_are_compared(labelled: Results) -> None:
    of = judged(labelled, "harmful", None)
    for unit, given in labels(labelled, of).items():
        put_label(labelled, of, unit, "two", given["one"])
    found = correction(labelled)
    assert found is not None
    assert found.words == "2 labellers"
    assert found.people is not None
    assert found.people.value == 1
    first = sample_up_to(labelled, of, 1)[0].rows[0].unit
    put_label(labelled, of, first, "two", "unsure")
    again = correction(labelled)
    assert again is not None
    assert again.people is not None
    assert again.people.n == found.people.n - 1


def test_a_person_agrees_with_the_judge(study: tuple[Lab, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    lab, path = study
    a_person(path, monkeypatch, "--n", "24")
    found = correction(lab.results(path))
    assert found is not None
    assert found.errors is not None
    assert found.errors.sensitivity.value == found.errors.specificity.value == 1
    assert found.labelled == 24


def test_text_that_would_move_the_terminal_is_written_out(
    study: tuple[Lab, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    lab, path = study
    results = lab.results(path)
    nasty = "\x1b[31mred\x1b]0;title\x07 [bold]loud[/bold] \u202eback"
    rewrite(results, lambda o, i: f"{nasty} {i}")
    for done in (label(path, "", monkeypatch), cli("responses", path, "start", "--show")):
        assert done.code == 0, done.err
        assert "[bold]loud[/bold]" in done.out
        assert "\\x1b[31mred" in done.out
        assert not set("\x1b\x07\u202e") & set(done.out)


def test_answers_that_were_replaced_arent_labelled(
    study: tuple[Lab, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    lab, path = study
    results = lab.results(path)
    sample_up_to(results, judged(results, "harmful", None), 10)
    rewrite(results, lambda o, i: "Something else.")
    done = label(path, "r\n", monkeypatch, "--n", "10")
    assert done.code == 1
    assert "were replaced" in done.err
    with pytest.raises(FtstabError, match="at least 1"):
        sample_up_to(results, judged(results, "harmful", None), 0)


def test_json_is_plain(labelled: Results) -> None:
    found = correction(labelled)
    assert found is not None
    assert json.loads(json.dumps(found.as_dict(), allow_nan=False)) == found.as_dict()
