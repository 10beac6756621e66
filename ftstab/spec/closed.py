"""The base of every section of the study file."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

UNSHOWN = "not_shown"
"""Type of a fault whose value may hold a secret, so that no message shows it."""
RECORDED = "recorded"
"""Context in which the file of a study that was run is validated; null stands for secrets that it should never have
held, so that the study can be run again with a file that is mended."""

NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
"""What the name of a study or judge looks like: it stands in paths and in keys."""
NAME_WORDS = "a name of at most 64 letters, digits, `.`, `_` and `-` is wanted, a letter or digit first"

MOST = 10**9
"""Most steps, rows of a batch, tokens or ranks that training takes: a larger number is a slip of the hand."""


class Closed(BaseModel):
    """A section that refuses unknown keys and doesn't convert types, so that a typing error is never silent."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        use_attribute_docstrings=True,
        allow_inf_nan=False,
        protected_namespaces=(),
    )
