"""What a search has asked, one point after the other, and what each of them brought.  Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from ftstab.dominance import hypervolume
from ftstab.frontier import REFERENCE, FrontierRow, objectives
from ftstab.plan import Point, point_jobs
from ftstab.spec import Study


@dataclass(frozen=True)
class Asked:
    """One point of a search.

    Attributes:
        point: what was asked.
        trajectories: keys of its trajectories, one per search seed and branch.
        settings: settings that it was the first to ask and that have an outcome.
        lost: those of them without numbers, by what became of them (`diverged`, `hopeless`, `no score`).
        within: settings up to here that keep every constraint, the limit on the rate too; None where there is no limit.
        hypervolume: of the frontier of everything up to here, as `frontier.Summary` has it for all.
    """

    point: Point
    trajectories: tuple[str, ...]
    settings: int
    lost: Mapping[str, int]
    within: int | None
    hypervolume: float

    @property
    def kind(self) -> Literal["preset", "start-up", "sampler"]:
        """Who chose the point."""
        source = self.point.source
        return "preset" if source.startswith("preset") else "start-up" if source == "startup" else "sampler"


@dataclass(frozen=True)
class History:
    """A search in the order in which it asked.

    Attributes:
        sampler: what proposed after the start-up.
        budget: of the study file now.
        asked: the points.
        over: why the last run of the study asked for nothing more; None where it was interrupted, or still runs.
    """

    sampler: str
    budget: Mapping[str, float]
    asked: tuple[Asked, ...]
    over: str | None

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        plain = [
            {**a.point.as_dict(), **{k: v for k, v in asdict(a).items() if k != "point"}} for a in self.asked
        ]
        return {"sampler": self.sampler, "budget": dict(self.budget), "over": self.over, "asked": plain}


def history(
    study: Study,
    points: Sequence[Point],
    rows: Sequence[FrontierRow],
    base: str,
    data: str,
    over: str | None,
) -> History:
    """Return what the search of ``study`` has asked, and how its frontier grew.

    Args:
        study: a study whose `search.method` is `optuna`.
        points: what was asked, in order.
        rows: the settings that have an outcome, as `frontier.frontier_rows` returns them.
        base: key of the start model.
        data: key of the training rows.
        over: see `History`.
    """
    by_setting = {row.setting: row for row in rows}
    seen: list[FrontierRow] = []
    asked = []
    for point in points:
        jobs = point_jobs(study, [point], study.seeds.search, base, data).values()
        keys = [s.key for job in jobs for s in job.settings]
        new = [by_setting.pop(key) for key in keys if key in by_setting]
        seen += new
        able = [r for r in seen if r.feasible and r.gain is not None]
        limited = [r for r in seen if r.within_limit is not None]
        asked.append(
            Asked(
                point=point,
                trajectories=tuple(t.key for job in jobs for t in (job.trunk, *job.branches) if t.settings),
                settings=len(new),
                lost=dict(
                    Counter(
                        r.status if r.status != "scored" else "no score"
                        for r in new
                        if r.gain is None or r.rate is None or r.rate.value is None
                    )
                ),
                within=sum(bool(r.feasible and r.within_limit) for r in seen) if limited else None,
                hypervolume=hypervolume(objectives(able), (REFERENCE["rate"], -REFERENCE["gain"])),
            )
        )
    assert study.search.budget is not None
    return History(
        sampler=study.search.sampler,
        budget=study.search.budget.model_dump(exclude_none=True),
        asked=tuple(asked),
        over=over,
    )
