"""Names of environment variables that hold a secret: the study file, which is stored, holds the name alone."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, ValidationInfo
from pydantic_core import PydanticCustomError

from ftstab.spec.closed import RECORDED, UNSHOWN

_NAME = r"^[A-Za-z_][A-Za-z0-9_]*$"
_KEY = re.compile(
    r"(hf|sk|gsk|r8|fw|gh[oprsu])_[A-Za-z0-9]{20,}"  # as their issuers begin them
    r"|AIza[A-Za-z0-9_]{30,}"
    r"|(?=\w*[a-z])(?=[A-Za-z0-9]{24})([A-Za-z]+[0-9]+){3,}[A-Za-z]*"  # letters and digits in turns
)
"""Keys that would pass for the name of a variable."""


def _variable(value: Any, info: ValidationInfo) -> Any:
    if value is None or (isinstance(value, str) and re.fullmatch(_NAME, value) and not _KEY.fullmatch(value)):
        return value
    if info.context == RECORDED:
        return None  # never the name of a variable that was set, so nothing can have been done with it
    raise PydanticCustomError(
        UNSHOWN,
        "it isn't the name of an environment variable, which has letters, digits and _; give the name of the variable "
        "that holds the secret, never the secret, which would be stored with the study",
    )


VariableName = Annotated[Annotated[str, Field(pattern=_NAME)] | None, BeforeValidator(_variable)]
"""Name of an environment variable, or null.  No fault shows what was given, which may be the secret itself."""
