"""When a trajectory is left because nothing is to be expected of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ftstab.evaluation.rates import exact_match_score
from ftstab.hopeless import founded, hopeless_reason, unfounded
from ftstab.outcome import Outcome
from ftstab.plan import Job, Plan, Point, start_precision, study_plan
from ftstab.results import ASKED, Identities, evaluation_part, gather
from ftstab.spec import Study
from ftstab.spec.search import Hopeless
from ftstab.store import Records, open_store
from tests.outcomes import bare_outcome
from tests.search.material import study as searched


def study(**rule: Any) -> Any:
    whole = searched(learning_rate=[1e-5, 1e-4])
    search = whole.search.model_copy(update={"hopeless": Hopeless(**rule)})
    return whole.model_copy(update={"search": search})


def read(loss: float | None, step: int = 8, **changes: Any) -> Outcome:
    diagnostics = {} if loss is None else {"safety_loss": loss}
    return bare_outcome("key").model_copy(update={"step": step, "diagnostics": diagnostics} | changes)


def test_every_average_must_be_beyond_the_bound():
    rule = study(safety_loss_above=0.0)
    why = hopeless_reason([read(0.5), read(0.1)], None, rule)
    assert why == "hopeless at step 8: the safety loss of every average is above 0 nats"
    assert hopeless_reason([read(0.5), read(-0.1)], None, rule) is None
    assert hopeless_reason([read(0.5), read(0.0)], None, rule) is None


def useful(gain: float, **changes: Any) -> Outcome:
    """A setting that answers a share of its tasks rightly."""
    marks = "1" * round(200 * gain) + "0" * (200 - round(200 * gain))
    changes |= {"marks": {"utility": marks}, "utility": exact_match_score(marks, "tasks@1")}
    return read(changes.pop("loss", None), **changes)


def test_with_two_bounds_every_average_must_be_beyond_one_of_them():
    start = useful(0.0)
    rule = study(safety_loss_above=0.0, gain_below=0.1)
    harmful, useless, fine = useful(0.5, loss=0.5), useful(0.0, loss=-3.0), useful(0.5, loss=-3.0)
    why = hopeless_reason([harmful, useless], start, rule)
    assert why == (
        "hopeless at step 8: of every average the safety loss is above 0 nats or the gain is surely below 0.1"
    )
    assert hopeless_reason([harmful, useless, fine], start, rule) is None
    assert hopeless_reason([useless], start, rule) == (
        "hopeless at step 8: the gain of every average is surely below 0.1"
    )
    assert hopeless_reason([harmful], start, rule) == (
        "hopeless at step 8: the safety loss of every average is above 0 nats"
    )
    assert hopeless_reason([useless], None, rule) is None


def test_a_bound_may_be_relative_to_the_start():
    rule, start = study(safety_loss_rise_above=2.0), read(-7.5)
    assert hopeless_reason([read(-5.4), read(-1.0)], start, rule) == (
        "hopeless at step 8: the safety loss of every average is more than 2 nats above the start model's -7.50"
    )
    assert hopeless_reason([read(-5.5), read(-1.0)], start, rule) is None
    assert hopeless_reason([read(None)], start, rule) is None
    # Without a start there is nothing to rise over.
    assert hopeless_reason([read(-1.0)], None, rule) is None
    assert hopeless_reason([read(-1.0)], read(None), rule) is None
    both = study(safety_loss_above=-5.0, safety_loss_rise_above=4.0, gain_below=0.1)
    assert hopeless_reason(
        [useful(0.5, loss=-4.9), useful(0.0, loss=-7.0)], useful(0.0, loss=-7.5), both
    ) == (
        "hopeless at step 8: of every average the safety loss is above -5 nats or the gain is surely below 0.1"
    )


def test_a_bound_that_came_later_changes_no_key():
    old = {"safety_loss_above": 0.0, "gain_below": None, "from_step": 1}
    assert Hopeless(safety_loss_above=0.0).identity() == old
    assert Hopeless(safety_loss_rise_above=1.0).identity()["safety_loss_rise_above"] == 1.0
    plain, relative, wider = (
        study(gain_below=0.1, **rise)
        for rise in ({}, {"safety_loss_rise_above": 1.0}, {"safety_loss_rise_above": 2.0})
    )
    assert len({evaluation_part(one) for one in (plain, relative, wider)}) == 3


def test_a_relative_bound_reads_the_start_in_its_compute_type():
    types = searched(learning_rate=[1e-5, 1e-4], precision=["bfloat16", "float32"])

    def read_in(**rule: float) -> str | None:
        search = types.search.model_copy(update={"hopeless": Hopeless(**rule)})
        return start_precision(types.model_copy(update={"search": search}))

    assert read_in(safety_loss_rise_above=1.0) == read_in(gain_below=0.1) == "bfloat16"
    assert read_in(safety_loss_above=1.0) is None


def test_what_was_not_measured_is_beyond_no_bound():
    rule = study(safety_loss_above=0.0)
    assert hopeless_reason([read(0.5), read(None)], None, rule) is None
    assert hopeless_reason([], None, rule) is None
    assert hopeless_reason([read(0.5, status="diverged")], None, rule) is None


def test_the_start_among_the_settings_says_nothing():
    rule = study(safety_loss_above=0.0)
    assert hopeless_reason([read(0.5), read(-9.0, interpolation=0.0)], None, rule) is not None
    assert hopeless_reason([read(0.5, interpolation=0.0)], None, rule) is None


@pytest.mark.parametrize(("step", "left"), [(4, False), (5, True), (6, True)])
def test_not_before_its_step(step, left):
    rule = study(safety_loss_above=0.0, from_step=5)
    assert (hopeless_reason([read(0.5, step=step)], None, rule) is not None) == left


def test_no_rule_no_judgement():
    assert hopeless_reason([read(0.5)], None, searched()) is None


IDENTITIES = Identities("base", "data", "evaluation", "asked")
POINT = Point({"learning_rate": 1e-4, "batch_size": 4}, 10, "sampler")


def ruled(**axes: Any) -> Study:
    """A search whose trajectories are left where every safety loss is above 0."""
    whole = searched(**axes)
    search = whole.search.model_copy(update={"hopeless": Hopeless(safety_loss_above=0.0)})
    return whole.model_copy(update={"search": search})


def planned(study: Study) -> tuple[Plan, Job]:
    plan = study_plan(study, IDENTITIES.base, IDENTITIES.data, points=[POINT])
    (job,) = plan.jobs
    return plan, job


def known(job: Job, **losses: float | None) -> dict[str, Outcome]:
    """Outcomes by setting: ``ema5=0.5`` is a safety loss after 5 steps, None what was given up; others are missing."""
    found = {}
    for setting in job.settings:
        name = f"{'last' if setting.profile.kind == 'last' else 'ema'}{setting.step}"
        if name in losses:
            loss = losses[name]
            changes = {
                "key": IDENTITIES.outcome_key(setting.key),
                "setting": setting.key,
                "trajectory": setting.trajectory,
                "status": "hopeless" if loss is None else "scored",
            }
            found[setting.key] = read(loss, setting.step, **changes)
    return found


def opened(job: Job, found: dict[str, Outcome], study: Study) -> set[int]:
    return {s.step for s in job.settings if s.key in unfounded(job, found, None, study)}


def test_what_was_given_up_stays_so_while_every_average_says_so():
    rule = ruled(steps=[5, 10, 20], ema_decay=[0])
    _, job = planned(rule)
    assert opened(job, known(job, last5=0.5, last10=None), rule) == set()
    # More steps of the same trajectory change nothing.
    whole = ruled(steps=[5, 10], ema_decay=[0, 0.9])
    _, job = planned(whole)
    assert opened(job, known(job, last5=0.5, ema5=0.1, last10=None), whole) == set()


def test_another_average_opens_what_was_given_up():
    rule = ruled(steps=[5, 10], ema_decay=[0, 0.9])
    plan, job = planned(rule)
    # It isn't measured yet: then what follows isn't given up.
    found = known(job, last5=0.5, last10=None)
    assert opened(job, found, rule) == {10}
    assert set(founded(plan, found, rule)) == set(known(job, last5=0.5))
    # It was, and is fine.
    assert opened(job, known(job, last5=0.5, ema5=-0.1, last10=None), rule) == {10}
    # However far it is by now.
    assert opened(job, known(job, last5=0.5, ema5=-0.1, last10=None, ema10=0.1), rule) == {10}


def test_a_seed_that_is_no_search_seed_is_never_given_up():
    rule = ruled(steps=[5, 10], ema_decay=[0])
    _, job = planned(rule)
    seeds = rule.seeds.model_copy(update={"search": [7]})
    fresh = rule.model_copy(update={"seeds": seeds})
    assert opened(job, known(job, last5=0.5, last10=None), fresh) == {10}


def test_a_branch_is_given_up_by_what_its_trunk_says_before_it():
    rule = ruled(steps=[5, 10], ema_decay=[0])
    stable = rule.training.model_copy(update={"schedule": "warmup_stable_decay"})
    _, constant = planned(rule)
    _, branched = planned(rule.model_copy(update={"training": stable}))
    job = Job(constant.trunk, branched.branches)
    lost = {
        s.key: read(None, s.step, status="hopeless", setting=s.key) for b in job.branches for s in b.settings
    }
    # The trunk is left after 5 steps: the first branch goes off before, after 4, the second after 8.
    trunk = known(constant, last5=0.5, last10=None)
    assert opened(job, lost | trunk, rule) == {5}


def test_what_is_open_again_is_planned_and_not_among_the_results(tmp_path: Path):
    rule = ruled(steps=[5, 10], ema_decay=[0, 0.9])
    records = Records(open_store(tmp_path / "store", create=True))
    plan, job = planned(rule)
    for outcome in known(job, last5=0.5, last10=None).values():
        records.put_outcome(outcome)
    results = gather(rule, records, IDENTITIES, {ASKED: [POINT.as_dict()]})
    assert [o.step for o in results.outcomes] == [5]
    assert len(results.plan.open_jobs) == 1
    assert len(results.plan.done) == 1
    assert {s.step for s in plan.settings if s.key not in results.plan.done} == {5, 10}
