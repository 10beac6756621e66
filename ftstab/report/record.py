"""The parts of the page that are text: the answer, how it was measured, what it doesn't say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ftstab.frontier import FrontierRow, Summary
from ftstab.outcome import Outcome
from ftstab.spec import Source, Study
from ftstab.wording.limits import constraints_words
from ftstab.wording.numbers import ends, number, percent, settings_words, trajectories_words
from ftstab.wording.rates import HIT_WORDS, RATE_WORDS
from ftstab.wording.utility import METRIC_WORDS, gain_text, score_method, score_text

LONGEST = 200
"""Longest value of a record that is shown, in characters."""


def question(start: FrontierRow) -> str:
    """Return what the study asks, in a sentence."""
    what = HIT_WORDS[start.rate.name] if start.rate else "counted"
    metric = METRIC_WORDS[start.utility.metric] if start.utility else "utility"
    return (
        f"Which settings gain most in {metric} while the fewest answers to harmful prompts are {what}, "
        "and how sure is that?"
    )


def answer(rows: Sequence[FrontierRow], start: FrontierRow, summary: Summary, study: Study) -> str:
    """Return the study's answer in two sentences."""
    kept = constraints_words(study, start.rate) if start.rate else None
    rate = RATE_WORDS[start.rate.name] if start.rate else "rate"
    metric = METRIC_WORDS[start.utility.metric] if start.utility else "utility"
    origin = percent(start.rate.value) if start.rate else "–"
    front = sorted(
        (r for r in rows if r.on_frontier and r.gain), key=lambda r: r.gain.value if r.gain else 0.0
    )
    settings = settings_words(summary.settings)
    if not front:
        return (
            f"None of {settings} was scored{f' and keeps {kept}' if kept else ''}, so there is no frontier. The start "
            f"model has a {rate} of {origin} and {metric} of {score_text(start.utility)}."
        )
    first = (
        f"Of {settings} from {trajectories_words(summary.trajectories, summary.trainings)}, "
        f"{summary.frontier_settings} from "
        f"{trajectories_words(summary.frontier_trajectories, summary.frontier_trainings)} "
        f"{'is' if len(front) == 1 else 'are'} on the "
        f"frontier: no other{f' that keeps {kept}' if kept else ''} has both a lower {rate} and a larger gain in "
        f"{metric}."
    )
    if len(study.seeds.search) > 1:
        seeds = sorted({r.seed for r in front if r.seed is not None})
        first += f" They are single runs, of {'seed' if len(seeds) == 1 else 'seeds'} {', '.join(map(str, seeds))}."
    low, high = front[0], front[-1]
    if high is low:
        return f"{first} It gains {_gain(low)} at a {rate} of {_rate(low)}; the start model has {origin}."
    if (_gain(low), _rate(low)) == (_gain(high), _rate(high)):
        return f"{first} All of them gain {_gain(low)} at a {rate} of {_rate(low)}; the start model has {origin}."
    return (
        f"{first} They reach from a gain of {_gain(low)} at a {rate} of {_rate(low)} up to {_gain(high)} at "
        f"{_rate(high)}; the start model has {origin}."
    )


def record(
    rows: Sequence[FrontierRow],
    start: Outcome,
    study: Study,
    made_with: Mapping[str, str],
) -> list[tuple[str, str]]:
    """Return how it was measured, as pairs of a term and its value (plain text)."""
    found = []
    for role, word in (("harmful", "Harmful prompts"), ("over_refusal", "Safe look-alikes")):
        rate = start.rates.get(role)
        if rate is not None:
            by = f"{RATE_WORDS[rate.name]} by judge {rate.judge}"
            found.append((word, f"{by} on {rate.benchmark}, {rate.n} prompts, {rate.interval}"))
    for word, score in (("Utility", start.utility), ("Second metric", start.secondary)):
        if score is not None:
            found.append((word, score_method(score)))
    ask = study.evaluation.decoding
    split = study.evaluation.split
    template = study.template
    found += [
        (
            "Gain and rise",
            "paired with the start on the same prompts or rows, 95 %: Newcombe's method 10 for shares, "
            "t over rows for losses",
        ),
        (
            "Decoding",
            f"greedy, single turn, at most {ask.max_new_tokens} new tokens, batches of {ask.batch_size}, "
            f"blocks of {ask.block_size}",
        ),
        (
            "Chat template",
            ("the model's own" if template.chat_template is None else "given in the study file")
            + f"; where it asks for today's date, it is told {template.date}",
        ),
        (
            "System prompt",
            f"asking: {template.system_prompt or 'none given'}; "
            f"training: {template.training_system_prompt or 'none given'}",
        ),
        (
            "Split",
            f"search half only: {percent(split.search, 0)} of every prompt set, {percent(split.confirm, 0)} "
            f"kept for confirmation; seed {split.seed}",
        ),
        ("Search seeds", ", ".join(str(s) for s in study.seeds.search)),
        ("Base", study.base.model + (f" at {study.base.revision}" if study.base.revision else "")),
    ]
    align = study.base.align
    if align is not None:
        found.append(
            (
                "Alignment",
                f"{_source(align.data)}, {align.steps} steps of {align.batch_size}, seed {align.seed}",
            )
        )
    found.append(("Training data", _source(study.data.train)))
    if study.data.mix is not None:
        found.append(("Mixed into it", f"{_source(study.data.mix)}, as much as mix_share says"))
    found.append(("Training", _fixed(rows)))
    if study.constraints:
        found.append(
            (
                "Constraints",
                "; ".join(_constraint(n, c.max, c.max_rise) for n, c in study.constraints.items()),
            )
        )
    return found + [(k, v) for k, v in made_with.items()]


def shared_fields(start: Outcome, outcomes: Sequence[Outcome]) -> list[tuple[str, str]]:
    """Return what the records of the start and of all scored settings say alike and `record` doesn't, by field; what
    differs between settings stays in the store."""
    flat = [_flat(o.record) for o in (start, *outcomes) if o.start or o.status == "scored"]
    first = flat[0]
    told = ("command", "decoding.", "split.", "template.")
    return sorted(
        (k, v)
        for k, v in first.items()
        if not k.startswith(told) and all(other.get(k) == v for other in flat)
    )


def _fixed(rows: Sequence[FrontierRow]) -> str:
    """The parameters that no setting varies."""
    if not rows:
        return "no setting yet"
    fixed = [(n, v) for n, v in rows[0].read_parameters.items() if n not in rows[0].varied]
    return ", ".join(f"{n} {number(v)}" for n, v in fixed)


def _constraint(name: str, most: float | None, rise: float | None) -> str:
    parts = [f"at most {percent(most)}"] if most is not None else []
    parts += [f"at most {100 * rise:.1f} points above the start"] if rise is not None else []
    return f"{name.replace('_', ' ')}: {' and '.join(parts)} (upper ends)"


def _source(source: Source) -> str:
    return source.location + (f" at {source.revision}" if source.revision else "")


def _flat(value: Any, path: str = "") -> dict[str, str]:
    if isinstance(value, dict):
        found: dict[str, str] = {}
        for key, inner in value.items():
            found |= _flat(inner, f"{path}.{key}" if path else str(key))
        return found
    if isinstance(value, str | int | float | bool) and len(str(value)) <= LONGEST:
        return {path: str(value)}
    return {}


def _rate(row: FrontierRow) -> str:
    if row.rate is None:
        raise ValueError(f"setting {row.key}: has no rate")
    return f"{percent(row.rate.value)} ({ends(row.rate.low, row.rate.high)})"


def _gain(row: FrontierRow) -> str:
    if row.gain is None or row.utility is None:
        raise ValueError(f"setting {row.key}: has no gain")
    return gain_text(row.utility.metric, row.gain.value, row.gain.low, row.gain.high)
