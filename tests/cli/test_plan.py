"""`ftstab plan` in words: what is left, what is asked of which set, and what stays on the disk."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from ftstab.cli import crew, plan
from ftstab.running import environment
from tests.lab import Finished, Lab, cli


def line(text: str, name: str) -> str:
    (found,) = [line for line in text.splitlines() if line.startswith(f"  {name} ")]
    return found


def test_a_finished_study_has_nothing_left(finished: Finished) -> None:
    done = cli("plan", finished.study)
    assert done.code == 0, done.err
    assert "nothing left to do: every setting is in the store" in done.out
    assert "estimate" not in done.out
    assert "time  " not in done.out
    kept = len(finished.lab.pieces("weights"))
    assert 0 < kept <= 8
    size = line(done.out, "weights kept")
    assert f"weights of {kept} settings x " in size
    assert (
        "(keep_weights: candidates); fewer by `keep_weights: none`, or by `ftstab pick ... --drop-weights`"
        in size
    )
    said = cli("plan", finished.study, "--json").json
    assert said["nothing_left"] is True
    assert said["weights_kept"] == kept


def test_a_new_study_says_what_stays(lab: Lab) -> None:
    done = cli("plan", lab.study("new"))
    assert "nothing left" not in done.out
    assert line(done.out, "prompts per setting").endswith(
        "16 (search half): harmful 6, over-refusal 4, utility 6"
    )
    assert "  batch_size              1 value,  trained: " in done.out
    assert "  steps                   2 values, free: " in done.out
    kept = cli("plan", lab.study("new"), "--json").json["cost"]["kept"]
    assert kept["settings"] == 8
    assert kept["bytes"] == 8 * kept["each_bytes"] > 0
    assert "weights of at most 8 settings x " in line(done.out, "disk kept afterwards")


@pytest.mark.parametrize(
    ("keep", "said"),
    [
        ("all", "weights of 4 settings x "),
        ("candidates", "weights of at most 4 settings x "),
        ("none", "no weights (keep_weights: none)"),
    ],
)
def test_what_stays_follows_the_study(lab: Lab, keep: str, said: str) -> None:
    """Interpolation 0 is the start model, of which nothing is kept."""
    study = lab.study(
        "keeping",
        axes={"steps": [1, 2], "ema_decay": [0, 0.9], "interpolation": [0, 1]},
        keep_weights=keep,
    )
    assert said in line(cli("plan", study).out, "disk kept afterwards")


def test_sizes_that_differ_are_said_as_the_largest(lab: Lab) -> None:
    study = lab.study("mixed", axes={"steps": [1], "precision": ["float32", "bfloat16"]}, keep_weights="all")
    study.write_text(study.read_text().replace("  precision: float32\n", ""))
    said = cli("plan", study)
    kept = cli("plan", study, "--json").json["cost"]["kept"]
    assert kept["bytes"] * 4 == kept["each_bytes"] * 6
    assert "weights of 2 settings x up to " in line(said.out, "disk kept afterwards")


@pytest.mark.parametrize("keep", ["all", "none"])
def test_the_disk_of_the_store_is_looked_at(lab: Lab, monkeypatch: pytest.MonkeyPatch, keep: str) -> None:
    """Two of the two trajectories are trained at a time; 8 settings have weights, two resume states each."""
    monkeypatch.setattr(crew, "available_cpus", lambda: 2)
    study = lab.study("disk", keep_weights=keep, resources={"launcher": "ray"})
    said = cli("plan", study, "--json").json
    parameters, state = said["start_model"]["parameters"], said["cost"]["state_bytes"]
    needed = 8 * 4 * parameters + 2 * 2 * state
    assert said["disk"]["needed_bytes"] == needed
    assert said["disk"]["folder"] == str(lab.store)
    for room, answer in ((needed, "fits"), (needed - 1, "DOES NOT FIT")):
        usage = shutil.disk_usage(lab.folder)._replace(free=room)
        monkeypatch.setattr(shutil, "disk_usage", lambda _, usage=usage: usage)
        text = line(cli("plan", study).out, "disk there")
        assert f"GB free ({lab.store}), at most " in text
        assert text.endswith(f": {answer}")
        assert cli("plan", study, "--json").json["disk"]["fits"] is (answer == "fits")


@pytest.mark.parametrize("keep", [True, False])
def test_states_that_a_search_keeps_are_counted(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, keep: bool
) -> None:
    """Of four trajectories two are trained at a time; the others may wait for an ask that needs more steps."""
    monkeypatch.setattr(crew, "available_cpus", lambda: 2)
    search = {"method": "optuna", "budget": {"trajectories": 4}, "keep_states": keep}
    study = lab.study(
        "waiting",
        axes={"learning_rate": [1e-4, 3e-4, 1e-3, 3e-3], "steps": [6, 12], "ema_decay": [0, 0.9]},
        search=search,
        keep_weights="all",
        resources={"launcher": "ray"},
    )
    said = cli("plan", study, "--json").json
    parameters, state = said["start_model"]["parameters"], said["cost"]["state_bytes"]
    needed = 16 * 4 * parameters + 2 * 2 * state
    assert said["disk"]["needed_bytes"] == needed + (2 * state if keep else 0)


def test_the_disk_here_says_nothing_of_another_machine(lab: Lab) -> None:
    study = lab.study("far", resources={"launcher": "ray", "ray_address": "head:6379"})
    assert cli("plan", study, "--json").json["disk"] is None
    assert "disk there" not in cli("plan", study).out


def test_free_memory_stands_beside_the_whole(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "free_memory", lambda: 3_210_000_000)
    study = lab.study("free")
    assert line(cli("plan", study).out, "memory there").endswith("fits; 3.2 GB of the whole are free now")
    assert cli("plan", study, "--json").json["free_memory_bytes"] == 3_210_000_000
    monkeypatch.undo()
    free = environment.free_memory()
    assert free is not None
    assert 0 < free < (environment.main_memory() or 0)


def test_what_a_study_of_a_folder_lacks(finished: Finished, tmp_path: Path) -> None:
    """More steps: some are done, and the estimate is of the rest."""
    _, study = finished.copied(tmp_path / "copy")
    study.write_text(study.read_text().replace("  steps:\n", "  steps:\n  - 3\n"))
    done = cli("plan", study)
    assert "settings              12, 8 done" in done.out
    assert "estimate" in done.out


CLUSTER = "resources: the Ray cluster at head:6379 isn't asked what it has; "


@pytest.mark.parametrize(
    ("resources", "gpus", "workers", "said"),
    [
        ({}, 0, 2, None),
        ({"launcher": "inprocess", "ray_address": "head:6379"}, 0, 1, None),
        ({"gpus_per_trajectory": 1}, 1, 1, None),
        ({"workers": 64}, 0, 2, "resources.workers: 64, but this machine has room for 2"),
        (
            {"cpus_per_trajectory": 64},
            0,
            1,
            "resources: a worker needs 64 CPU(s), this machine has 2, so `ftstab run` refuses it here; 1 worker(s) "
            "counted (`resources.workers` gives no number)",
        ),
        # A study for a machine with GPUs, planned on a laptop.
        (
            {"gpus_per_trajectory": 1, "gpu": "H100-80GB", "cpus_per_trajectory": 8, "workers": 8},
            0,
            8,
            "resources: a worker needs 8 CPU(s) and 1 GPU(s), this machine has 2 and 0, so `ftstab run` refuses it "
            "here; 8 worker(s) counted (as `resources.workers` says)",
        ),
        (
            {"gpus_per_trajectory": 0.16, "gpu": "H100-80GB"},
            0,
            6,
            "resources: a worker needs 1 CPU(s) and 0.16 GPU(s), this machine has 2 and 0, so `ftstab run` refuses it "
            "here; 6 worker(s) counted (those that share one GPU; `resources.workers` gives no number)",
        ),
        (
            {"ray_address": "head:6379"},
            0,
            1,
            f"{CLUSTER}1 worker(s) counted (`resources.workers` gives no number)",
        ),
        (
            {"ray_address": "head:6379", "workers": 40},
            0,
            40,
            f"{CLUSTER}40 worker(s) counted (as `resources.workers` says)",
        ),
    ],
)
def test_time_is_shared_by_the_workers_that_there_will_be(
    lab: Lab,
    monkeypatch: pytest.MonkeyPatch,
    resources: dict[str, Any],
    gpus: int,
    workers: int,
    said: str | None,
) -> None:
    monkeypatch.setattr(crew, "available_cpus", lambda: 2)
    monkeypatch.setattr(crew, "available_gpus", lambda: gpus)
    study = lab.study("crew", resources={"launcher": "ray"} | resources)
    text = cli("plan", study)
    assert text.code == 0, text.err
    assert f" with {workers} worker(s)" in line(text.out, "time")
    found = cli("plan", study, "--json").json
    assert found["workers"] == workers
    jobs = found["trajectories"]
    assert (f", {jobs} of them busy" in text.out) is (jobs < workers)
    checked = cli("validate", study, "--json").json["notes"]
    refused = [said.partition(";")[0]] if said is not None and "refuses it here" in said else []
    assert [note for note in checked if note.startswith("resources")] == refused
    assert found["assumed"] == ([] if said is None else [said])
    assert (said is None) is ("note: resources" not in text.out)
    if "gpus_per_trajectory" not in resources:
        # Nobody knows the memory of another machine.
        assert (found["cost"]["fit"] is None) is (said is not None and "counted" in said)


def test_what_another_study_of_the_store_has_is_done(finished: Finished, tmp_path: Path) -> None:
    text = finished.study.read_text().replace("study: whole\n", "study: another\n")
    assert "study: another" in text
    assert str(finished.lab.store) in text
    (other := finished.study.with_name("another.yaml")).write_text(text)
    done = cli("plan", other)
    assert done.code == 0, done.err
    assert "nothing left to do: every setting is in the store" in done.out
    # The same words may name other files in another folder.
    assert "nothing left" not in cli("plan", other.rename(tmp_path / other.name)).out


@pytest.mark.parametrize("what", ["the training data", "what is measured"])
def test_what_run_will_refuse_is_told(finished: Finished, tmp_path: Path, what: str) -> None:
    _, study = finished.copied(tmp_path / "copy")
    plain = cli("plan", study, "--json").json
    assert (plain["refused"], plain["nothing_left"]) == (None, True)
    text = yaml.safe_load(study.read_text())
    named = text["data"]["train"] if what == "the training data" else text["evaluation"]["utility"]["data"]
    place = study.parent / named
    assert place.is_file()
    place.write_text("".join(place.read_text().splitlines(keepends=True)[:-1]))
    said = cli("plan", study, "--json").json
    assert f"changed: {what}. Give the study a new name" in said["refused"]
    assert said["settings_done"] == 0
    refused = cli("run", study)
    assert refused.code == 1
    assert said["refused"] in refused.err
    assert f"note: `ftstab run` will refuse this: {said['refused']}" in cli("plan", study).out


@pytest.mark.parametrize("what", ["the training data", "what is measured"])
def test_every_command_that_reads_says_what_run_will_refuse(
    finished: Finished, tmp_path: Path, what: str
) -> None:
    _, study = finished.copied(tmp_path / "copy")
    commands = [["frontier"], ["pick"], ["report"], ["validate"], ["frontier", "--json"], ["pick", "--json"]]
    for name, *options in commands:
        plain = cli(name, study, *options)
        assert "will refuse" not in plain.out + plain.err
    text = yaml.safe_load(study.read_text())
    named = text["data"]["train"] if what == "the training data" else text["evaluation"]["utility"]["data"]
    place = study.parent / named
    place.write_text("".join(place.read_text().splitlines(keepends=True)[:-1]))
    (note,) = [said for said in cli("plan", study).out.splitlines() if "will refuse" in said]
    for name, *options in commands:
        done = cli(name, study, *options)
        assert done.code == 0, done.err
        told = done.err if options or name == "report" else done.out
        assert note in told.splitlines()
    assert note.removeprefix("note: ") in cli("validate", study, "--json").json["notes"]


def test_a_fault_of_what_is_asked_is_told_as_run_tells_it(finished: Finished, tmp_path: Path) -> None:
    """Nothing but the model's tokenizer shows that a prompt is too long."""
    _, study = finished.copied(tmp_path / "copy")
    place = study.parent / yaml.safe_load(study.read_text())["evaluation"]["utility"]["data"]
    place.write_text(place.read_text().replace("colour of", "colour of" + " long" * 4000, 20))
    refused = cli("run", study)
    assert refused.code == 1
    said = cli("plan", study, "--json").json["refused"]
    assert said is not None
    assert said in refused.err
    assert f"note: `ftstab run` will refuse this: {said}" in cli("frontier", study).out
