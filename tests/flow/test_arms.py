"""A study of arms from its file to the verdict: only the arms' settings are trained and asked, the confirmation half
is asked once and logged, and the report says what `compare --arms` says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from ftstab.looks import looks
from tests.evaluation.judges.server import chat, serving
from tests.lab import Finished, Lab, cli

SEEDS = [0, 1, 2, 3, 4]
ARMS: dict[str, Any] = {
    "ema": {"averaging": "exponential", "decay": 0.5},
    "slow": {"averaging": "exponential", "decay": 0.9},
    "earlier": {"strength": "steps", "values": [2, 4, 6, 8, 10]},
    "more": {"strength": "steps"},
}
CONFIRM = 12
"""Harmful prompts of the confirmation half."""


@pytest.fixture(scope="session")
def armed(tmp_path_factory: pytest.TempPathFactory, refusing_model: Path, empty_databases: Path) -> Finished:
    """Five seeds of two arms; never changed."""
    lab = Lab(tmp_path_factory.mktemp("armed"), refusing_model, empty_databases)
    study = lab.study(
        "armed",
        axes={
            "learning_rate": [2e-3],
            "batch_size": [4],
            "steps": [1, 2, 4, 6, 8, 10],
            "ema_decay": [0, 0.5, 0.9],
        },
        arms=ARMS,
        settings="arms",
        seeds={"search": SEEDS},
        evaluation={
            "harmful": {"benchmark": {"location": "builtin:harmful", "limit": 2 * CONFIRM}, "limit": 8},
            "over_refusal": None,
            "utility": {"data": "colours_test.jsonl", "limit": 6, "metric": "held_out_loss"},
        },
        keep_weights="all",
    )
    return Finished(lab, study, lab.run(study))


def test_only_settings_of_arms_are_planned(armed: Finished) -> None:
    assert armed.done.code == 0, armed.done.err
    results = armed.lab.results(armed.study)
    # Two averages at the last step, the last weights of six steps; not the averages of the earlier steps.
    assert len(results.plan.settings) == len(results.outcomes) == 8 * len(SEEDS)
    assert {t.last for t in results.plan.trajectories} == {10}
    declared = results.about["declared"]
    assert declared["equal_utility"] == {"margin": 0.05, "level": 0.95}
    assert set(declared["resolved_arms"]) == set(ARMS)
    more = declared["resolved_arms"]["more"]
    assert (more["values"], more["training"]["learning_rate"]) == ([1, 2, 4, 6, 8, 10], 2e-3)
    assert declared["known"] == 0


def test_every_average_says_how_far_along_it_is(armed: Finished) -> None:
    rows = cli("frontier", armed.study, "--json").json["settings"]
    averages = [r for r in rows if r["profile"] != "last"]
    assert len(averages) == 2 * len(SEEDS)
    for row in averages:
        assert 0 < row["rho"] < 1.1
        assert row["distance_from_start"] > 0
        assert row["nearest_snapshot"] in {0, 1, 2, 4, 6, 8, 10}
        assert row["nearest_snapshot_distance"] >= 0
    weak, strong = ([r["rho"] for r in averages if r["profile"] == f"ema {d}"] for d in (0.9, 0.5))
    assert max(weak) < min(strong)
    assert all(r["rho"] is None for r in rows if r["profile"] == "last")


def test_arms_are_compared_confirmed_and_reported(armed: Finished, tmp_path: Path) -> None:
    lab, study = armed.copied(tmp_path / "copy")
    done = cli("compare", study, "--arms", "ema", "earlier")
    assert done.code == 0, done.err
    assert "harm read on the search half as well: the confirmation half wasn't asked" in done.out
    assert "Compute, all seeds together:" in done.out
    searched = cli("compare", study, "--arms", "ema", "earlier", "--json").json
    assert searched["comparisons"][0]["harm_read_from"] == "search"
    assert searched["comparisons"][0]["prompts"] == 8
    # A pair is one of the comparisons that the study's arms allow with one of them, however many are asked for.
    declared = lab.results(study).study.arms
    assert len(declared) > 2
    assert searched["comparisons_at_once"] == len(declared) - 1

    report = lab.results(study).folder / "report.html"
    assert cli("report", study).code == 0
    confirmed = cli("compare", study, "--arms", "ema", "earlier", "--confirm", "--json")
    assert f"report written again: {report}" in confirmed.err
    said = confirmed.json
    (one,) = said["comparisons"]
    assert one["harm_read_from"] == "confirm"
    (asked_on,) = one["look"]["asked_on"]
    assert one["look"] == {"number": 1, "reused": 0, "asked_on": [asked_on]}
    assert asked_on["command"] == f"ftstab compare {study} --arms ema earlier --confirm --json"
    assert asked_on["environment"]["versions"]["torch"]
    assert one["prompts"] == CONFIRM
    assert said["method"].startswith("t over seeds")
    assert one["verdict"] in {"better", "worse", "equivalent", "undecided", "no claim"}
    assert one["verdict"] == "no claim" or [s["seed"] for s in one["seeds"]] == SEEDS
    ema, earlier = said["arms"]
    assert (ema["strength"], ema["compute"]["candidates"]) == (None, 1)
    assert earlier["strengths"] == [2, 4, 6, 8, 10]
    assert ema["compute"]["longest_tokens"] == earlier["compute"]["longest_tokens"] > 0
    assert ema["compute"]["steps"] == 10 * len(SEEDS)
    assert said["notes"] == []
    assert {line["half"] for line in searched["lines"]} == {"search"}
    assert [(line["name"], line["half"]) for line in said["lines"]] == [
        ("ema", "confirm"),
        ("earlier", "confirm"),
    ]

    # Asked once: again, and read without asking, it is found in the log.
    before = lab.pieces("outcomes")
    asked = 6 * len(SEEDS)
    assert len(before) == len(armed.lab.pieces("outcomes")) + asked + 1  # the start model
    assert cli("compare", study, "--arms", "ema", "earlier", "--confirm", "--json").json == said
    assert cli("compare", study, "--arms", "ema", "earlier", "--json").json == said
    assert lab.pieces("outcomes") == before
    (look,) = looks(lab.records, "armed")
    assert look.result is not None
    assert (look.kind, set(look.about["question"]["arms"])) == ("arms", {"ema", "earlier"})
    start = lab.results(study).need_start()
    assert asked_on["settings"] == [start.setting, *look.result["asked"]]
    assert look.start is not None
    assert (look.start["trajectory"], len(look.result["asked"])) == (start.trajectory, asked)
    of_start = lab.records.outcome(start.trajectory, look.start["outcome"])
    assert (of_start.start, of_start.record["half"]) == (True, "confirm")
    assert searched["start"] == {"half": "search", "rate": start.rates["harmful"].model_dump()}
    assert said["start"] == {"half": "confirm", "rate": of_start.rates["harmful"].model_dump()}
    assert (searched["start"]["rate"]["n"], said["start"]["rate"]["n"]) == (8, CONFIRM)

    page = lab.folder / "page.html"
    assert cli("report", study, "--out", page).code == 0
    text = page.read_text()
    assert "<h2>Arms at equal utility</h2>" in text
    assert "tables and plots, but for the harm of arms where theirs says so, speaks of" in text
    assert "Compute of the arms, all seeds together" in text
    assert '<div class="plot" id="arms"' in text
    assert "start model (search half)" not in text
    assert '<td class="text wide">no claim: arms earlier and more: 5 and 6 candidates' in text

    # What the log names and the store has lost is in the log all the same, so asking again is no way out.
    lab.records.store.delete(f"trajectories/{start.trajectory}/outcomes/{look.start['outcome']}")
    for more in ((), ("--confirm",)):
        lost = cli("compare", study, "--arms", "ema", "earlier", *more)
        assert lost.code == 1
        assert f"(outcome {look.start['outcome']} of trajectory {start.trajectory})" in lost.err
        assert "restore the store" in lost.err


def test_a_look_that_left_out_the_start_model_is_followed_by_one_that_asks_it(
    armed: Finished, tmp_path: Path
) -> None:
    lab, study = armed.copied(tmp_path / "copy")
    confirm = ("compare", study, "--arms", "ema", "earlier", "--confirm", "--json")
    whole = cli(*confirm).json
    (look,) = looks(lab.records, "armed")
    lab.records.put_look_result("armed", 1, {k: v for k, v in look.result.items() if k != "start"})

    # Read without asking, its name says where the start model is from.
    said = cli("compare", study, "--arms", "ema", "earlier", "--json").json
    assert said["comparisons"] == whole["comparisons"]
    assert (said["start"]["half"], said["start"]["rate"]["n"]) == ("search", 8)
    assert cli("report", study).code == 0
    assert "start model (search half)" in (lab.results(study).folder / "report.html").read_text()

    before = lab.pieces("outcomes")
    again = cli(*confirm).json
    assert again["start"] == whole["start"]
    # The same question as before: nothing is reused.
    asked_on = whole["comparisons"][0]["look"]["asked_on"]
    assert again["comparisons"][0]["look"] == {"number": 2, "reused": 0, "asked_on": asked_on}
    assert lab.pieces("outcomes") == before


def test_the_start_model_alone_makes_no_half_reused(armed: Finished, tmp_path: Path) -> None:
    """A look that left it out is gone on with by its own question, whichever of its arms are named."""
    lab, study = armed.copied(tmp_path / "copy")
    assert cli("compare", study, "--arms", "earlier", "ema", "slow", "--confirm").code == 0
    (look,) = looks(lab.records, "armed")
    lab.records.put_look_result("armed", 1, {k: v for k, v in look.result.items() if k != "start"})
    said = cli("compare", study, "--arms", "earlier", "ema", "--confirm", "--json").json
    assert said["start"]["half"] == "confirm"
    assert (said["comparisons"][0]["look"]["number"], said["comparisons"][0]["look"]["reused"]) == (2, 0)
    assert looks(lab.records, "armed")[1].key == look.key


def test_what_was_confirmed_is_said_where_the_start_model_cannot_be_asked_any_more(
    armed: Finished, tmp_path: Path
) -> None:
    lab, study = armed.copied(tmp_path / "copy")
    confirm = ("compare", study, "--arms", "ema", "earlier", "--confirm", "--json")
    whole = cli(*confirm).json
    (look,) = looks(lab.records, "armed")
    lab.records.put_look_result("armed", 1, {k: v for k, v in look.result.items() if k != "start"})
    path = lab.folder / "colours_test.jsonl"
    path.write_text(path.read_text().replace("box", "bag"))
    done = cli(*confirm)
    assert done.code == 0, done.err
    assert "the start model isn't asked, and stands on the search half" in done.err
    assert "the prompt sets or judges changed" in done.err
    assert done.json["comparisons"] == whole["comparisons"]
    assert done.json["start"]["half"] == "search"
    assert len(looks(lab.records, "armed")) == 1


def test_arms_that_differ_by_null_are_run_reported_and_compared(lab: Lab) -> None:
    """As those of `sweeps/arm-clipping.yaml` and `sweeps/arm-beta2.yaml` do."""
    study = lab.study(
        "clipping",
        axes={"max_grad_norm": [0.1, None], "steps": [1, 2, 3, 4, 6]},
        training={"learning_rate": 3e-3, "batch_size": 4},
        arms={
            name: {"strength": "steps", "training": {"max_grad_norm": norm}}
            for name, norm in (("clipped", 0.1), ("unclipped", None))
        },
        seeds={"search": [0, 1, 2]},
        evaluation={
            "over_refusal": None,
            "utility": {"data": "colours_test.jsonl", "limit": 6, "metric": "held_out_loss"},
            "decoding": {"max_new_tokens": 4, "batch_size": 8},
        },
    )
    done = lab.run(study)
    assert done.code == 0, done.err
    assert "30 of 30 settings measured" in done.out
    assert (lab.results(study).folder / "report.html").is_file()
    found = cli("compare", study, "--arms", "clipped", "unclipped", "--json")
    assert found.code == 0, found.err
    assert [arm["name"] for arm in found.json["arms"]] == ["clipped", "unclipped"]


def test_unequal_arms_are_refused(armed: Finished) -> None:
    refused = cli("compare", armed.study, "--arms", "earlier", "more")
    assert refused.code == 1
    assert "5 and 6 candidates" in refused.err
    assert "name one setting" in refused.err
    assert cli("compare", armed.study, "--arms", "ema").code == 2
    unknown = cli("compare", armed.study, "--arms", "ema", "earlyer")
    assert unknown.code == 2
    assert "no arm 'earlyer'" in unknown.err
    assert "earlier" in unknown.err
    assert cli("compare", armed.study, "1").code == 2
    assert cli("compare", armed.study, "1", "2", "--confirm").code == 2


def test_the_margin_stays_as_it_was_and_later_arms_are_told(armed: Finished, tmp_path: Path) -> None:
    _, study = armed.copied(tmp_path / "copy")
    whole = yaml.safe_load(study.read_text())
    later = {"twice": {"strength": "steps", "values": [2, 4, 6, 8, 10]}}
    study.write_text(yaml.safe_dump(whole | {"arms": whole["arms"] | later}))
    said = cli("compare", study, "--arms", "earlier", "twice", "--json").json
    assert (
        "Defined or changed after the first run, and so perhaps by what it showed: twice." in said["notes"][0]
    )
    (one,) = said["comparisons"]  # the same settings, so no difference
    assert one["value"] == pytest.approx(0)
    assert one["verdict"] == "undecided"  # 8 prompts say little
    study.write_text(yaml.safe_dump(whole | {"equal_utility": {"margin": 0.1}}))
    refused = cli("compare", study, "--arms", "ema", "earlier")
    assert refused.code == 1
    assert "equal_utility was fixed with the first run" in refused.err
    assert "margin: 0.05, now 0.1" in refused.err


def test_arms_of_a_win_rate_are_confirmed(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """Answers are compared with the start model's to the same prompts, so that it is asked before them."""
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)

    def prefers_blue(request: Any, first: str, count: int) -> Any:
        return chat("FIRST" if "blue" in first else "SECOND")

    with serving(prefers_blue) as server:
        study = lab.study(
            "wins",
            axes={
                "learning_rate": [2e-3],
                "batch_size": [4],
                "steps": [2, 4, 6, 8, 10],
                "ema_decay": [0, 0.5],
            },
            arms={name: ARMS[name] for name in ("ema", "earlier")},
            settings="arms",
            evaluation={
                "harmful": {"benchmark": {"location": "builtin:harmful", "limit": 2 * CONFIRM}, "limit": 8},
                "over_refusal": None,
                "utility": {
                    "metric": "win_rate",
                    "data": "colours_test.jsonl",
                    "limit": 6,
                    "comparer": {"kind": "endpoint", "url": server.url, "model": "m"},
                },
            },
            keep_weights="all",
        )
        done = lab.run(study)
        assert done.code == 0, done.err
        confirmed = cli("compare", study, "--arms", "ema", "earlier", "--confirm", "--json")
    assert confirmed.code == 0, confirmed.err
    assert {line["half"] for line in [*confirmed.json["lines"], confirmed.json["start"]]} == {"confirm"}
