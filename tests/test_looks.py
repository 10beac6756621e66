"""The log of looks: what is the same look, what reads reused, and that nothing is ever written over."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from ftstab import confirm
from ftstab.confirm import LimitTest, NewRunClaim, Question
from ftstab.looks import Look, asked_on, begin, find, finish, looks, recipe_look
from ftstab.outcome import Outcome
from ftstab.store import Records, open_store
from tests.report.synthetic import make_marked


@pytest.fixture
def records(tmp_path: Path) -> Records:
    made = Records(open_store(tmp_path / "store", create=True))
    for name in ("one", "two"):
        made.put_study(name, f"study: {name}", {})
    return made


def asked(limit: float = 0.1, error_rate: float = 0.05) -> Question:
    return Question("evaluation", limit, error_rate, {"over_refusal": {"max": 0.5}}, ("a", "b"))


def look(records: Records, question: Question, study: str = "one", prompts: str = "xyz", **more: Any) -> Look:
    kind = more.pop("kind", "pick")
    key = more.pop("key", question.key)
    return begin(records, study, kind, key, question, set(prompts), {}, "me@here", "ftstab pick", **more)


def done(records: Records, one: Look, *passed: bool, recipe: NewRunClaim | None = None) -> Look:
    limit = LimitTest("non_refusal_rate", "j@1", 1, 0, 100, 0.05, 0.1, True, 0.001)
    tested = [confirm.Tested(s, "t", f"o-{s}", (limit,), p) for s, p in zip("ab", passed, strict=False)]
    result = {"tested": [asdict(t) for t in tested], "start": {}, "recipe": recipe and asdict(recipe)}
    return finish(records, one, result)


def test_a_look_is_read_back_as_it_was_written(records: Records):
    claim = NewRunClaim((1, 2, 3), (), {}, 0.1, 0.0, 0.3, (0.1, 0.1, 0.2))
    whole = done(records, look(records, asked()), True, False, recipe=claim)
    (read,) = looks(records, "one")
    assert read == whole
    assert read.question == asked()
    assert read.picked is not None
    assert read.picked.setting == "a"
    assert [t.passed for t in read.tested] == [True, False]
    assert isinstance(read.tested[0].tests[0], LimitTest)
    assert read.claim == claim
    assert "prompts" not in read.as_dict()
    assert read.as_dict()["who"] == "me@here"
    assert read.as_dict()["result"]["when"] >= read.as_dict()["when"]


def test_what_was_asked_elsewhere_or_otherwise_is_told_apart():
    def asked_so(setting: str, at: str | None, machine: str | None, command: str = "ftstab pick") -> Outcome:
        here = {"asked_on": [{"machine": machine}], "asked_at": at} if machine else {}
        record = {"command": command, "environment": {"machine": "training"}, **here}
        return make_marked(setting, "R").model_copy(update={"record": record})

    found = asked_on(
        [
            asked_so("a", "2026-01-02T00:00:00Z", "one"),
            asked_so("b", "2026-01-01T00:00:00Z", "one"),
            asked_so("c", "2026-01-03T00:00:00Z", "two"),
            asked_so("d", "2026-01-03T00:00:00Z", "two", "ftstab pick --retrain"),
            asked_so("e", None, None),
        ]
    )
    told = [(e["environment"], e["command"], e["first"], e["last"], len(e["settings"])) for e in found]
    one, two, day = {"machine": "one"}, {"machine": "two"}, "2026-01-03T00:00:00Z"
    assert told == [
        (one, "ftstab pick", "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z", 2),
        (two, "ftstab pick", day, day, 1),
        (two, "ftstab pick --retrain", day, day, 1),
        # Of earlier looks nothing is known, and the machine of the training isn't put in its place.
        (None, "ftstab pick", None, None, 1),
    ]


def test_an_unfinished_look_goes_on_and_is_not_logged_twice(records: Records):
    first = look(records, asked())
    assert look(records, asked()) == first
    assert len(looks(records, "one")) == 1
    done(records, first, True)
    assert find(records, "one", asked()) == looks(records, "one")[0]


def test_another_question_on_the_same_prompts_reads_reused(records: Records):
    first = done(records, look(records, asked()), True)
    assert first.reused == 0
    second = look(records, asked(limit=0.2))
    assert second.reused == 1
    assert second.about["earlier"] == ["one/1"]
    # In whatever study of the store, and for one prompt in common.
    other = look(records, asked(limit=0.3), study="two", prompts="zvw")
    assert other.about["earlier"] == ["one/1", "one/2"]
    unseen = look(records, asked(limit=0.4), study="two", prompts="pq")
    assert unseen.reused == 0
    # Whichever study of the store comes first.
    done(records, look(records, asked(), study="two", prompts="mn"), True)
    before = look(records, asked(limit=0.5), prompts="nk")
    assert before.about["earlier"] == ["two/3"]
    # The first look stays what it was: nobody had looked before.
    assert looks(records, "one")[0].reused == 0


def test_a_look_that_was_never_finished_counts(records: Records):
    look(records, asked())
    assert look(records, asked(limit=0.2)).reused == 1


def test_the_same_question_in_another_study_is_no_other_question(records: Records):
    done(records, look(records, asked()), True)
    assert look(records, asked(), study="two").reused == 0


def test_a_question_finds_its_own_look_only(records: Records):
    strict = done(records, look(records, asked(error_rate=0.01)), False)
    assert find(records, "one", asked()) is None
    assert find(records, "one", asked(), any_error_rate=True) == strict
    assert find(records, "one", asked(limit=0.2), any_error_rate=True) is None
    assert find(records, "two", asked(error_rate=0.01)) is None
    begun = look(records, asked())
    assert find(records, "one", asked()) == begun
    assert find(records, "one", asked(), any_error_rate=True) == strict  # finished before begun


def test_a_later_look_at_fresh_seeds_is_found_with_what_it_belongs_to(records: Records):
    first = done(records, look(records, asked()), True, True)
    assert recipe_look(records, first) is None
    claim = NewRunClaim((1, 2, 3), (), {}, 0.1, 0.0, 0.3, (0.1, 0.1, 0.2))
    later = look(records, asked(), kind="recipe", key="k", setting="b", of=first.number)
    assert later.reused == 1
    assert recipe_look(records, first) is None
    later = done(records, later, recipe=claim)
    assert recipe_look(records, first) == later
    another = look(records, asked(), kind="recipe", key="k2", setting="a", of=first.number)
    done(records, another, recipe=claim)
    assert recipe_look(records, first) == later
    assert find(records, "one", asked()) == first


def test_numbers_are_never_given_twice(records: Records):
    for i in range(12):
        assert records.add_look("one", {"i": i}) == i + 1
    found = records.looks("one")
    assert [r.about["i"] for r in found] == list(range(12))
    assert [r.result for r in found] == [None] * 12
    assert records.looks("two") == []
