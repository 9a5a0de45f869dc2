"""Translates the errors of FastAPI for unreadable bodies: invalid JSON, or a wrong Content-Type."""

import json
import re
from collections.abc import Sequence
from typing import Any, Final

from fastapi import params
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.types import Scope

from app.core.errors import AppError
from app.http.errors import MalformedJson, UnreadableJson, UnsupportedMediaType

JSON: Final = "application/json"
FORM: Final = "application/x-www-form-urlencoded"
_FORMS: Final = (FORM, "multipart/form-data")
_MAX_SHOWN: Final = 100
_LOCATION: Final = re.compile(r"(?:JSON decode error: )?(.*) at line (\d+) column (\d+)")


def cause(scope: Scope, error: RequestValidationError) -> AppError | None:
    """The error of the body as a whole; None if only single fields are invalid."""
    faults = error.errors()
    if not any(fault["loc"][:1] == ("body",) for fault in faults):
        return None
    if (wrong := _wrong_media_type(scope)) is not None:
        return wrong
    malformed = next((fault for fault in faults if fault["type"] == "json_invalid"), None)
    return None if malformed is None else _malformed(malformed, error.body)


def cause_of_400(error: HTTPException) -> AppError | None:
    """The cause of FastAPI's "There was an error parsing the body"; None for any other 400."""
    match error.__cause__:
        case UnicodeDecodeError():
            return UnreadableJson(reason="it is not UTF-8")
        case RecursionError():
            return UnreadableJson(reason="it is nested too deeply")
        case ValueError():
            return UnreadableJson(reason="a number has too many digits")
    return None


def _wrong_media_type(scope: Scope) -> UnsupportedMediaType | None:
    headers: dict[bytes, bytes] = dict(scope["headers"])
    body = getattr(scope.get("route"), "body_field", None)
    if body is None or not _has_body(headers):
        return None
    sent = headers.get(b"content-type", b"").decode("latin-1")
    media_type = sent.partition(";")[0].strip().lower()
    if isinstance(body.field_info, params.Form):
        expected, is_expected = FORM, media_type in _FORMS
    else:
        expected, is_expected = JSON, is_json(media_type)
    return None if is_expected else UnsupportedMediaType(expected=expected, got=sent[:_MAX_SHOWN] or "none")


def is_json(media_type: str) -> bool:
    """Whether this is the media type of JSON, or of a format based on it (`+json`)."""
    return media_type == JSON or (media_type.startswith("application/") and media_type.endswith("+json"))


def _has_body(headers: dict[bytes, bytes]) -> bool:
    return headers.get(b"content-length", b"0") != b"0" or b"transfer-encoding" in headers


def _malformed(fault: dict[str, Any], text: Any) -> AppError:
    """The error with line and column. FastAPI gives a character offset, pydantic's parser line and column."""
    if (reported := _LOCATION.fullmatch(fault["msg"])) is not None:
        return MalformedJson(reason=_sentence(reported[1]), line=int(reported[2]), column=int(reported[3]))
    location: Sequence[str | int] = fault["loc"]
    position = location[-1]
    if not isinstance(text, str) or not isinstance(position, int):
        return UnreadableJson(reason=fault["msg"])
    found = json.JSONDecodeError("", text, position)
    return MalformedJson(reason=_sentence(fault["ctx"]["error"]), line=found.lineno, column=found.colno)


def _sentence(reason: str) -> str:
    reason = reason.removesuffix(" at").removesuffix(" starting")
    return reason[:1].lower() + reason[1:]
