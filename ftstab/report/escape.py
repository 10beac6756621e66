"""The one door through which text from outside reaches the page."""

from __future__ import annotations

import html
import json
import re
from typing import Any


def escape(value: object) -> str:
    """Return text that HTML, and the labels of plotly, show as it stands."""
    # Plotly doesn't know `&quot;`, and two dollar signs would make it look for a formula.
    return html.escape(str(value), quote=True).replace("&quot;", "&#34;").replace("$", "&#36;")


def prose(text: str) -> str:
    """Return sentences as HTML that shows them as they stand, but for what is between backticks, which is code."""
    return re.sub(r"`([^`\s]([^`]*[^`\s])?)`", r"<code>\1</code>", escape(text))


def script_json(value: Any) -> str:
    """Return JSON that may stand inside a script element: nothing in it ends it or opens a comment."""
    text = json.dumps(value, allow_nan=False, ensure_ascii=True)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
