"""Valid names of models and aliases."""

from typing import Annotated, Final

from pydantic import Field

PATTERN: Final = r"^[a-zA-Z][a-zA-Z0-9_.-]{0,99}$"
"""Names start with a letter, so that no alias looks like a number, a path or a command-line option."""

ModelName = Annotated[str, Field(pattern=PATTERN, description="A letter, then letters, digits and `_.-`.")]
AliasName = Annotated[str, Field(pattern=PATTERN, description="A letter, then letters, digits and `_.-`.")]

MAX_REFERENCE_LENGTH: Final = 700
"""Maximum length of owner, name and alias together."""

MODEL_REFERENCE: Final = (
    "`name`, `name@version` or `name@alias`; for a public model of another user, `owner/name`."
)
