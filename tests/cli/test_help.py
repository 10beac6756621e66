"""Help answers at once: whatever is heavy is imported by the command that needs it."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from ftstab import __version__
from ftstab.cli.judge import judge_app
from ftstab.cli.main import app
from tests.lab import QUIET, cli

HEAVY = {"torch", "transformers", "ray", "mlflow", "optuna", "plotly", "pandas", "scipy", "numpy"}
COMMANDS = sorted(str(c.name or c.callback.__name__) for c in app.registered_commands if c.callback)
JUDGE = sorted(f"judge {c.name or c.callback.__name__}" for c in judge_app.registered_commands if c.callback)


def test_help_of_everything_imports_nothing_heavy() -> None:
    script = f"""
import sys, time
from ftstab.cli.main import main
for command in [[], *[c.split() for c in {[*COMMANDS, *JUDGE]!r}]]:
    sys.argv = ["ftstab", *command, "--help"]
    try:
        main()
    except SystemExit as stop:
        assert not stop.code, stop.code
heavy = {HEAVY!r} & set(sys.modules)
assert not heavy, heavy
assert time.process_time() < 3, time.process_time()
"""
    done = subprocess.run(
        [sys.executable, "-c", script], env=os.environ | QUIET, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    for command in [*COMMANDS, *JUDGE]:
        assert f"ftstab {command} " in done.stdout


def test_help_takes_less_than_a_second() -> None:
    before = os.times()
    done = subprocess.run(
        [sys.executable, "-m", "ftstab", "--help"],
        env=os.environ | QUIET,
        capture_output=True,
        text=True,
        check=True,
    )
    after = os.times()
    assert after.children_user - before.children_user + after.children_system - before.children_system < 1
    for command in COMMANDS:
        assert command in done.stdout


@pytest.mark.parametrize("command", [*COMMANDS, "judge", *JUDGE])
def test_every_command_says_what_it_does(command: str) -> None:
    done = cli(*command.split(), "--help")
    assert done.code == 0
    assert done.out.count("\n") > 5


def test_version_and_no_arguments() -> None:
    assert cli("--version").out == f"ftstab {__version__}\n"
    assert "Usage:" in cli().out + cli().err


@pytest.mark.parametrize(
    "args",
    [
        ("rum", "x.yaml"),
        ("run",),
        ("run", "x.yaml", "y.yaml"),
        ("run", "x.yaml", "--fast"),
        ("pick", "x.yaml", "--max-harmful", "little"),
        ("frontier", "x.yaml", "--json=yes"),
        ("--jsn",),
    ],
)
def test_misuse_is_exit_code_2(args: tuple[str, ...]) -> None:
    done = cli(*args)
    assert done.code == 2
    assert "Error: " in done.err
    assert "Traceback" not in done.err


@pytest.mark.parametrize("command", [("schema",), ("schema", "--json")])
def test_schema_is_printed(command: tuple[str, ...]) -> None:
    done = cli(*command)
    assert done.code == 0
    for key in ("learning_rate", "ema_decay", "over_refusal", "keep_weights"):
        assert key in done.out
