"""A page: one HTML file that opens offline and asks no server for anything.

Its policy lets only its own scripts run, so that a hostile name stays a name.  Knows nothing of studies.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from plotly.offline import get_plotlyjs

from ftstab.report.draw_harm import Plot
from ftstab.report.escape import escape, prose, script_json
from ftstab.report.style import CSS, SCRIPT, scroll_box

MADE_BY = '<meta name="generator" content="ftstab">'
"""By which a page is known again, so that nothing else is written over."""

PANELS = 780
"""Pixels that a figure of several panels needs."""


def figure_page(title: str, plots: Sequence[Plot], notes: Sequence[str] = ()) -> str:
    """Return a page of its own for some figures, for the scripts that draw one.

    Args:
        title: plain text.
        plots: the figures.
        notes: sentences in plain text above them.
    """
    page = Page()
    page.add(f"<h1>{escape(title)}</h1>")
    for note in notes:
        page.add(f"<p>{prose(note)}</p>")
    for plot in plots:
        page.plot(plot.name, plot.figure, plot.text, PANELS)
    return page.html(title)


def is_page(path: Path) -> bool:
    """Whether what is at ``path`` is a page that `write_page` wrote; also not where it can't be read."""
    if not path.is_file():
        return False
    try:
        with path.open("rb") as file:
            return MADE_BY.encode() in file.read(2000)
    except OSError:
        return False


def write_page(page: str, path: str | Path) -> None:
    """Write a whole page to ``path``, replacing a file there at once or not at all."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(page)
            file.flush()
            os.fsync(file.fileno())
        Path(name).chmod(0o644)
        Path(name).replace(path)
    finally:
        Path(name).unlink(missing_ok=True)


class Page:
    """The body of a page and the figures it holds."""

    def __init__(self) -> None:
        self.parts: list[str] = []
        self.figures: dict[str, Any] = {}

    def add(self, html: str) -> None:
        """Add ready HTML."""
        self.parts.append(html)

    def section(self, title: str, text: str = "") -> None:
        """Begin a section; both are plain text."""
        self.add(f"<h2>{escape(title)}</h2>" + (f"<p>{prose(text)}</p>" if text else ""))

    def plot(self, name: str, figure: Any, text: str, narrowest: int = 0) -> None:
        """Add a plotly figure with its caption (plain text), which is also what a screen reader says.

        On a screen the figure gets no narrower than ``narrowest`` pixels, and pans.
        """
        plain = json.loads(figure.to_json())
        self.figures[name] = {"data": plain["data"], "layout": plain["layout"]}
        height = int(plain["layout"]["height"])
        size = f"height:{height}px;min-width:{narrowest}px"
        self.add(
            "<figure>"
            + scroll_box(
                f'<div class="pan"><div class="plot" id="{name}" role="img" style="{size}" '
                f'aria-label="{escape(text)}"></div></div>'
            )
            + f"<figcaption>{prose(text)}</figcaption></figure>"
        )

    def html(self, title: str) -> str:
        """Return the whole file."""
        plotly = get_plotlyjs()
        allowed = " ".join(f"'sha256-{_sha256(script)}'" for script in (plotly, SCRIPT))
        policy = (
            f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data: blob:; "
            "base-uri 'none'; form-action 'none'"
        )
        return (
            '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n'
            f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
            f"{MADE_BY}\n"
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            f"<title>{escape(title)}</title>\n<style>{CSS}</style></head>\n<body><main>\n"
            + "\n".join(self.parts)
            + "\n<noscript><p>The figures need JavaScript. Rates, gains and scores of every setting are in the table;"
            " categories, signals and what is computed from several settings are in the figures alone.</p></noscript>\n"
            f'</main>\n<script type="application/json" id="figures">{script_json(self.figures)}</script>\n'
            f"<script>{plotly}</script>\n<script>{SCRIPT}</script>\n</body></html>\n"
        )


def _sha256(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
