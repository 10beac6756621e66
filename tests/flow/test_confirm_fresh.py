"""Fresh seeds, which speak of a new run of what is picked."""

from __future__ import annotations

import re
from typing import Any

from tests.flow.candidates import NO_HARM, Copy
from tests.lab import cli, measured


def outcomes_of(copy: Copy) -> dict[str, Any]:
    return measured({o.setting: o for o in copy.lab.results(copy.study).outcomes})


def test_fresh_seeds_speak_of_a_new_run(copy: Copy) -> None:
    # One recipe on the frontier: the others are beaten.
    a, *_ = copy.found({"a": 0, "b": 1, "c": 1, "d": 1}, {"a": 6, "b": 1, "c": 1, "d": 1})
    before = outcomes_of(copy)
    done = cli("run", copy.study, "--frontier-seeds", "2")
    assert done.code == 0, done.err
    assert "fresh seeds 1, 2 of 1 recipes on the frontier: 2 trajectories, 2 still to train" in done.out
    results = copy.lab.results(copy.study)
    assert [o.seed for o in results.fresh] == [1, 2]
    assert {o.step for o in results.fresh} == {6}
    assert outcomes_of(copy) == before  # they are no settings to choose among
    assert len(cli("frontier", copy.study, "--json").json["settings"]) == 4

    # The study's own number is 3: the two are kept and one is added; a plain run loses nothing.
    attempts = copy.lab.pieces("attempts")
    plain = cli("run", copy.study)
    assert plain.code == 0, plain.err
    assert [o.seed for o in copy.lab.results(copy.study).fresh] == [1, 2]
    assert cli("run", copy.study, "--frontier-seeds").code == 0
    results = copy.lab.results(copy.study)
    assert [o.seed for o in results.fresh] == [1, 2, 3]
    after = copy.lab.pieces("attempts")
    assert len(after) == len(attempts) + 1
    assert {k: v for k, v in after.items() if k in attempts} == attempts

    # MLflow shows them, Optuna is not told: seeds are never a search dimension.
    from tests.tracking import material

    client = material.mlflow_client(f"sqlite:///{copy.lab.store / 'small' / 'state' / 'mlflow.db'}")
    children = material.by_kind(material.runs_of(client, results.study), "setting")
    assert {o.setting for o in (*results.outcomes, *results.fresh)} == set(children)
    assert {children[o.setting].data.tags["ftstab.on_frontier"] for o in results.fresh} == {"false"}
    assert cli("sync", copy.study, "--json").json["trials_added"] == 0

    said = cli("pick", copy.study, "--confirm", "--json").json
    assert said["picked"]["setting"] == a
    claim = said["confirmation"]["result"]["recipe"]
    assert claim["seeds"] == [1, 2, 3]
    assert claim["low"] <= claim["high"]
    assert (claim["prompts"], claim["interval"]) == (NO_HARM, "t-seeds-wilson-95")
    (asked,) = said["confirmation"]["result"]["asked_on"]
    assert {o.setting for o in results.fresh} < set(asked["settings"])
    assert said["fresh_seeds"] is None
    assert (
        "For this recipe (3 fresh seeds, the seed it was found with left out; asked the prompts that confirmed it): a "
        "new run's non-refusal rate lies between" in said["statement"]
    )


def test_fresh_seeds_that_come_later_are_a_look_of_their_own(copy: Copy) -> None:
    copy.found({"a": 0, "b": 1, "c": 1, "d": 1}, {"a": 6, "b": 1, "c": 1, "d": 1})
    first = copy.confirm()
    assert first.claim is None
    assert cli("run", copy.study, "--frontier-seeds", "1").code == 0
    assert (
        "--confirm` asks this half of 1 fresh seed of this recipe"
        in cli("pick", copy.study, "--json").json["advice"]
    )
    # Whoever reads report, JSON or model card learns of them before they are asked.
    told = "one training run, another may differ: 1 fresh seed was trained, not asked on this half."
    assert told in cli("pick", copy.study, "--json").json["statement"]
    page = copy.study.parent / "page.html"
    assert cli("report", copy.study, "--out", page).code == 0
    text = page.read_text(encoding="utf-8")
    assert f"<li>Holds for these weights; {told}</li>" in text
    assert "--confirm</code> asks this half of 1 fresh seed of this recipe" in text
    assert text.count(">fresh seed</td>") == 1
    found = cli("frontier", copy.study, "--json").json
    (recipe,) = found["fresh"]
    (run,) = recipe["runs"]
    assert (run["seed"], run["rate"]["n"]) == (1, found["start"]["rate"]["n"])
    assert set(recipe["found"]) < {s["setting"] for s in found["settings"]}
    assert "Fresh seeds: recipes 1, runs 1;" in cli("frontier", copy.study).out
    # A fresh seed is compared like any setting.
    (seed,) = copy.lab.results(copy.study).fresh
    compared = cli("compare", copy.study, "1", seed.setting, "--json").json
    assert [s["setting"] for s in compared["settings"]][1] == seed.setting
    # What is still to be asked isn't dropped.
    dropped = cli("pick", copy.study, "--drop-weights")
    assert "; 1 more are of fresh seeds that no confirmation has asked yet, and stay" in " ".join(
        dropped.out.split()
    )

    said = cli("pick", copy.study, "--confirm", "--json").json
    assert said["advice"] is None
    text = said["statement"]
    assert [k.kind for k in copy.looks] == ["pick", "recipe"]
    assert said["fresh_seeds"] == copy.looks[1].as_dict()
    (asked,) = said["fresh_seeds"]["result"]["asked_on"]
    assert asked["settings"] == [o.setting for o in copy.lab.results(copy.study).fresh]
    # The weights were confirmed on unseen prompts; what is said of the recipe reuses them.
    assert f"On {NO_HARM} unseen prompts" in text
    assert "1 fresh seed, the seed it was found with left out; reused: 1 earlier look" in text
    assert "nothing is claimed of a new run: fewer than 3 seeds" in text
    assert cli("report", copy.study, "--out", page).code == 0
    looked = page.read_text(encoding="utf-8").partition("Looks at the confirmation half</dt><dd>")[2]
    assert re.match(
        r"1: \S+Z, candidates under a limit of \d+\.0 %, picked \w{8}; 2: \S+Z, fresh seeds of what was picked<",
        looked,
    )
    before = copy.pieces()
    assert cli("pick", copy.study, "--confirm", "--json").json == said
    assert copy.pieces() == before
    assert len(copy.looks) == 2
