"""Field types of request bodies, which reject what Postgres or JSON cannot store."""

import math
from collections.abc import Callable
from typing import Annotated, Any, Final

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, SecretStr, model_validator
from pydantic_core import PydanticCustomError

from app.core import text
from app.core.errors import AppError

APP_ERROR: Final = "app_error"
"""Key of the AppError to respond with, in the context of a validation error."""

MAX_DEPTH: Final = 20
MAX_UNKNOWN: Final = 20
"""A body with more unknown members than this is rejected without listing them."""

_SMALLEST: Final = -(2**63)
_LARGEST: Final = 2**63 - 1


class StrictBody(BaseModel):
    """A request body without unknown fields, NaN and infinities."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _has_few_unknown_members(cls, body: Any) -> Any:
        # Building an error for each of a million members takes minutes.
        if isinstance(body, dict) and len(body) > len(cls.model_fields) + MAX_UNKNOWN:
            raise PydanticCustomError("too_many_members", "There are too many unknown members")
        return body


class LargeBody(StrictBody):
    """A body of up to `MAX_BODY_BYTES`; others are limited to 64 KiB."""


def _clean(value: str) -> str:
    if not text.is_storable(value):
        raise PydanticCustomError("unclean_text", "Text must not have NUL characters or lone surrogates")
    return value


def _clean_secret(value: SecretStr) -> SecretStr:
    _clean(value.get_secret_value())
    return value


def at_most(limit: int, too_many: Callable[[int], AppError] | None = None) -> BeforeValidator:
    """Reject a list or an object with more entries than `limit`, before any entry is validated.

    The error is the one that `too_many` makes from the number of entries, or a validation error.
    """

    def check(value: Any) -> Any:
        if isinstance(value, list | dict) and len(value) > limit:
            if too_many is not None:
                error = too_many(len(value))
                # `problems` unwraps the error. Raised directly, it would lose its location.
                raise PydanticCustomError("too_many", "There are too many entries", {APP_ERROR: error})
            raise PydanticCustomError("too_long", "There should be at most {limit} entries", {"limit": limit})
        return value

    return BeforeValidator(check)


def _clean_row(row: Any) -> Any:
    """Check a row; its depth is not counted."""
    return _clean_json(row, depth=-1)


def _clean_json(value: Any, depth: int = 0) -> Any:
    """Check free-form JSON without recursion, because the client chooses its depth."""
    if not isinstance(value, dict | list):
        _clean_scalar(value)
        return value
    waiting = [(value, depth)]
    while waiting:
        part, depth = waiting.pop()
        if depth == MAX_DEPTH:
            raise PydanticCustomError("too_deep", "JSON must not be nested deeper than 20 levels")
        if isinstance(part, dict):
            _clean("".join(part))
        for inner in part.values() if isinstance(part, dict) else part:
            if isinstance(inner, dict | list):
                waiting.append((inner, depth + 1))
            else:
                _clean_scalar(inner)
    return value


def _clean_scalar(value: Any) -> None:
    # Exact type checks are fast: there may be a hundred thousand values, all decoded from JSON.
    kind = type(value)
    if kind is str:
        _clean(value)
    elif kind is float:
        if not math.isfinite(value):
            raise PydanticCustomError("finite_number", "Numbers must be finite")
    elif kind is int and not _SMALLEST <= value <= _LARGEST:
        raise PydanticCustomError("integer_size", "Integers must fit into 64 bits")


CleanStr = Annotated[str, AfterValidator(_clean)]
"""Text without NUL and lone surrogates. Add length limits with `Field`."""

CleanSecret = Annotated[SecretStr, AfterValidator(_clean_secret)]
"""Clean text that never appears in a log, not even in the `repr` of the body."""

CleanJson = Annotated[Any, AfterValidator(_clean_json)]
"""Any JSON value: finite numbers, 64-bit integers, clean text, nested no deeper than `MAX_DEPTH`."""

CleanObject = Annotated[dict[str, Any], AfterValidator(_clean_json)]
"""A JSON object with the limits of `CleanJson`."""

CleanRow = Annotated[dict[str, Any] | list[Any], AfterValidator(_clean_row)]
"""A row: an object or a list of values with the limits of `CleanJson`; raises at most one error."""
