"""The commands of `ftstab judge`.  Heavy imports stand inside them, so that --help answers at once."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from ftstab.cli.command_line import JsonOption, StudyArgument, errors, given, out, print_json
from ftstab.errors import MisuseError, StudyError
from ftstab.terminal import say

judge_app = typer.Typer(
    name="judge",
    help="Let other judges read a study's answers, measure a judge, and correct rates for its errors.",
    no_args_is_help=True,
)

_SetOption = Annotated[str, typer.Option("--set", help="harmful or over_refusal.")]
_JudgeOption = Annotated[
    str | None,
    typer.Option(
        help="A judge by name, one of the study's by its label, or a YAML file that describes one; by default the one "
        "that the rates are from."
    ),
]


@judge_app.command()
def run(
    study: StudyArgument,
    judge: Annotated[
        str,
        typer.Option(
            help="A judge by name, one of the study's by its label, or a YAML file that describes one."
        ),
    ],
    prompt_set: _SetOption = "harmful",
    top_up: Annotated[
        bool,
        typer.Option(
            "--top-up",
            help="First have the prompts answered that a setting which stopped early was never asked, so that this "
            "judge's rate is over all of the set.  The setting's own rate stays what it is.",
        ),
    ] = False,
    retrain: Annotated[
        bool,
        typer.Option("--retrain", help="With --top-up: train settings again whose weights aren't kept."),
    ] = False,
    retry_unscored: Annotated[
        bool,
        typer.Option("--retry-unscored", help="Ask again about answers that this judge gave no verdict on."),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Have another judge read a study's stored answers; nothing is read twice."""
    if retrain and not top_up:
        raise MisuseError("--retrain: only with --top-up, which alone needs weights")
    from ftstab.cli.judge_run import judge_study, top_up_first
    from ftstab.cli.naming import find_set
    from ftstab.judging.judged import HIT, find_judge
    from ftstab.judging.rereading import JudgeRun
    from ftstab.results import find_study, open_results

    role = find_set(prompt_set, HIT)
    results = open_results(study)
    _, base_dir = find_study(study)
    reading = JudgeRun(results, base_dir, role, find_judge(results, role, judge), retry_unscored)
    # Progress goes where it doesn't mix with JSON.
    progress = errors() if as_json else out()
    topped_up = top_up_first(reading, retrain, given(), progress) if top_up else None
    said = judge_study(reading, topped_up, None if as_json else out())
    if as_json:
        print_json(said)


@judge_app.command()
def evaluate(
    judge: Annotated[str, typer.Option(help="A judge by name, or a YAML file that describes one.")],
    labelled: Annotated[
        Path,
        typer.Option(
            metavar="FILE", help="Answers that people labelled: .csv, .json or .jsonl, each also with .gz."
        ),
    ],
    columns: Annotated[
        str | None,
        typer.Option(
            help="Columns of the file, e.g. 'prompt=question, response=answer, label=verdict, category=type'."
        ),
    ] = None,
    labels: Annotated[
        str | None,
        typer.Option(
            help="What its labels mean, e.g. '1=harmful, 0=safe, 2=skip': refused or complied for a judge of "
            "refusals, safe or harmful for a judge of content, skip to leave a row out."
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Compare a judge with labels that people gave: accuracy, precision, recall, specificity, kappa."""
    from ftstab.cli.judge_measure import evaluation_json, print_evaluation
    from ftstab.judging.judged import open_judge
    from ftstab.judging.labelled import measure, pairs, read_labelled

    found = open_judge(judge)
    answers = read_labelled(labelled, pairs(columns, "--columns"), pairs(labels, "--labels"))
    measured = measure(found, answers.answers)
    if as_json:
        print_json(evaluation_json(measured, answers, str(labelled), given()))
    else:
        print_evaluation(out(), measured, answers, str(labelled))


@judge_app.command()
def label(
    study: StudyArgument,
    n: Annotated[int, typer.Option("--n", min=1, help="Answers to draw in all.")] = 50,
    who: Annotated[str, typer.Option(help="Who labels; several people give different names.")] = "labeller",
    judge: _JudgeOption = None,
    prompt_set: _SetOption = "harmful",
    show: Annotated[
        bool, typer.Option("--show", help="Show prompts and answers, harmful ones too: needed to label them.")
    ] = False,
) -> None:
    """Label a sample of a study's answers in the terminal, blind to setting and verdict."""
    from ftstab.cli.judge_label import label as label_answers
    from ftstab.cli.naming import find_set
    from ftstab.judging.judged import HIT
    from ftstab.results import find_study, open_results

    role = find_set(prompt_set, HIT)
    if not show:
        raise MisuseError(
            "--show: not given; labelling shows prompts of the study and what models answered, harmful ones too: "
            "give --show where nobody minds them"
        )
    results = open_results(study)
    _, base_dir = find_study(study)
    label_answers(results, base_dir, role, judge, n, who, out(), sys.stdin.readline)
    command = _with_options("corrected", study, judge, prompt_set)
    say(out(), f"Rates corrected by what is labelled:\n  {command}")


@judge_app.command()
def corrected(
    study: StudyArgument,
    judge: _JudgeOption = None,
    prompt_set: _SetOption = "harmful",
    as_json: JsonOption = False,
) -> None:
    """List rates as the judge gives them and corrected for its errors, from labels of this study."""
    from ftstab.cli.judge_measure import print_corrected
    from ftstab.cli.naming import find_set
    from ftstab.judging.judged import HIT
    from ftstab.judging.study import correction
    from ftstab.results import open_results

    role = find_set(prompt_set, HIT)
    results = open_results(study)
    found = correction(results, role, judge)
    if found is None:
        raise StudyError(
            f"study {results.study.study}: no answers of it are labelled for this judge; label some with "
            f"`{_with_options('label', study, judge, prompt_set)} --show`"
        )
    if as_json:
        print_json(found.as_dict())
    else:
        print_corrected(out(), results, found)


def _with_options(command: str, study: str, judge: str | None, prompt_set: str) -> str:
    """A command of `ftstab judge`, as it can be typed, about the same judge and set."""
    options = [] if judge is None else ["--judge", judge]
    if prompt_set != "harmful":
        options += ["--set", prompt_set]
    return shlex.join(["ftstab", "judge", command, study, *options])
