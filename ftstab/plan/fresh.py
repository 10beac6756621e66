"""Fresh seeds: recipes that are trained again with seeds that no choice has seen (measurement rules 6 and 7).  Pure.

A recipe is a setting without its seed.  Fresh seeds share trajectories as ever: recipes that differ in steps or
average only are read off one training.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from ftstab.identity import digest
from ftstab.outcome import Profile
from ftstab.plan.plan import Plan, Setting, Trajectory, part_of, start_of
from ftstab.plan.points import Point, study_jobs
from ftstab.spec import Study
from ftstab.spec.training import without_added

Wanted = Mapping[str, Collection[int]]
"""Fresh seeds by recipe key."""


def recipe_key(
    training: Mapping[str, Any],
    feedback_decay: float | None,
    step: int,
    profile: Profile,
    interpolation: float,
) -> str:
    """Identity of a recipe: every choice but the seed.

    Args:
        training: the fields of `Training`; a ``seed`` among them is passed over.
        feedback_decay: decay that training continues from, if it does.
        step: optimizer updates.
        profile: averaging profile.
        interpolation: scale of the change from the start.
    """
    return digest(
        {
            "training": {k: v for k, v in without_added(training).items() if k != "seed"},
            "feedback_decay": feedback_decay,
            "step": step,
            "profile": profile.model_dump(),
            "interpolation": interpolation,
        }
    )


def setting_recipe(trajectory: Trajectory, setting: Setting) -> str:
    """Key of the recipe that ``setting`` of ``trajectory`` is one run of."""
    return recipe_key(
        trajectory.training.model_dump(),
        trajectory.feedback_decay,
        setting.step,
        setting.profile,
        setting.interpolation,
    )


def fresh_seeds(study: Study, known: Collection[int], count: int) -> list[int]:
    """Return ``count`` fresh seeds: those of ``known`` that are no search seeds, then the numbers that follow.

    The same numbers serve every recipe, because settings are compared on seeds that they share.
    """
    taken = sorted(set(known) - set(study.seeds.search))[:count]
    following = max([*study.seeds.search, *taken]) + 1
    return [*taken, *range(following, following + count - len(taken))]


def fresh_plan(
    study: Study,
    base: str,
    data: str,
    wanted: Wanted,
    done: Collection[str] = (),
    points: Collection[Point] = (),
) -> Plan:
    """Return the plan of the fresh seeds: of every trajectory only the settings of wanted recipes.

    Args:
        study: the study; recipes that its grid no longer holds are left out, search seeds are no fresh ones.
        base: key of the start model.
        data: key of the training rows.
        wanted: fresh seeds by recipe key.
        done: keys of settings that the store already has.
        points: what a search has asked.
    """
    seeds = sorted({s for some in wanted.values() for s in some} - set(study.seeds.search))

    def asked_for(trajectory: Trajectory, setting: Setting) -> bool:
        return trajectory.seed in wanted.get(setting_recipe(trajectory, setting), ())

    jobs = [part_of(job, asked_for) for job in study_jobs(study, seeds, base, data, points).values()]
    start, start_training = start_of(study, base)
    return Plan(base, data, start, start_training, tuple(j for j in jobs if j.settings), frozenset(done))
