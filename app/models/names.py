"""What models and the aliases of their versions may be called."""

from typing import Annotated, Final

from pydantic import Field

PATTERN: Final = r"^[a-zA-Z][a-zA-Z0-9_.-]{0,99}$"
"""It starts with a letter: so an alias is never a number, and a name never part of a path or an option."""

ModelName = Annotated[str, Field(pattern=PATTERN, description="A letter, then letters, digits and `_.-`.")]
AliasName = Annotated[str, Field(pattern=PATTERN, description="A letter, then letters, digits and `_.-`.")]

MAX_REFERENCE_LENGTH: Final = 700
"""An owner as typed, a name and an alias."""

MODEL_REFERENCE: Final = (
    "`name`, `name@version` or `name@alias`; another user's public model is `owner/name`, likewise."
)
