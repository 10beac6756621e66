"""Text from outside on a terminal: file names and reasons may hold markup and control codes, which show as text."""

from __future__ import annotations

import re

from rich.console import Console
from rich.markup import escape

# All control characters but tab and line feed, and the marks that turn the direction of text.
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def visible(text: str) -> str:
    """Return ``text`` with its control characters written out, e.g. ``\\x1b``."""
    return _CONTROL.sub(lambda found: ascii(found[0])[1:-1], text)


def shown(text: str) -> str:
    """Return ``text`` as rich may print it: visible, and its square brackets no markup."""
    return escape(visible(text))


def say(console: Console, text: str, end: str = "\n") -> None:
    """Print ``text``, which may hold anything, as it is and unbroken."""
    console.print(shown(text), highlight=False, soft_wrap=True, end=end)
