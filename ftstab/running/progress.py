"""What the person at the terminal sees: one line per finished setting, and a line of what goes on now."""

from __future__ import annotations

import time
from collections.abc import Mapping

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from ftstab.frontier import FrontierRow
from ftstab.plan import Job
from ftstab.running.launcher import Event
from ftstab.running.pace import Pace
from ftstab.spec import Study
from ftstab.terminal import say, shown
from ftstab.wording.numbers import percent
from ftstab.wording.rates import RATE_WORDS
from ftstab.wording.settings import AVERAGES, label, trained_words
from ftstab.wording.utility import METRIC_WORDS

QUIET_SECONDS = 30.0
"""Where there is no terminal to draw on, how often a line says what goes on."""

START = "start model"
TRAJECTORY = (
    "A trajectory is one training run; a setting is what it has at one step, by one average "
    f"({AVERAGES}). [n/N] counts settings."
)
UNKNOWN = "time left unknown"


class Show:
    """Prints progress.  Everything that comes from outside is escaped."""

    def __init__(self, console: Console, study: Study, pace: Pace | None = None) -> None:
        """``pace`` is the one of a clock of its own, for tests."""
        self.console, self.study, self.pace = console, study, pace or Pace()
        self.planned = self.done = 0
        self._open: dict[str, float] = {}
        self._jobs = 0
        self._over: set[str] = set()
        self._endless = False
        self._said = time.monotonic()
        self._names: dict[str, str] = {}
        self._now: dict[str, str] = {}
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("settings, {task.fields[left]}"),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task("starting", total=0, completed=0, left=UNKNOWN)

    def __enter__(self) -> Show:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def expect(self, planned: int, done: int, work: Mapping[str, float], jobs: int) -> None:
        """More is to be done.

        Args:
            planned: how many settings there are more than before.
            done: how many of them were there before this run.
            work: what those that are known and open take, by setting, in any unit.
            jobs: jobs that measure them; 0 where a search asks for them one by one.
        """
        self.planned, self.done = self.planned + planned, self.done + done
        self._open |= work
        self._jobs += jobs
        self._bar.update(self._task, total=self.planned, completed=self.done)

    def asked(self, settings: int, work: Mapping[str, float], bounded: bool) -> None:
        """A search has asked for more.

        Args:
            settings: how many it has in all by now; what is stored comes on top of any budget.
            work: as of `expect`.
            bounded: whether its budget says how many there will be; one in hours doesn't.
        """
        self._endless = not bounded
        self.planned = max(self.planned, settings)
        self._open |= work
        self._bar.update(self._task, total=self.planned)

    def ahead(self, work: Mapping[str, float]) -> None:
        """What is still open is known anew; it may be less than was thought.

        Args:
            work: what it takes, by setting, in any unit.
        """
        self._open = dict(work)
        self.planned = self.done + len(work)
        self._bar.update(self._task, total=self.planned)

    def event(self, job: Job, event: Event, name: str | None = None) -> None:
        """Something goes on in a job; ``name`` is what it is called, None: the number of its trajectory."""
        if name is None:
            name = self._name(job)
        else:
            self._names[job.key] = name
        if not _is_start(job):
            self.pace.begin(job.key)
        if event.kind == "lost":
            self.note(f"{name}: its worker was lost ({event.message}); another goes on from what is stored")
            self._now.pop(name, None)
        elif event.kind == "resumed":
            self.note(f"{name}: continuing from step {event.step}")
        elif event.kind == "update":
            loss = "" if event.loss is None else f", loss {event.loss:.3f}"
            self._now[name] = f"{name}: step {event.step}/{event.last}{loss}"
        elif event.message:
            self._now[name] = f"{name}: {event.message}"
        self._draw()

    def ended(self, job: Job) -> None:
        """A job came to its end."""
        self.pace.end(job.key)
        self._now.pop(START if _is_start(job) else self._names.get(job.key, ""), None)
        if not _is_start(job):
            self._over.add(job.key)
        for setting in job.settings:
            # What it couldn't measure isn't tried again in this run.
            self._open.pop(setting.key, None)
        self._draw()

    def start(self, row: FrontierRow) -> None:
        """The start model was measured."""
        self.note(f"start model: {_figures(row)}")

    def setting(self, job: Job, row: FrontierRow, which: str = "") -> None:
        """A setting of a job is finished; ``which`` tells it from others of its recipe."""
        what = row.reason if row.status != "scored" else _figures(row)
        self.note(f"[{self.done + 1}/{self.planned}] {label(row)}{which}: {what}")
        self.measured(job, row.setting)

    def measured(self, job: Job, setting: str) -> None:
        """A setting of a job is finished, and somebody else says what came of it."""
        self.done += 1
        self.pace.measured(job.key, self._open.pop(setting, 0.0))
        self._draw()

    def failed(self, job: Job, why: str) -> None:
        """A job can't be finished."""
        self.note(f"{self._name(job)} failed: {why}")

    def note(self, text: str) -> None:
        """Something that must be seen."""
        say(self.console, text)

    def left(self) -> str:
        """Time left, from the pace of this run."""
        # A search asks for settings that nobody knows yet; they are taken to be like those that are known.
        known = list(self._open.values())
        unknown = 0 if self._jobs else max(0, self.planned - self.done - len(known))
        mean = sum(known) / len(known) if known else None
        if self._endless or (unknown and mean is None):
            return UNKNOWN
        jobs = self._jobs - len(self._over) if self._jobs else len(known) + unknown
        seconds = self.pace.left(sum(known) + unknown * (mean or 0.0), jobs)
        return UNKNOWN if seconds is None else f"about {clock(seconds)} left"

    def _name(self, job: Job) -> str:
        """What a job is called; the first time it is said what that means."""
        if _is_start(job):
            if START not in self._now:
                self.note("measuring the start model, which every setting is compared with")
            return START
        if job.key not in self._names:
            number = len(self._names) + 1
            if number == 1:
                self.note(TRAJECTORY)
            name = self._names[job.key] = f"trajectory {number}"
            of = f" of {self._jobs}" if self._jobs else ""
            self.note(f"{name}{of}: {trained_words(job.trunk, self.study)}")
        return self._names[job.key]

    def _draw(self) -> None:
        doing = "; ".join(self._now.values()) or "waiting"
        self._bar.update(self._task, description=shown(doing), completed=self.done, left=self.left())
        if self._bar.disable and time.monotonic() - self._said > QUIET_SECONDS:
            self._said = time.monotonic()
            self.console.print(
                shown(f"  {doing}; {self.done} of {self.planned} settings, {self.left()}"), highlight=False
            )


def _is_start(job: Job) -> bool:
    """Whether a job measures the start model, which no update is made of, for the others to be compared with.  Asked
    the confirmation half it is a setting like any other."""
    return job.trunk.last == 0 and job.confirms is None


def clock(seconds: float) -> str:
    """``seconds`` as a person says it."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


def _figures(row: FrontierRow) -> str:
    """Rate, utility, over-refusal and safety loss of a row, with the ends of the intervals."""
    parts = []
    if row.rate is not None:
        r = row.rate
        parts.append(f"{RATE_WORDS[r.name]} {percent(r.value)} [{percent(r.low)}, {percent(r.high)}]")
    if row.utility is not None and row.utility.value is not None:
        u = row.utility
        parts.append(f"{METRIC_WORDS[u.metric]} {u.value:.3f}")
    if row.over_refusal is not None:
        parts.append(f"over-refusal {percent(row.over_refusal.value)}")
    if row.safety_loss is not None:
        s = row.safety_loss
        between = "" if s.low is None or s.high is None else f" [{s.low:.2f}, {s.high:.2f}]"
        parts.append(f"safety loss {s.value:.2f}{between} nats".replace("-", "−"))
    return ", ".join(parts)
