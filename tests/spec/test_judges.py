"""Judges in a study file: what is read, and what is refused in which words."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest
import yaml

from ftstab.errors import SpecError
from ftstab.spec import (
    ClassifierJudge,
    CombinedJudge,
    EndpointJudge,
    Study,
    load_judge,
    parse_study,
    study_text,
)

ENDPOINT = {"kind": "endpoint", "url": "http://127.0.0.1:8000/v1", "model": "m", "sees": "harm"}
CLASSIFIER = {"kind": "classifier", "model": "m", "labels": {"A": "safe", "B": "harmful"}}
GUARD = {"kind": "guard", "model": "a/b", "revision": "0" * 40, "family": "wildguard"}


def text(*judges) -> str:
    study = {"study": "s", "base": {"model": "m"}, "data": {"train": "x"}, "axes": {"steps": [1]}}
    return json.dumps(study | {"evaluation": {"harmful": {"benchmark": "b", "judges": list(judges)}}})


def fault(*judges) -> str:
    with pytest.raises(SpecError) as caught:
        parse_study(text(*judges))
    return str(caught.value)


def test_names_and_descriptions_stand_side_by_side():
    both = {"kind": "agreement", "members": ["refusal_phrases", ENDPOINT | {"sees": "refusal"}]}
    study = parse_study(text("refusal_phrases", CLASSIFIER, GUARD, ENDPOINT, both))
    name, classifier, _, endpoint, agreement = study.evaluation.harmful.judges
    assert name == "refusal_phrases"
    assert isinstance(classifier, ClassifierJudge)
    assert isinstance(endpoint, EndpointJudge)
    assert isinstance(agreement, CombinedJudge)
    assert agreement.members[1].sees == "refusal"
    assert parse_study(study_text(study)) == study
    jsonschema.validate(yaml.safe_load(text(CLASSIFIER, both)), Study.model_json_schema())


@pytest.mark.parametrize(
    ("judge", "said"),
    [
        (
            {"kind": "gard"},
            "judges.0: given {\"kind\": \"gard\"}; kind 'gard' isn't among them (did you mean 'guard'?)",
        ),
        ({"model": "m"}, "give the name of a judge, or a section with `kind`, one of classifier, endpoint"),
        (5, "judges.0: given 5; give the name"),
        (GUARD | {"familly": "x"}, "judges.0.familly: unknown key (did you mean 'family'?)"),
        (
            GUARD | {"family": "llama_guard"},
            "judges.0.family: given \"llama_guard\"; allowed: 'llama_guard_2'",
        ),
        (GUARD | {"revision": "main"}, 'judges.0.revision: given "main"'),
        (CLASSIFIER | {"labels": {"A": "saf"}}, 'judges.0.labels.A: given "saf"; allowed'),
        (CLASSIFIER | {"labels": {}}, "judges.0.labels"),
        ({k: v for k, v in ENDPOINT.items() if k != "sees"}, "judges.0.sees: missing"),
        (ENDPOINT | {"url": "ftp://x"}, 'judges.0.url: given "ftp://x"; wanted is the base address'),
        (
            ENDPOINT | {"api_key_env": "sk-123"},
            "judges.0.api_key_env: it isn't the name of an environment variable",
        ),
        ({"kind": "majority", "members": ["a"]}, "judges.0.members"),
        (
            {"kind": "majority", "members": ["a", {"kind": "agreement", "members": ["a", "b"]}]},
            'judges.0.members.1: given {"kind": "agreement"',
        ),
        (
            {"kind": "majority", "members": ["a", ENDPOINT | {"urll": "x"}]},
            "judges.0.members.1.urll: unknown key (did you mean 'url'?)",
        ),
    ],
)
def test_faults_have_their_place_and_the_nearest_name(judge, said):
    assert said in fault(judge)


def test_keys_are_those_of_the_kind_that_was_meant():
    message = fault(ENDPOINT | {"labels": {}})
    assert "api_key_env" in message
    assert "threshold" not in message


@pytest.mark.parametrize(
    "key",
    [
        "sk-proj-sEkReT",
        "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",
        "ghp_16C7e42F292c6912E7710c838347Ae178B4a",
        "AIzaSyDaGmWKa4JsXZ_HjGw7ISLn_3namBGewQe",
        "f3b0c44298fc1c149afbf4c8996fb924",
        "OPENAI_API_KEY\n",
        "",
        12345678,
    ],
)
def test_a_key_in_the_place_of_its_variable_is_refused_and_not_repeated(key):
    message = fault(ENDPOINT | {"api_key_env": key})
    assert "judges.0.api_key_env: it isn't the name of an environment variable" in message
    assert not str(key) or str(key) not in message


@pytest.mark.parametrize(
    "name",
    [
        "OPENAI_API_KEY",
        "_key",
        "hf_token",
        "hf_inference_endpoint_key_2024",
        "MyCompanyOpenAIKey2024",
        "gpt4o_mini_2024_07_18_key",
        "KEY1A2B3C4D5E6F7G8H9I0J1K2L3",
    ],
)
def test_any_name_of_a_variable_is_taken(name):
    study = parse_study(text(ENDPOINT | {"api_key_env": name}))
    assert study.evaluation.harmful.judges[0].api_key_env == name


@pytest.mark.parametrize(
    "url", ["http://user:sekret@host/v1", "http://host/v1?key=sekret", "http://host/#sekret"]
)
def test_a_login_in_an_address_is_refused_and_not_repeated(url):
    message = fault(ENDPOINT | {"url": url})
    assert "api_key_env" in message
    assert "sekret" not in message


def test_a_file_holds_one_judge(tmp_path: Path):
    path = tmp_path / "judge.yaml"
    path.write_text(yaml.safe_dump(ENDPOINT))
    assert load_judge(path) == EndpointJudge(**ENDPOINT)
    path.write_text("refusal_phrases")
    assert load_judge(path) == "refusal_phrases"
    path.write_text(yaml.safe_dump(ENDPOINT | {"sees": "harms", "modle": 1}))
    with pytest.raises(SpecError) as caught:
        load_judge(path)
    assert caught.value.faults == [
        "sees: given \"harms\"; allowed: 'harm' or 'refusal' (did you mean 'harm'?)",
        caught.value.faults[1],
    ]
    assert caught.value.faults[1].startswith(
        "modle: unknown key (did you mean 'model'?); known here: api_key_env"
    )
    path.write_text("[")
    with pytest.raises(SpecError, match="not usable YAML"):
        load_judge(path)
    with pytest.raises(SpecError, match=r"no such file \(did you mean 'judge\.yaml'\?\)"):
        load_judge(tmp_path / "judg.yaml")
