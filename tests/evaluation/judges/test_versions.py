"""Versions of judges change whenever any verdict could: each is tied to the hash of what decides its verdicts.

If a test here fails, a prompt, a list or the code that reads replies has changed.  Where any verdict could change
with it, raise the version that the test names and add a line; where none could (a rename, an error's words), put
the new hash in the place of the old one and say so in the commit.
"""

from __future__ import annotations

import pytest

from ftstab.evaluation import greedy
from ftstab.evaluation.judges import (
    classifier,
    combined,
    endpoint,
    guard,
    guard_forms,
    loading,
    phrase_lists,
    probe_reader,
    refusal_probe,
    weights,
    wordings,
)
from ftstab.evaluation.judges.guard_forms import FORMS
from ftstab.evaluation.judges.phrase_lists import AdvBenchPhrases
from ftstab.evaluation.judges.wordings import WORDINGS
from ftstab.identity import digest
from tests.evaluation.code_hash import source_hash

# Prompts: family or wording and its version -> hash.  Never edit a line.
PROMPTS = {
    "llama_guard_2@2": "ca505048",
    "llama_guard_3@2": "1fa94333",
    "wildguard@2": "1d678f4d",
    "harmbench_classifier@2": "26f9d4a8",
    "md_judge@3": "5ae6b303",
    "harm plain@1": "eb06b243",
    "harm rubric@1": "bf353860",
    "refusal plain@1": "39de2028",
    "refusal rubric@1": "f9c1cd83",
}

# Code: version -> hash.
CODE = {
    "refusal_phrases_advbench@1": "fb61cae8ee05df92",
    "weights._FORM 1": "b9043e6f24545d52326c",
    "guard_forms 2,2,2,2,3": "a31d59d75eeeb3e2",
    "endpoint._FORM 1": "fec2a8a4fc6d9408",
    "wordings 1,1,1,1": "a80271fc2860b583",
    "combined._FORM 1": "0d4ad6795f17b5a7",
    "refusal_probe._FORM 1": "d87c89bf7aaac88e86de",
}


def prompts() -> dict[str, str]:
    found = {f"{family}@{form.version}": form.prompt_hash for family, form in FORMS.items()}
    return found | {f"{sees} {name}@{w.version}": w.prompt_hash for (sees, name), w in WORDINGS.items()}


def code() -> dict[str, str]:
    return {
        f"refusal_phrases_advbench@{AdvBenchPhrases.version}": source_hash(phrase_lists),
        f"weights._FORM {weights._FORM}": digest(
            [source_hash(m) for m in (classifier, guard, greedy, loading)]
        ),
        f"guard_forms {','.join(f.version for f in FORMS.values())}": source_hash(guard_forms),
        f"endpoint._FORM {endpoint._FORM}": source_hash(endpoint),
        f"wordings {','.join(w.version for w in WORDINGS.values())}": source_hash(wordings),
        f"combined._FORM {combined._FORM}": source_hash(combined),
        f"refusal_probe._FORM {refusal_probe._FORM}": digest(
            [source_hash(m) for m in (refusal_probe, probe_reader, loading)]
        ),
    }


def test_prompts_belong_to_their_versions():
    assert prompts() == PROMPTS


@pytest.mark.parametrize("name", code())
def test_code_belongs_to_its_version(name):
    assert code()[name] == CODE.get(name)


def test_a_prompts_hash_is_that_of_its_text():
    for form in FORMS.values():
        assert form.prompt_hash == digest(form.prompt)[:8]
    assert len({w.prompt_hash for w in WORDINGS.values()}) == len(WORDINGS)
