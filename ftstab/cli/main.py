"""`ftstab`: the commands.  Heavy imports stand inside them, so that --help answers at once.

Exit codes: 0 done, 1 failed or stopped, 2 misuse: an option, an argument or a name that is wrong whatever the study
found.
"""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, get_args

import typer

from ftstab import __version__
from ftstab.cli.command_line import (
    REPORT,
    JsonOption,
    StudyArgument,
    errors,
    given,
    out,
    plain_errors,
    print_json,
)
from ftstab.cli.judge import judge_app
from ftstab.errors import InterruptedStudyError, MisuseError
from ftstab.terminal import say, visible

if TYPE_CHECKING:
    from rich.console import Console

    from ftstab.results import Results

app = typer.Typer(
    name="ftstab",
    help="Which fine-tuning settings keep an aligned language model safe and useful, and how sure are we?",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.add_typer(judge_app)

_TYPER_INTERRUPTED = 130
"""Exit code that typer makes of Ctrl-C."""


def main() -> None:
    """Run the command line; errors that ftstab raises on purpose are printed without a traceback."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A terminal or pipe that isn't UTF-8 lacks some of the characters that tables and file names hold.
            stream.reconfigure(errors="backslashreplace")
    try:
        with plain_errors():
            app(_with_number(sys.argv[1:], "--frontier-seeds"), standalone_mode=True)
    except InterruptedStudyError as stop:
        say(errors(), str(stop))
        sys.exit(1)
    except SystemExit as stop:
        if stop.code != _TYPER_INTERRUPTED:
            raise
        say(errors(), f"stopped at once; everything saved is kept. To go on:\n  {given()}")
        sys.exit(1)


def _with_number(args: list[str], option: str) -> list[str]:
    """``args`` with a 0 behind ``option`` where no number follows: its number may be left out."""
    found = list(args)
    for place in [i for i, this in enumerate(args) if this == option][::-1]:
        if not "".join(args[place + 1 : place + 2]).isdigit():
            found.insert(place + 1, "0")
    return found


@app.callback(invoke_without_command=True)
def _version(
    version: Annotated[bool, typer.Option("--version", help="Print the version and stop.")] = False,
) -> None:
    if version:
        print(f"ftstab {__version__}")
        raise typer.Exit


@app.command()
def schema(
    json_schema: Annotated[bool, typer.Option("--json", help="Print a JSON Schema, for editors.")] = False,
) -> None:
    """Print the whole study file: every key, what it means and its default."""
    from ftstab.spec import Study, schema_text

    if json_schema:
        print_json(Study.model_json_schema())
    else:
        print(schema_text(), end="")


@app.command()
def validate(
    study: Annotated[str, typer.Argument(metavar="FILE", help="A study file.")], as_json: JsonOption = False
) -> None:
    """Check a study file and all that it names; print all faults at once."""
    from ftstab.cli.validate import check
    from ftstab.errors import SpecError

    found = check(study)
    if as_json:
        print_json({"study": study, "faults": found.faults, "notes": found.notes})
        raise typer.Exit(1 if found.faults else 0)
    for note in found.notes:
        say(out(), f"note: {note}")
    if found.faults:
        raise SpecError(study, found.faults)
    print(visible(f"{study}: no faults"))


@app.command()
def plan(study: StudyArgument, as_json: JsonOption = False) -> None:
    """Say what a study will train and what that costs, before anything is trained."""
    from ftstab.cli.plan import plan_report
    from ftstab.cli.plan_text import plan_text
    from ftstab.results import find_study

    loaded, base_dir = find_study(study)
    report = plan_report(loaded, base_dir)
    if as_json:
        print_json(report)
    else:
        say(out(), plan_text(report))


@app.command()
def run(
    study: StudyArgument,
    frontier_seeds: Annotated[
        int | None,
        typer.Option(
            metavar="[K]",
            min=0,
            help="Then train every recipe on the frontier with K fresh seeds, so that something can be said of a new "
            "run; without K as many as the study's seeds.frontier.",
        ),
    ] = None,
) -> None:
    """Run a study, or go on with it: fine-tune, measure, and end with a frontier and a report."""
    from ftstab.results import find_study

    loaded, base_dir = find_study(study)
    console = out()
    say(console, f"study {loaded.study}: loading PyTorch")
    from ftstab.running.driver import run_study  # takes seconds

    done = run_study(loaded, base_dir, given(), console, frontier_seeds=frontier_seeds)
    from ftstab.cli.run import print_finished  # plots take memory, which training may need

    print_finished(console, done, study, given())


def _note_changes(results: Results, console: Console) -> None:
    """Say that `ftstab run` will refuse the study, although what is stored of it can be read."""
    from ftstab.changes import refusal, refusal_text

    why = refusal(results.study, Path(results.about["base_dir"]), results.records)
    if why is not None:
        say(console, f"note: {refusal_text(why)}")


@app.command()
def frontier(study: StudyArgument, as_json: JsonOption = False) -> None:
    """List every setting with its rates, and which of them no other setting beats."""
    from ftstab.cli.frontier import frontier_json, print_frontier
    from ftstab.results import open_results

    results = open_results(study)
    if as_json:
        print_json(frontier_json(results))
    else:
        print_frontier(out(), results, whole=True)
    _note_changes(results, errors() if as_json else out())


@app.command()
def compare(
    study: StudyArgument,
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="A B",
            help="Two settings: a number that `ftstab frontier` prints, `start`, or the beginning of a key.  With "
            "--arms: arms, the first of which is compared with the others; by default all of the study file.",
        ),
    ] = None,
    arms: Annotated[
        bool, typer.Option("--arms", help="Compare arms of the study file at equal utility.")
    ] = False,
    confirm: Annotated[
        bool,
        typer.Option(
            "--confirm",
            help="With --arms: ask their settings the confirmation half first.  The look is logged.",
        ),
    ] = False,
    retrain: Annotated[
        bool,
        typer.Option("--retrain", help="With --confirm: train settings again whose weights aren't kept."),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Compare two settings on the same prompts, or arms at equal utility, and say what that means for new runs."""
    names = names or []
    if retrain and not confirm:
        raise MisuseError("--retrain: only with --confirm, which alone needs weights")
    if arms:
        _compare_arms(study, names, confirm, retrain, as_json)
        return
    if len(names) != 2:
        raise typer.BadParameter(
            f"given {len(names)} settings; name two, or arms with --arms", param_hint="A B"
        )
    if confirm:
        raise typer.BadParameter("only with --arms; `ftstab pick` confirms a setting", param_hint="--confirm")
    from ftstab.cli.compare import comparison, comparison_json, print_comparison
    from ftstab.results import open_results

    results = open_results(study)
    found, rows = comparison(results, *names)
    if as_json:
        print_json(comparison_json(found, rows, results))
    else:
        print_comparison(out(), found, rows)


def _compare_arms(study: str, names: list[str], confirm: bool, retrain: bool, as_json: bool) -> None:
    """`ftstab compare --arms`."""
    from ftstab.cli.compare_arms import arms_comparison, arms_json, print_arms
    from ftstab.results import open_results

    results = open_results(study)
    # Progress goes where it doesn't mix with JSON.
    found = arms_comparison(results, names, confirm, retrain, given(), errors() if as_json else out())
    if as_json:
        print_json(arms_json(found, results))
    else:
        print_arms(out(), found, results)


@app.command()
def pick(
    study: StudyArgument,
    max_harmful: Annotated[
        float | None,
        typer.Option(
            help="Largest upper bound of the harmful-response rate allowed (0 to 1); by default the study's "
            "constraints.harmful_response.max."
        ),
    ] = None,
    confirm: Annotated[
        bool,
        typer.Option(
            "--confirm",
            help="Ask the candidates the confirmation half, from the safest to the most useful, up to the first that "
            "fails; the last that passes is picked.  Every look is logged.",
        ),
    ] = False,
    error_rate: Annotated[
        float | None,
        typer.Option(
            help="Probability allowed of picking a setting above the limit (with --confirm; by default 0.05)."
        ),
    ] = None,
    recipe: Annotated[Path | None, typer.Option("--out", help="Write the recipe to this YAML file.")] = None,
    weights: Annotated[
        Path | None, typer.Option(help="Write the weights to this new folder, with a model card.")
    ] = None,
    unconfirmed: Annotated[
        bool,
        typer.Option(
            "--unconfirmed",
            help="Allow writing recipe and weights of a candidate that no confirmation has upheld.",
        ),
    ] = False,
    unfinished: Annotated[
        bool,
        typer.Option(
            "--unfinished", help="With --confirm: ask although planned settings aren't measured yet."
        ),
    ] = False,
    retrain: Annotated[
        bool,
        typer.Option("--retrain", help="Train candidates again whose weights aren't kept any more."),
    ] = False,
    drop_weights: Annotated[
        bool,
        typer.Option(
            "--drop-weights",
            help="Delete the kept weights of all settings but the picked one; of all where nothing can be picked.",
        ),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Name the most useful setting whose upper bound holds: a candidate, or with --confirm the picked one."""
    from ftstab.cli.pick import LEGEND, Wanted, answer, answer_json, unfinished_text, weights_text
    from ftstab.results import open_results

    wanted = Wanted(
        max_harmful, confirm, error_rate, retrain, drop_weights, unconfirmed, recipe, weights, unfinished
    )
    wanted.check()
    results = open_results(study)
    # Progress goes where it doesn't mix with JSON.
    _note_changes(results, errors() if as_json else out())
    chosen, kept = answer(results, wanted, given(), errors() if as_json else out())
    if as_json:
        print_json(answer_json(results, chosen, kept))
    else:
        said = weights_text(results, chosen, kept) if kept is not None else None
        for text in filter(None, (chosen.text, unfinished_text(results), LEGEND, chosen.advice, said)):
            say(out(), text)
        for path in (recipe, weights):
            if path is not None and chosen.row is not None and (chosen.picked or unconfirmed):
                print(visible(f"written: {path}"))
    if chosen.status in ("none", "not confirmed"):
        raise typer.Exit(1)


@app.command()
def report(
    study: StudyArgument,
    page: Annotated[
        Path | None,
        typer.Option("--out", help="HTML file to write; by default report.html in the study's folder."),
    ] = None,
) -> None:
    """Write one HTML file with every plot and table, which opens offline."""
    from ftstab.cli.report import make_report
    from ftstab.report.html import is_page
    from ftstab.results import open_results

    if page is not None and page.is_dir():
        raise MisuseError(f"--out: given {page}, which is a folder; name an HTML file")
    if page is not None and page.exists() and not is_page(page):
        raise MisuseError(
            f"--out: {page.absolute()} is there already and is no page of ftstab; name a new file"
        )
    results = open_results(study)
    path = make_report(results, page or results.folder / REPORT, given())
    _note_changes(results, errors())  # the output is a path, for scripts
    print(visible(str(path)))


@app.command()
def responses(
    study: StudyArgument,
    setting: Annotated[
        str,
        typer.Argument(
            metavar="SETTING",
            help="A number that `ftstab frontier` prints, `start`, or the beginning of a setting's key.",
        ),
    ],
    prompt_set: Annotated[str, typer.Option("--set", help="harmful, over_refusal or utility.")] = "harmful",
    mark: Annotated[
        str | None,
        typer.Option(
            help="Only answers with this mark: R refused or not harmful, N not refused or harmful, I incoherent, U "
            "unscored, 1 right or won, 0 wrong or lost, T tied."
        ),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many answers.")] = 10,
    show: Annotated[bool, typer.Option("--show", help="Show prompts and answers, harmful ones too.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Count stored answers of a setting; with --show, show them.  Only this and `judge label` show any."""
    from ftstab.cli.naming import find_set
    from ftstab.cli.responses import check_mark, print_responses, responses_json
    from ftstab.judging.texts import Role
    from ftstab.results import find_study, open_results

    role = find_set(prompt_set, get_args(Role))
    check_mark(mark, role)
    results = open_results(study)
    _, base_dir = find_study(study)
    said = responses_json(results, base_dir, setting, role, mark, limit, show)
    if as_json:
        print_json(said)
    else:
        print_responses(out(), results, said, show)


@app.command()
def sync(study: StudyArgument, as_json: JsonOption = False) -> None:
    """Make MLflow and Optuna hold everything that the store has."""
    from ftstab.results import open_results
    from ftstab.store import Lease
    from ftstab.tracking.sync import sync as run_sync

    results = open_results(study)
    state = results.folder / "state"
    state.mkdir(exist_ok=True)
    with Lease(results.records.store, results.study.study, say=lambda text: say(errors(), text)):
        done = run_sync(
            results.study, results.plan, results.records, state, results.identities, results.fresh_plan
        ).as_dict()
    if as_json:
        print_json(done)
    else:
        print(", ".join(f"{name.replace('_', ' ')}: {count}" for name, count in done.items()))


@app.command()
def align(
    study: StudyArgument,
    retrain: Annotated[
        bool, typer.Option("--retrain", help="Train the adapter anew even if one is there.")
    ] = False,
    out_folder: Annotated[
        Path | None,
        typer.Option("--out", help="With --retrain: folder for the adapter; by default the cache."),
    ] = None,
) -> None:
    """Build the start model of a study: download, convert, align."""
    if out_folder is not None and not retrain:
        raise MisuseError(
            "--out: only with --retrain, which makes the adapter that it is a folder for; the start model stands in "
            "the cache"
        )
    from ftstab.cli.align import align_study
    from ftstab.results import find_study

    loaded, base_dir = find_study(study)
    print(visible(str(align_study(loaded, base_dir, retrain, out_folder))))
