"""Which candidates are asked, in which order, and when nothing is asked at all: by recorded answers."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
import yaml

from ftstab.errors import LeaseError, StudyError
from ftstab.plan import Job
from ftstab.running.launcher import Context, Event, JobSource
from ftstab.store import Lease
from tests.flow.candidates import HARMFUL, LIMIT, NO_HARM, RIGHT, Copy, Recorded
from tests.lab import cli


def test_candidates_are_asked_in_order_up_to_the_first_failure(copy: Copy) -> None:
    a, b, c, _ = copy.found(HARMFUL, RIGHT)
    start = copy.lab.results(copy.study).plan.start.key
    launcher = Recorded(copy, {a: 0, b: 30, c: 0})
    look = copy.confirm(launcher)
    assert launcher.asked == [start, a, b]
    assert [t.passed for t in look.tested] == [True, False]
    assert look.picked is not None
    assert look.picked.setting == a
    said = cli("pick", copy.study, "--max-harmful", LIMIT, "--json").json
    assert (said["status"], said["picked"]["setting"]) == ("picked", a)
    assert said["order"] == [a, b, c]
    assert "1 of 3 candidates" in said["statement"]
    assert f"failed: Non-refusal rate by refusal_phrases@2: 30 of {NO_HARM}, upper bound" in said["statement"]


def test_the_last_that_passes_is_picked(copy: Copy) -> None:
    a, b, c, _ = copy.found(HARMFUL, RIGHT)
    launcher = Recorded(copy, {a: 1, b: 2, c: 3})
    look = copy.confirm(launcher)
    assert launcher.asked[1:] == [a, b, c]
    assert look.picked is not None
    assert look.picked.setting == c


def test_where_the_first_fails_nothing_is_picked(copy: Copy) -> None:
    a, *_ = copy.found(HARMFUL, RIGHT)
    look = copy.confirm(Recorded(copy, {a: 40}))
    assert look.picked is None
    done = cli("pick", copy.study, "--json")
    assert done.code == 1
    said = json.loads(done.out)
    assert (said["status"], said["picked"]) == ("not confirmed", None)
    assert said["statement"].startswith("Nothing is confirmed of 3 candidates")
    assert "Picked" not in said["statement"]
    # Asked to hand it over, it says what came of the confirmation, and doesn't advise to confirm it.
    refused = cli("pick", copy.study, "--confirm", "--out", copy.lab.folder / "r.yaml")
    assert refused.code == 1
    assert "nothing written: the confirmation half didn't uphold this candidate" in " ".join(
        refused.out.split()
    )
    assert "error" not in refused.err
    assert "Nothing is confirmed of 3 candidates" in refused.out
    assert "written: " not in refused.out.replace("nothing written: ", "")
    assert not (copy.lab.folder / "r.yaml").exists()
    recipe = copy.lab.folder / "r.yaml"
    cli("pick", copy.study, "--out", recipe, "--unconfirmed")
    assert yaml.safe_load(recipe.read_text())["recipe"]["status"].endswith("did not confirm it")
    # What `run` left says so too, once the command that confirms has been given.
    assert cli("pick", copy.study, "--confirm").code == 1
    left = copy.lab.store / "small" / "candidate.yaml"
    assert yaml.safe_load(left.read_text())["recipe"]["status"].endswith("did not confirm it")
    assert not left.with_name("recipe.yaml").exists()
    # Nothing more is to be asked of these weights.
    done = cli("pick", copy.study, "--drop-weights")
    assert done.code == 1
    assert "dropped: the weights of" in done.out
    assert copy.lab.pieces("weights") == {}


def test_a_driver_that_was_killed_between_candidates_goes_on_with_the_next(copy: Copy) -> None:
    a, b, c, _ = copy.found(HARMFUL, RIGHT)
    table = {a: 1, b: 2, c: 3}
    with pytest.raises(KeyboardInterrupt):
        copy.confirm(Recorded(copy, table, stop_at=b))
    second = Recorded(copy, table)
    look = copy.confirm(second)
    assert second.asked == [b, c]
    assert (len(copy.looks), look.reused) == (1, 0)


def test_a_candidate_without_weights_is_left_out_aloud(copy: Copy) -> None:
    a, b, c, _ = copy.found(HARMFUL, RIGHT)
    trajectory = copy.lab.results(copy.study).outcomes[0].trajectory
    copy.lab.records.delete_weights(trajectory, b)
    launcher = Recorded(copy, {})
    look = copy.confirm(launcher)
    assert launcher.asked[1:] == [a, c]
    assert look.left_out == {b: "its weights aren't kept any more"}
    text = cli("pick", copy.study, "--json").json["statement"]
    assert f"Left out: step 6 · ema 0.9, seed 0, key {b[:8]} (its weights aren't kept any more)" in text


def test_more_settings_make_another_question(copy: Copy) -> None:
    copy.found(HARMFUL, RIGHT)
    copy.confirm(Recorded(copy, {}))
    copy.found(HARMFUL | {"d": 1}, RIGHT | {"d": 2})
    said = cli("pick", copy.study, "--json").json
    assert said["status"] == "candidate"
    assert "it will read reused" in said["advice"]
    assert "Picked" not in said["statement"]
    look = copy.confirm(Recorded(copy, {}))
    assert look.reused == 1


def test_a_half_that_is_too_small_to_show_the_limit_is_not_used_up(copy: Copy) -> None:
    copy.found(HARMFUL, RIGHT)
    with pytest.raises(StudyError, match=r"has 40 harmful prompts; .* takes at least 50 prompts"):
        copy.confirm(Recorded(copy, {}), error_rate=1e-30)
    assert copy.looks == []
    with pytest.raises(StudyError, match="no setting keeps the limit"):
        copy.confirm(Recorded(copy, {}), limit=0.01)


def test_a_study_that_is_being_run_is_not_confirmed(copy: Copy) -> None:
    copy.found(HARMFUL, RIGHT)
    with Lease(copy.lab.records.store, "small"), pytest.raises(LeaseError):
        copy.confirm(Recorded(copy, {}))
    assert copy.looks == []


def test_a_worker_that_fails_leaves_a_candidate(copy: Copy) -> None:
    class Failing:
        def run(self, context: Context, source: JobSource, on_event: Callable[[Job, Event], None]) -> None:
            job = source.next_job()
            assert job is not None
            source.finished(job, "its worker was lost")
            assert source.next_job() is None
            assert source.exhausted()

    with pytest.raises(StudyError, match="isn't finished: its worker was lost"):
        copy.confirm(Failing())
    assert cli("pick", copy.study, "--json").json["status"] == "candidate"


def test_a_study_that_isnt_finished_is_confirmed_only_on_request(copy: Copy) -> None:
    copy.found(HARMFUL, RIGHT)
    text = yaml.safe_load(copy.study.read_text())
    text["axes"]["learning_rate"] += [1e-3, 2e-3]
    copy.study.write_text(yaml.safe_dump(text))
    plan = copy.lab.results(copy.study).plan
    copy.lab.records.put_failure("small", plan.open_jobs[0].key, "out of memory")
    said = cli("pick", copy.study, "--json").json
    assert said["extent"] == {
        "planned": 12,
        "measured": 4,
        "searching": False,
        "failed": {"out of memory": 4},
    }
    assert said["advice"].startswith("`ftstab run ")
    refused = cli("pick", copy.study, "--confirm", "--retrain")
    assert refused.code == 1
    told = (
        "4 of 12 planned settings are measured. Without 4 settings of trajectories that couldn't be finished: "
        "out of memory."
    )
    assert told in cli("pick", copy.study).out
    assert told in refused.err
    assert "--unfinished" in refused.err
    assert copy.looks == []

    done = cli("pick", copy.study, "--confirm", "--unfinished", "--json")
    assert "begun with 4 of 12 planned settings measured" in done.json["statement"]
    # It is logged now, so saying it again uses up nothing.
    assert cli("pick", copy.study, "--confirm", "--json").json == done.json
    other = cli("pick", copy.study, "--confirm", "--error-rate", "0.01")
    assert other.code == 1
    assert len(copy.looks) == 1


def test_a_look_at_a_whole_study_says_nothing_of_its_extent(copy: Copy) -> None:
    copy.found(HARMFUL, RIGHT)
    assert copy.confirm(Recorded(copy, {})).unfinished is None
    done = cli("pick", copy.study)
    assert "planned settings" not in done.out
