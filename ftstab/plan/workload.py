"""What one setting of a study is asked, counted before anything is trained: for the estimate of `ftstab plan`.

Reads the data that the study names.  Loads no model and asks no endpoint.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from ftstab.data.rows import Row, RowSet
from ftstab.evaluation.harness import HarnessRows
from ftstab.evaluation.judges import Answer, EndpointModel
from ftstab.evaluation.judges.endpoint import CHARS_PER_TOKEN
from ftstab.evaluation.judges.endpoint import Cost as Price
from ftstab.evaluation.questions import Role, read_held_out, read_sets, split_halves
from ftstab.evaluation.win_rate import ComparingEndpoint, Pair
from ftstab.plan.cost import Calls, Workload
from ftstab.spec import Evaluation, Study
from ftstab.spec.judges import (
    ClassifierJudge,
    CombinedJudge,
    Endpoint,
    EndpointJudge,
    GuardJudge,
    JudgeSpec,
)


def workload(study: Study, base_dir: Path) -> Workload:
    """Return what every setting of ``study`` is asked on the search half.

    Answers are taken to be of full length, and tokens of 4 characters.

    Raises:
        DataError: a set can't be read.
    """
    evaluation = study.evaluation
    sets, held_set = read_sets(study, base_dir), read_held_out(study, base_dir)
    halves = split_halves(study, sets, held_set)
    limits = {
        "harmful": evaluation.harmful.limit,
        "over_refusal": evaluation.over_refusal.limit if evaluation.over_refusal else None,
        "utility": evaluation.utility.limit,
    }
    asked: dict[Role, list[Row]] = {
        role: [rows.rows[i] for i in halves[role].search[: limits[role]]] for role, rows in sets.items()
    }
    held_out = asked["utility"]
    if held_set is not None:
        held_out = [held_set.rows[i] for i in halves["held_out"].search[: evaluation.utility.limit]]
    choices = _choice_tokens(sets["utility"], halves["utility"].search[: limits["utility"]])
    return Workload(
        prompts=sum(map(len, asked.values())) - len(choices),
        choice_rows=len(choices),
        choice_tokens=sum(choices),
        held_out_rows=sum(row.response is not None for row in held_out),
        calls=tuple(_calls(evaluation, asked)),
    )


def _choice_tokens(rows: RowSet, members: Sequence[int]) -> list[int]:
    """Tokens that each row of a set takes whose texts are read and not answered."""
    if isinstance(rows, HarnessRows):
        if rows.loaded.kind == "generate_until":
            return []
        # The harness reads the prompt again with each choice.
        return [rows.loaded.requests(i) * (len(rows.rows[i].prompt) // CHARS_PER_TOKEN) for i in members]
    # A prompt is read once, and then each of its choices.
    found = [rows.rows[i] for i in members if rows.rows[i].choices]
    return [(len(row.prompt) + sum(map(len, row.choices))) // CHARS_PER_TOKEN for row in found]


def _calls(evaluation: Evaluation, asked: dict[Role, list[Row]]) -> Iterator[Calls]:
    """The requests that the answers of one setting take."""
    # No answer is known yet: one of full length stands for each.
    text = "x" * (CHARS_PER_TOKEN * evaluation.decoding.max_new_tokens)
    for role, judges in _readers(evaluation).items():
        for spec in _endpoints(judges):
            judge = EndpointModel(spec)
            answers = [Answer(row.id, row.prompt, text) for row in asked[role]]
            yield _of(spec, judge, role, judge.estimate(answers))
    if evaluation.utility.comparer is not None:
        comparer = ComparingEndpoint(evaluation.utility.comparer)
        pairs = [Pair(row.prompt, text, text) for row in asked["utility"]]
        yield _of(comparer.spec, comparer, "utility", comparer.estimate(pairs), compares=True)


def _of(
    spec: Endpoint, who: EndpointModel | ComparingEndpoint, role: Role, cost: Price, compares: bool = False
) -> Calls:
    return Calls(
        name=who.name,
        reads=role,
        requests=cost.requests,
        prompt_tokens=cost.prompt_tokens,
        reply_tokens=cost.reply_tokens,
        price=cost.price,
        per_minute=spec.requests_per_minute,
        compares=compares,
    )


def _readers(evaluation: Evaluation) -> dict[Role, Sequence[JudgeSpec]]:
    """The judges that read the answers of each set, as `evaluation.judges.roles.role_judges` hands them out."""
    harmful = evaluation.harmful.judges
    over_refusal = evaluation.over_refusal.judges if evaluation.over_refusal else []
    first = [spec for spec in (*harmful, *over_refusal) if _sees_refusals(spec)][:1]
    judged = evaluation.utility.metric in ("exact_match", "held_out_loss", "instruction_following")
    # Tasks that a rule calls right aren't shown to anybody: so many requests at most.
    return {"harmful": harmful, "over_refusal": over_refusal, "utility": first if judged else []}


def _sees_refusals(spec: JudgeSpec) -> bool:
    if isinstance(spec, CombinedJudge):
        return _sees_refusals(spec.members[0])
    if isinstance(spec, EndpointJudge | GuardJudge):
        return spec.sees == "refusal"
    # A judge by name sees refusals.
    return not isinstance(spec, ClassifierJudge) or bool({"refused", "complied"} & set(spec.labels.values()))


def _endpoints(judges: Sequence[JudgeSpec]) -> Iterator[EndpointJudge]:
    """The endpoints among ``judges``, members of combined ones too."""
    for spec in judges:
        if isinstance(spec, CombinedJudge):
            yield from _endpoints(spec.members)
        elif isinstance(spec, EndpointJudge):
            yield spec
