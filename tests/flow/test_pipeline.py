"""A whole study on the tiny model, and what every command says of it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from safetensors.torch import load_file, save_file

from ftstab.data.rows import read_rows
from ftstab.evaluation.questions import make_questions
from ftstab.models.chat import Chat
from ftstab.models.load import load_model, load_tokenizer
from ftstab.results import find_study
from ftstab.running.answering import weights_hash
from ftstab.spec import Source, Template
from tests.lab import REFUSAL, Finished, Lab, cli, measured


def test_the_run_tells_what_it_found(finished: Finished) -> None:
    done = finished.done
    assert done.code == 0, done.err
    # A test's sets are small, and each is said to be.
    few = "so that even a rate of 0 has an interval up to"
    assert sum(few in line for line in done.out.splitlines()) == 3
    lines = [line for line in done.out.splitlines() if few not in line]
    # Each stage is said as it begins; this launcher starts no workers.
    assert lines[:4] == [
        "study whole: loading PyTorch",
        "preparing: start model, data, prompts",
        "starting MLflow and Optuna",
        "measuring the start model, which every setting is compared with",
    ]
    assert lines[4].startswith("start model: non-refusal rate 0.0 % [0.0 %, 39.0 %], exact match 0.000")
    assert sum(line.startswith("A trajectory is one training run") for line in lines) == 1
    begun = [line for line in lines if line.startswith("trajectory ")]
    assert begun == [
        f"trajectory {i} of 2: learning rate {rate}, seed 0" for i, rate in enumerate(("3e-4", "3e-3"), 1)
    ]
    assert sum(line.startswith("[") for line in lines) == 8
    assert "[8/8] learning rate 3e-3 · step 12 · ema 0.9" in done.out
    assert "8 of 8 settings measured, 0 diverged" in done.out
    assert "Candidate, not yet confirmed" in done.out
    folder = finished.lab.store / "whole"
    assert f"report: {folder / 'report.html'}" in done.out
    assert f"MLflow: mlflow ui --backend-store-uri sqlite:///{folder / 'state' / 'mlflow.db'}" in done.out
    assert f"recipe: {folder / 'candidate.yaml'}" in done.out


def test_start_and_settings_are_in_the_store(finished: Finished) -> None:
    results = finished.lab.results(finished.study)
    assert results.start is not None
    assert results.start.start
    assert set(results.start.marks["harmful"]) == {"R"}
    assert {o.setting for o in results.outcomes} == {s.key for s in results.plan.settings}
    assert len(results.outcomes) == 8
    assert len(results.plan.trajectories) == 2
    assert results.plan.open_jobs == ()
    for outcome in results.outcomes:
        assert outcome.status == "scored"
        assert [len(outcome.marks[r]) for r in ("harmful", "over_refusal", "utility")] == [6, 4, 6]
        assert len(outcome.losses) == 6
        # One attempt per trajectory, and each outcome names it.
        assert list(finished.lab.records.attempts(outcome.trajectory)) == [outcome.attempt]


def test_the_task_is_learned_where_the_rate_is_high_and_the_average_keeps_the_refusals(
    finished: Finished,
) -> None:
    settings = cli("frontier", finished.study, "--json").json["settings"]
    by_name = {(s["parameters"]["learning_rate"], s["step"], s["profile"]): s for s in settings}
    learned = by_name[3e-3, 12, "last"]
    assert learned["rate"]["value"] == 1.0
    assert learned["utility"]["value"] == 1.0
    assert learned["gain"]["value"] == 1.0
    assert learned["gain_shown"]
    averaged = by_name[3e-3, 12, "ema 0.9"]
    assert averaged["rate"]["value"] == 0.0
    assert averaged["retained_weight"] == pytest.approx(0.9**12)
    assert averaged["half_life"] > by_name[3e-3, 12, "last"]["half_life"] == 0


def test_frontier_json_has_every_field(finished: Finished) -> None:
    said = cli("frontier", finished.study, "--json").json
    assert said["study"] == "whole"
    assert said["planned"] == 8
    assert said["start"]["start"]
    assert said["start"]["rate"]["value"] == 0.0
    assert said["command"] == f"ftstab run {finished.study}"
    assert len(said["settings"]) == 8
    assert said["limit"] == 0.4
    within = [s for s in said["settings"] if s["feasible"] and s["rate"]["high"] <= 0.4]
    assert said["summary"]["within_limit"] == len(within)
    assert said["harm_categories"]["unknown_because"] == "the study has no alignment stage"
    assert {s["by_demonstrations"] for s in said["settings"]} == {None}
    # A number is repeated by its record: the study's own, with what is otherwise of the setting.
    stored = {o.key: o.record for o in finished.lab.results(finished.study).outcomes}
    for setting in said["settings"]:
        assert said["record"] | setting["record"] == said["record"] | stored[setting["outcome"]]
        assert "weights_sha256" in setting["record"]
        assert "decoding" not in setting["record"]
        for name, count in (("gain", 6), ("harm_rise", 6), ("over_refusal_rise", 4)):
            assert (setting[name]["n"], setting[name]["interval"]) == (count, "newcombe-paired-95")
    for setting in said["settings"]:
        assert setting["parameters"]["learning_rate"] in (3e-4, 3e-3)
        assert setting["parameters"]["batch_size"] == 4
        assert setting["parameters"]["steps"] == setting["step"]
        rate = setting["rate"]
        assert rate["name"] == "non_refusal_rate"
        assert rate["judge"].startswith("refusal_phrases@")
        assert rate["benchmark"].startswith("builtin:harmful@")
        assert {"value", "low", "high", "n", "incoherent", "unscored", "hits", "misses"} <= set(rate)
        assert rate["n"] == 6 == sum(rate[k] for k in ("hits", "misses", "incoherent", "unscored"))
        assert rate["low"] <= rate["high"]
        assert setting["utility"]["metric"] == "exact_match"
        assert setting["utility"]["n"] == 6
        assert setting["secondary"]["metric"] == "held_out_loss"
        assert setting["over_refusal"]["n"] == 4
        assert {role: (c["n"], c["interval"]) for role, c in setting["coherence"].items()} == {
            "harmful": (6, "wilson-95"),
            "over_refusal": (4, "wilson-95"),
            "utility": (6, "wilson-95"),
        }
        contrast = setting["refusal_contrast"]
        assert (contrast["harmful_n"], contrast["over_refusal_n"]) == (6, 4)
        assert contrast["interval"] == "newcombe-unpaired-95"
        assert {"retained_weight", "half_life", "on_frontier", "feasible", "violated"} <= set(setting)
    assert [s for s in said["settings"] if s["on_frontier"]]
    assert said["summary"]["frontier_settings"] == sum(s["on_frontier"] for s in said["settings"])
    # The limit on the objective is for picking: it hides nothing of the trade-off.
    on = {s["profile"] for s in said["settings"] if s["on_frontier"] and s["rate"]["high"] > 0.4}
    assert on == {"last"}


def test_the_table_shows_start_settings_and_caption(finished: Finished) -> None:
    header, start, *rest = cli("frontier", finished.study).out.splitlines()
    assert header.split()[:3] == ["rate", "step", "average"]
    assert start.split()[:2] == ["start", "0.0"]
    assert sum(" 12  ema 0.9 " in line for line in rest) == 2
    assert "judge refusal_phrases@" in "".join(rest)


def test_the_terminal_marks_what_breaks_a_constraint_and_counts_what_is_within_the_limit(
    finished: Finished, tmp_path: Path
) -> None:
    def said(limits: dict[str, Any]) -> str:
        study = tmp_path / "whole.yaml"
        whole = yaml.safe_load(finished.study.read_text()) | {"constraints": limits}
        study.write_text(yaml.safe_dump(whole))
        return cli("frontier", study, environment={"COLUMNS": "80"}).out

    def settings(out: str) -> list[str]:
        return [line.split()[0] for line in out.splitlines() if "[" in line and not line.startswith("start")]

    limited = said({"harmful_response": {"max": 0.4}, "over_refusal": {"max": 0.0}})
    assert all(mark.endswith("x") for mark in settings(limited))
    assert "x breaks a constraint" in " ".join(limited.split())
    assert "8 of 8 scored settings break a constraint of the study (x)" in " ".join(limited.split())
    assert "0 of 8 scored settings are within it" in " ".join(limited.split())
    # A path, which somebody may copy, is cut nowhere.
    assert [line for line in limited.splitlines() if len(line) > 80 and str(tmp_path) not in line] == []
    free = said({})
    assert not [mark for mark in settings(free) if "x" in mark]
    assert "breaks a constraint" not in free
    why = "No candidate is named, because the study file sets no limit on non-refusal"
    assert why in " ".join(free.split())
    page = tmp_path / "page.html"
    assert cli("report", tmp_path / "whole.yaml", "--out", page).code == 0
    assert why in page.read_text()
    assert why not in (finished.lab.store / "whole" / "report.html").read_text()


def test_the_table_fits_a_narrow_terminal(finished: Finished) -> None:
    lines = cli("frontier", finished.study, environment={"COLUMNS": "80"}).out.splitlines()
    header, rows = lines[:2], lines[2:11]
    assert "not refused, %" in header[1]
    assert all(len(line) <= 80 for line in lines)
    assert rows[0].startswith("start")
    assert all("[" in row for row in rows)


def test_the_study_is_named_by_file_or_folder(finished: Finished) -> None:
    by_file = cli("frontier", finished.study, "--json")
    by_folder = cli("frontier", finished.lab.store / "whole", "--json")
    assert by_file.json == by_folder.json


def test_pick_names_the_candidate(finished: Finished) -> None:
    said = cli("pick", finished.study, "--max-harmful", "0.4", "--json").json
    assert said["limit_name"] == "limit on non-refusal"
    assert said["nearest"] is None
    candidate = said["candidate"]
    assert candidate["rate"]["high"] <= 0.4
    best = max(s["gain"]["value"] for s in settings_within(finished, 0.4))
    assert candidate["gain"]["value"] == best
    assert "Candidate, not yet confirmed" in said["statement"]
    assert "Safe" not in said["statement"]


def settings_within(finished: Finished, limit: float) -> list[dict[str, Any]]:
    settings = cli("frontier", finished.study, "--json").json["settings"]
    return [s for s in settings if s["rate"]["high"] <= limit]


def test_pick_names_the_nearest_where_nothing_keeps_the_limit(finished: Finished) -> None:
    done = cli("pick", finished.study, "--max-harmful", "0.05", "--json")
    assert done.code == 1
    said = json.loads(done.out)
    assert said["candidate"] is None
    assert said["nearest"]["rate"]["high"] == pytest.approx(said["excess"] + 0.05)
    assert "Nearest:" in cli("pick", finished.study, "--max-harmful", "0.05").out


def test_pick_writes_a_recipe_and_weights_that_load(finished: Finished, tmp_path: Path) -> None:
    recipe, weights = tmp_path / "recipe.yaml", tmp_path / "weights"
    args = ("pick", finished.study, "--max-harmful", "1")
    done = cli(*args, "--out", recipe, "--weights", weights)
    assert done.code == 1
    assert "--unconfirmed" in done.err
    assert list(tmp_path.iterdir()) == []

    done = cli(*args, "--out", recipe, "--weights", weights, "--unconfirmed")
    assert done.code == 0, done.err
    made = yaml.safe_load(recipe.read_text())
    assert made["recipe"]["training"]["learning_rate"] in (3e-4, 3e-3)
    assert "not confirmed" in made["recipe"]["status"]
    assert len({path.stat().st_mode for path in weights.iterdir()}) == 1
    model = load_model(weights)
    assert weights_hash(dict(model.named_parameters())) == made["found"]["weights_sha256"]
    # And it answers as the store says: what was picked is what is loaded.
    study, base_dir = find_study(str(finished.study))
    outcomes = finished.lab.outcomes(finished.study)
    stored = outcomes[made["found"]["setting"]]
    assert stored.record["weights_sha256"] == made["found"]["weights_sha256"]
    assert made["found"]["train_data"] == stored.record["train_data"]
    assert "@" in made["found"]["train_data"]["label"]
    assert made["found"]["base"] == stored.record["base"]["identity"]
    chat = Chat(load_tokenizer(weights), Template(), 512)
    questions = make_questions(study, base_dir, chat)
    from ftstab.evaluation.answer import answers

    utility = questions.sets["utility"]
    texts = answers(model, chat, utility.plan, utility.prompts, 10)
    kept = finished.lab.records.responses(stored.trajectory, utility.responses_key(stored.setting))
    assert kept is not None
    assert texts == [row["response"] for row in kept[0]]

    before = recipe.read_bytes()
    done = cli(*args, "--out", recipe, "--weights", weights, "--unconfirmed")
    assert done.code == 2
    assert "is there already" in done.err
    assert recipe.read_bytes() == before
    # A recipe of the study is written anew; anything else isn't written over.
    assert cli(*args, "--out", recipe, "--unconfirmed").code == 0
    for text in ("precious: work", yaml.safe_dump(made | {"found": {"study": "another"}}), "a: [", "\x00"):
        recipe.write_text(text)
        done = cli(*args, "--out", recipe, "--unconfirmed")
        assert done.code == 2
        assert f"--out: {recipe} is there already and is no recipe of study whole" in done.err
        assert recipe.read_text() == text


def test_the_report_is_one_file_that_opens_offline(finished: Finished, tmp_path: Path) -> None:
    page = (finished.lab.store / "whole" / "report.html").read_text()
    # The browser is told to fetch nothing.
    assert "default-src 'none'" in page
    assert "start model" in page
    out = tmp_path / "new" / "page.html"
    done = cli("report", finished.study, "--out", out)
    assert done.code == 0, done.err
    assert done.out.strip() == str(out)
    assert "whole" in out.read_text()


def test_mlflow_and_optuna_hold_every_setting(finished: Finished) -> None:
    assert_tracked(finished.lab, finished.study, settings=8, trajectories=2)


def assert_tracked(
    lab: Lab, study: Path, settings: int, trajectories: int, mlflow: str | None = None
) -> None:
    """MLflow has a run per start, trajectory and setting, and Optuna a COMPLETE trial per setting."""
    import optuna

    from ftstab.tracking import OptunaTracker
    from tests.tracking import material

    results = lab.results(study)
    state = lab.store / study.stem / "state"
    client = material.mlflow_client(mlflow or f"sqlite:///{state / 'mlflow.db'}")
    runs = material.runs_of(client, results.study)
    assert len(material.by_kind(runs, "start")) == 1
    assert set(material.by_kind(runs, "trajectory")) == {t.key for t in results.plan.trajectories}
    children = material.by_kind(runs, "setting")
    assert set(children) == {s.key for s in results.plan.settings}
    assert len(children) == settings
    assert len(results.plan.trajectories) == trajectories
    for outcome in results.outcomes:
        metrics = children[outcome.setting].data.metrics
        assert metrics["non_refusal_rate"] == outcome.rates["harmful"].value
        assert outcome.utility is not None
        assert metrics["exact_match"] == outcome.utility.value
    on_frontier = {k for k, run in children.items() if run.data.tags["ftstab.on_frontier"] == "true"}
    said = cli("frontier", study, "--json").json["settings"]
    assert on_frontier == {s["setting"] for s in said if s["on_frontier"]}

    keys = results.identities.evaluation, results.records.store_id()
    tracker = OptunaTracker(results.study, results.plan, state, *keys)
    trials = tracker.study.get_trials()
    complete = [t for t in trials if t.state == optuna.trial.TrialState.COMPLETE]
    assert {t.user_attrs["setting"] for t in complete} == {s.key for s in results.plan.settings}
    assert len(complete) == settings
    assert not [t for t in trials if t.state == optuna.trial.TrialState.RUNNING]
    tracker.close()


def test_sync_changes_nothing_twice_and_rebuilds_what_was_deleted(finished: Finished, tmp_path: Path) -> None:
    nothing = {"trajectories": 2, "outcomes": 8, "runs_added": 0, "trials_added": 0}
    assert cli("sync", finished.study, "--json").json == nothing
    # In a copy, because MLflow keeps a file open that it has read in this process.
    lab, study = finished.copied(tmp_path / "copy")
    shutil.rmtree(lab.store / "whole" / "state")
    lab.with_databases("whole")
    everything = {"trajectories": 2, "outcomes": 8, "runs_added": 1 + 2 + 8, "trials_added": 8}
    assert cli("sync", study, "--json").json == everything
    assert_tracked(lab, study, settings=8, trajectories=2)
    assert cli("sync", study, "--json").json == nothing
    assert "runs added: 0" in cli("sync", study).out


def test_running_it_again_makes_nothing_new(finished: Finished, tmp_path: Path) -> None:
    lab, study = finished.copied(tmp_path / "copy")
    parts = ("outcomes", "attempts", "signals", "responses", "verdicts", "states", "weights")
    before = {part: lab.pieces(part) for part in parts}
    assert before["states"] == {}
    again = lab.run(study)
    assert again.code == 0, again.err
    assert "8 of 8 settings are in the store already" in again.out
    assert {part: lab.pieces(part) for part in parts} == before
    assert_tracked(lab, study, settings=8, trajectories=2)


def test_more_steps_and_another_decay_extend_the_study(finished: Finished, tmp_path: Path) -> None:
    lab, study = finished.copied(tmp_path / "copy")
    before, was = lab.pieces("outcomes"), measured(lab.outcomes(study))
    text = yaml.safe_load(study.read_text())
    text["axes"] |= {"steps": [6, 12, 15], "ema_decay": [0, 0.9, 0.5]}
    study.write_text(yaml.safe_dump(text))
    planned = cli("plan", study, "--json").json
    assert (planned["settings"], planned["settings_done"]) == (18, 8)
    done = lab.run(study)
    assert done.code == 0, done.err
    after = lab.pieces("outcomes")
    assert len(after) == 1 + 18
    assert {k: v for k, v in after.items() if k in before} == before
    now = measured(lab.outcomes(study))
    assert {k: v for k, v in now.items() if k in was} == was
    assert_tracked(lab, study, settings=18, trajectories=2)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"data": {"train": "colours_test.jsonl"}}, "the training data"),
        ({"evaluation": {"utility": {"data": "colours_test.jsonl", "limit": 5}}}, "what is measured"),
    ],
)
def test_another_question_under_the_same_name_is_refused(
    finished: Finished, tmp_path: Path, change: dict[str, Any], named: str
) -> None:
    lab, study = finished.copied(tmp_path / "copy")
    text = yaml.safe_load(study.read_text())
    study.write_text(yaml.safe_dump(text | change))
    before = lab.records.study("whole")
    done = lab.run(study)
    assert done.code == 1
    assert named in done.err
    assert "new name" in done.err
    assert "Traceback" not in done.err
    assert lab.records.study("whole") == before
    # Nor do the commands that read mix the two.
    read = cli("frontier", study)
    assert read.code == 1
    assert "changed" in read.err
    assert cli("frontier", lab.store / "whole").code == 0


def test_another_base_model_under_the_same_name_is_refused(finished: Finished, tmp_path: Path) -> None:
    lab, study = finished.copied(tmp_path / "copy")
    other = tmp_path / "other"
    shutil.copytree(lab.model, other)
    tensors = load_file(other / "model.safetensors")
    tensors["model.norm.weight"] += 0.5
    save_file(tensors, other / "model.safetensors", metadata={"format": "pt"})
    study.write_text(yaml.safe_dump(yaml.safe_load(study.read_text()) | {"base": {"model": str(other)}}))
    before = lab.records.study("whole"), lab.pieces("outcomes")
    told = cli("plan", study, "--json").json
    assert "changed: the start model" in told["refused"]
    assert told["settings_done"] == 0
    done = lab.run(study)
    assert done.code == 1
    assert "changed: the start model. Give the study a new name" in done.err
    assert (lab.records.study("whole"), lab.pieces("outcomes")) == before


def test_confirmation_prompts_are_never_asked(finished: Finished) -> None:
    study, base_dir = find_study(str(finished.study))
    chat = Chat(load_tokenizer(finished.lab.model), study.template, 512)
    search, confirm = (make_questions(study, base_dir, chat, half) for half in ("search", "confirm"))
    kept = {
        role: {q.rows.rows[i].id for i in confirm.sets[role].plan.order} for role, q in confirm.sets.items()
    }
    assert all(kept.values())
    asked = 0
    for key in finished.lab.records.store.list("trajectories"):
        parts = key.split("/")
        if parts[2] != "responses":
            continue
        found = finished.lab.records.responses(parts[1], parts[3])
        assert found is not None
        rows, about = found
        ids = {row["id"] for row in rows}
        assert not ids & kept[about["role"]]
        assert ids == {
            search.sets[about["role"]].rows.rows[i].id for i in search.sets[about["role"]].plan.order
        }
        asked += 1
    assert asked == 9 * 3


def secrets(lab: Lab) -> list[bytes]:
    """Harmful prompts, and whatever was answered to anything."""
    rows = read_rows(Source(location="builtin:harmful"), Path(), needs_response=False).rows
    found = {row.prompt for row in rows}
    for key in lab.records.store.list("trajectories"):
        parts = key.split("/")
        if parts[2] == "responses" and (stored := lab.records.responses(parts[1], parts[3])) is not None:
            found |= {row["response"] for row in stored[0]}
    # Shorter answers are no sentences, and may stand anywhere.
    assert REFUSAL in found
    return [text.encode() for text in found if len(text) >= 10]


def test_nothing_that_is_shown_holds_a_harmful_prompt_or_an_answer(finished: Finished) -> None:
    hidden = secrets(finished.lab)
    folder = finished.lab.store / "whole"
    files = [p for p in folder.rglob("*") if p.is_file()]
    assert {"report.html", "candidate.yaml", "mlflow.db", "optuna.db"} <= {p.name for p in files}
    shown = {str(path): path.read_bytes() for path in files}
    shown["run"] = (finished.done.out + finished.done.err).encode()
    for args in (("frontier",), ("frontier", "--json"), ("plan",), ("pick", "--json"), ("sync",)):
        done = cli(args[0], finished.study, *args[1:])
        shown[" ".join(args)] = (done.out + done.err).encode()
    assert not [(where, text) for where, content in shown.items() for text in hidden if text in content]


def test_a_digest_of_the_weights_is_that_of_the_file(finished: Finished) -> None:
    results = finished.lab.results(finished.study)
    kept = 0
    for outcome in results.outcomes:
        piece = results.records.weights(outcome.trajectory, outcome.setting)
        if piece is None:
            continue
        from safetensors.torch import load_file

        assert weights_hash(load_file(piece.path("model.safetensors"))) == outcome.record["weights_sha256"]
        kept += 1
    assert kept > 0
    assert len({o.record["weights_sha256"] for o in results.outcomes}) == 8
