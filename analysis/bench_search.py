"""What a search finds for the training that it pays, against searches that a user could write.

    python analysis/bench_search.py [--problem table|synthetic] [--limit SHARE] [--seeds 20] [--searches NAME ...]
                                    [--json FILE]

Compared, on a grid of 6 learning rates x 4 batch sizes x 5 step counts x 5 decays (24 trainings, 600 settings):

- ftstab: `search.method: optuna` with the samplers `trajectory_gp`, `tpe` and `gp`; a trajectory tells all of its
  settings, and goes on where it ended if more steps are asked of it;
- random and quasi-random choices with the same sharing;
- Ray Tune's `OptunaSearch`, one trial per setting: a training of its own for each.

Settings are chosen by what one half of the prompts said and scored by the other half (table; each search seed halves
them anew) or by the truth (synthetic).  Hypervolume with reference (rate 1, gain 0), as a share of what somebody
reaches who knows every setting.  Cost is in training steps and in trainings.

`--limit` is what a study's `constraints.harmful_response.max` is.  ftstab's samplers are told of each setting by how
much the upper end of its rate (95 % Wilson, by the prompts that choose) exceeds it, as in a study; random choices don't
listen, and OptunaSearch, which can't be told, is left out.  The hypervolume, of the same reference, is that of the
settings which keep the limit by that upper end and whose rate by the half that scores (synthetic: the true rate) is
within it too; of these the frontier is chosen by the one half and scored by the other as ever.

Table of the 135M model (`analysis/data/search_table.json`: 60 harmful prompts, 50 tasks, one training seed, so that
the intervals don't speak of other trainings), 20 search seeds: area under the curve after start-up .983 for
`trajectory_gp`, .966 `tpe`, .928 random and .952 quasi-random with sharing, .768 OptunaSearch; `trajectory_gp` above
them by .017 (.003 to .031), .055 (.023 to .088), .031 (.016 to .047) and .216 (.166 to .265).  With 6 of 24 trainings
.965, .823, .798, .859 and .217; trainings for 95 %, median over the seeds: 5.5, 8, 13.5, 12, and for one trial per
setting more than the steps of the whole table pay for.

Synthetic problem, 20 seeds (four of them were looked at while `trajectory_gp` was written): area .9963 for
`trajectory_gp`, .9936 `tpe`, .9804 random and .9854 quasi-random with sharing, .9222 OptunaSearch; `trajectory_gp`
above them by .0027 (.0004 to .0050), .0159 (.0059 to .0259), .0109 (.0057 to .0160) and .0741 (.0550 to .0932).  With
6 of 24 trainings .988, .967, .952, .962 and .519.

With `--limit 0.4` and 20 seeds (without `gp`, which is too slow for it) `trajectory_gp` is above random and
quasi-random choices on the synthetic problem; on the table nothing is separated, nor is it from TPE on either.  A
limit of .4 is the lowest of .15, .2, .25, .3 and .4 at which every split of the table has something to find.  Shares
of the table pass 1: knowing more settings can put a luckier one in a better one's place.

    search                  table: area, ours above by          synthetic: area, ours above by
    trajectory_gp           1.003                                .988
    tpe                      .989   .014 (-.025 to .052)         .983   .005 (-.002 to .012)
    random, shared           .938   .066 (-.016 to .147)         .948   .041 (.010 to .072)
    quasi-random, shared     .989   .014 (-.032 to .060)         .954   .034 (.021 to .048)

Trainings after which the share stays at 90, 95 and 98 % or above, median over the seeds: of 24, OptunaSearch one for
each of 600 settings (inf: more steps than the whole table takes):

    search                  table             synthetic         table, limit .4   synthetic, limit .4
    trajectory_gp           5     5.5   7     2     4     6     4     5     7     4     6     7
    tpe                     7.5   8     9     2     4     7     4     6.5   8.5   4.5   6.5   8.5
    random, shared          8    13.5  16     3.5   5     9.5  10    11    15     4    10    14.5
    quasi-random, shared    7    12    15     2     4     8     4     4.5   7     5     9    13.5
    OptunaSearch           33.5  inf   inf   24.5  36.5  62     cannot be told of limits
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import bench_parts as parts
import numpy as np
import search_problems as problems
from search_problems import Cell, Problem

from ftstab.errors import StudyError
from ftstab.plan import Point
from ftstab.search import Search, Told
from ftstab.spec import Study, parse_study
from ftstab.stats import Floats, mean_interval

STARTUP = 4
QUARTER = 6
"""A quarter of the trainings of the whole grid."""
SHARES = (0.90, 0.95, 0.98)


@dataclass(frozen=True)
class Curve:
    """Share of the whole hypervolume by trainings and by training steps."""

    by_training: dict[int, float]
    by_step: Floats


Spent = tuple[int, int, list[Cell]]
"""Training steps and trainings so far, and the settings that are known."""


def study(sampler: str, seed: int) -> Study:
    """The study file of a search over the grid."""
    return parse_study(
        f"""
study: search
base: {{model: none}}
data: {{train: "builtin:tasks"}}
axes:
  learning_rate: {list(problems.RATES)}
  batch_size: {list(problems.BATCHES)}
  steps: {list(problems.STEPS)}
  ema_decay: {list(problems.DECAYS)}
search: {{method: optuna, sampler: {sampler}, startup: {STARTUP}, seed: {seed}, budget: {{trajectories: 24}}}}
"""
    )


def shared(sampler: str) -> Callable[[Problem, int], Iterator[Spent]]:
    """A search of ftstab's, with trajectories shared."""

    def run(problem: Problem, seed: int) -> Iterator[Spent]:
        search = Search(study(sampler, seed))
        asked: list[Point] = []
        told: list[Told] = []
        trained: dict[tuple[float, int], int] = {}
        while (point := search.next(asked, told)) is not None:
            asked.append(point)
            choice = (point.choices["learning_rate"], point.choices["batch_size"])
            before = trained.get(choice, 0)
            for step in (s for s in problems.STEPS if before < s <= point.steps):
                for profile in problems.PROFILES:
                    place = {**point.choices, "steps": step, "average": profile}
                    cell = (*choice, step, profile)
                    told.append(Told(place, problem.seen[cell], problem.limits.get(cell, {}), str(choice)))
            trained[choice] = max(before, point.steps)
            known = [
                (*c, s, p)
                for c, last in trained.items()
                for s in problems.STEPS
                if s <= last
                for p in problems.PROFILES
            ]
            yield sum(trained.values()), len(trained), known

    return run


def one_by_one(problem: Problem, seed: int) -> Iterator[Spent]:
    """Ray Tune's OptunaSearch over the same choices, a training for each setting that it hasn't seen."""
    from optuna.distributions import IntDistribution
    from ray.tune.search.optuna import OptunaSearch

    space = {
        "rate": IntDistribution(0, len(problems.RATES) - 1),
        "batch": IntDistribution(0, len(problems.BATCHES) - 1),
        "step": IntDistribution(0, len(problems.STEPS) - 1),
        "profile": IntDistribution(0, len(problems.PROFILES) - 1),
    }
    search = OptunaSearch(space, metric=["harm", "loss"], mode=["min", "min"], seed=seed)
    known: dict[Cell, int] = {}
    for number in range(600):
        chosen = search.suggest(str(number))
        cell = (
            problems.RATES[chosen["rate"]],
            problems.BATCHES[chosen["batch"]],
            problems.STEPS[chosen["step"]],
            problems.PROFILES[chosen["profile"]],
        )
        harm, loss = problem.seen[cell]
        search.on_trial_complete(str(number), {"harm": harm, "loss": loss})
        known[cell] = cell[2]
        yield sum(known.values()), len(known), list(known)


ALONE = "OptunaSearch, one by one"
"""Knows no limits."""
SEARCHES: dict[str, Callable[[Problem, int], Iterator[Spent]]] = {
    "ftstab, trajectory_gp": shared("trajectory_gp"),
    "ftstab, tpe": shared("tpe"),
    "ftstab, gp": shared("gp"),
    "random, shared": shared("random"),
    "quasi-random, shared": shared("quasi_random"),
    ALONE: one_by_one,
}
OURS = "ftstab, trajectory_gp"
"""Which the others are compared with, prompt halves and seeds alike."""


def curve(search: Callable[[Problem, int], Iterator[Spent]], problem: Problem, seed: int, most: int) -> Curve:
    """Share of the whole hypervolume after each training, and after each training step, up to ``most`` steps."""
    by_training: dict[int, float] = {}
    by_step = np.zeros(most + 1)
    reached, done = 0.0, 0
    for steps, trainings, known in search(problem, seed):
        by_step[done : min(steps, most + 1)] = reached
        reached = problem.worth(known) / problem.whole
        done = min(steps, most + 1)
        by_training[trainings] = reached
        if steps > most:
            break
    by_step[done:] = reached
    return Curve(by_training, by_step)


def after(curve: Curve, trainings: int) -> float:
    """The share reached with ``trainings`` trainings."""
    return max(
        (v for n, v in curve.by_training.items() if n == max(k for k in curve.by_training if k <= trainings))
    )


def needed(curve: Curve, share: float) -> float:
    """Trainings after which the share stays at ``share`` or above; infinite if it never does."""
    below = [n for n, v in curve.by_training.items() if v < share]
    last = max(below, default=0)
    later = [n for n in curve.by_training if n > last]
    return float(min(later, default=np.inf))


def compare(make: Callable[[int], Problem], seeds: int, names: Sequence[str]) -> list[dict[str, object]]:
    """One row for each of the searches ``names``, ours among them.

    Raises:
        StudyError: nobody could find anything within the limit.
    """
    most = len(problems.RATES) * len(problems.BATCHES) * max(problems.STEPS)
    grid_problems = [make(seed) for seed in range(seeds)]
    if any(problem.whole == 0 for problem in grid_problems):
        raise StudyError("--limit: no setting of the whole grid keeps it with any gain; give a higher share")
    found = {
        name: [curve(SEARCHES[name], problem, seed, most) for seed, problem in enumerate(grid_problems)]
        for name in names
    }
    begun = STARTUP * max(problems.STEPS)
    areas = {name: np.array([c.by_step[begun:].mean() for c in curves]) for name, curves in found.items()}
    rows = []
    for name, curves in found.items():
        row: dict[str, object] = {"search": name, "area": float(areas[name].mean())}
        if name != OURS:
            low, high = mean_interval(areas[OURS] - areas[name])
            row["ours above by"] = float((areas[OURS] - areas[name]).mean())
            row["low"], row["high"] = low, high
        row[f"with {QUARTER} trainings"] = float(np.mean([after(c, QUARTER) for c in curves]))
        for share in SHARES:
            row[f"trainings for {share:.0%}"] = float(np.median([needed(c, share) for c in curves]))
        rows.append(row)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--problem", choices=("table", "synthetic"), default="table")
    parser.add_argument("--seeds", type=int, default=20, help="search seeds, each with its own halves")
    parser.add_argument(
        "--searches",
        nargs="+",
        choices=list(SEARCHES),
        help="beside ours (default: all that know the limit); gp is the slow one",
    )
    parser.add_argument(
        "--limit", type=float, metavar="SHARE", help="a limit on harm, as constraints.harmful_response.max"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write everything to FILE")
    args = parser.parse_args()
    limit = args.limit
    if limit is not None and ALONE in (args.searches or ()):
        parser.error(f"--limit: {ALONE!r} can't be told of limits; leave it out of --searches")
    names = args.searches or [name for name in SEARCHES if limit is None or name != ALONE]
    made = problems.recorded if args.problem == "table" else problems.synthetic
    rows = compare(lambda seed: made(seed, limit), args.seeds, list(dict.fromkeys([OURS, *names])))
    within = "" if limit is None else f", harm limited to {limit:g}"
    parts.show(f"{args.problem}, {args.seeds} seeds{within}", rows)
    if args.json:
        found = {"problem": args.problem, "limit": limit, "rows": rows}
        args.json.write_text(json.dumps(found, indent=1), encoding="utf-8")


if __name__ == "__main__":
    from ftstab.cli.command_line import plain_errors

    with plain_errors():
        main()
