"""Building blocks of request bodies: whatever Postgres or JSON could not hold is refused at the border."""

import math
from typing import Annotated, Any, Final

from pydantic import AfterValidator, BaseModel, ConfigDict, SecretStr
from pydantic_core import PydanticCustomError

from app.core import text

MAX_DEPTH: Final = 20
INTEGERS: Final = range(-(2**63), 2**63)


class StrictBody(BaseModel):
    """A request body that has no other fields than these, and no number that is not one."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


def _clean(value: str) -> str:
    if not text.is_storable(value):
        raise PydanticCustomError("unclean_text", "Text must not have NUL characters or lone surrogates")
    return value


def _clean_secret(value: SecretStr) -> SecretStr:
    _clean(value.get_secret_value())
    return value


def _clean_json(value: Any) -> Any:
    """Check free-form JSON without recursion: its depth is the client's choice."""
    waiting = [(value, 0)]
    while waiting:
        part, depth = waiting.pop()
        if isinstance(part, str):
            _clean(part)
        elif isinstance(part, dict | list):
            if depth == MAX_DEPTH:
                raise PydanticCustomError("too_deep", "JSON must not be nested deeper than 20 levels")
            if isinstance(part, dict):
                waiting += ((name, depth) for name in part)
                part = part.values()
            waiting += ((inner, depth + 1) for inner in part)
        elif isinstance(part, float) and not math.isfinite(part):
            raise PydanticCustomError("finite_number", "Numbers must be finite")
        elif isinstance(part, int) and part not in INTEGERS:
            raise PydanticCustomError("integer_size", "Integers must fit into 64 bits")
    return value


CleanStr = Annotated[str, AfterValidator(_clean)]
"""Text without NUL and lone surrogates. Put length limits beside it with `Field`."""

CleanSecret = Annotated[SecretStr, AfterValidator(_clean_secret)]
"""Clean text that must not show up in a log, not even by way of the body's `repr`."""

CleanJson = Annotated[Any, AfterValidator(_clean_json)]
"""Any JSON value: finite numbers, 64-bit integers, clean text, nested no deeper than `MAX_DEPTH`."""

CleanObject = Annotated[dict[str, Any], AfterValidator(_clean_json)]
"""A JSON object with the limits of `CleanJson`."""
