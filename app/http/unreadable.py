"""Why FastAPI could not read a body: it is no JSON, or the request says that it is something else."""

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
_PLACE: Final = re.compile(r"(?:JSON decode error: )?(.*) at line (\d+) column (\d+)")


def cause(scope: Scope, error: RequestValidationError) -> AppError | None:
    """What is wrong with the body as a whole; None if single fields of the request are."""
    faults = error.errors()
    if not any(fault["loc"][:1] == ("body",) for fault in faults):
        return None
    if (wrong := _wrong_media_type(scope)) is not None:
        return wrong
    malformed = next((fault for fault in faults if fault["type"] == "json_invalid"), None)
    return None if malformed is None else _malformed(malformed, error.body)


def cause_of_400(error: HTTPException) -> AppError | None:
    """What FastAPI means by "There was an error parsing the body"; None if it means something else."""
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
    said = headers.get(b"content-type", b"").decode("latin-1")
    media_type = said.partition(";")[0].strip().lower()
    if isinstance(body.field_info, params.Form):
        expected, fits = FORM, media_type in _FORMS
    else:
        expected, fits = JSON, is_json(media_type)
    return None if fits else UnsupportedMediaType(expected=expected, got=said[:_MAX_SHOWN] or "none")


def is_json(media_type: str) -> bool:
    """Whether this is the media type of JSON, or of a format made of it."""
    return media_type == JSON or (media_type.startswith("application/") and media_type.endswith("+json"))


def _has_body(headers: dict[bytes, bytes]) -> bool:
    return headers.get(b"content-length", b"0") != b"0" or b"transfer-encoding" in headers


def _malformed(fault: dict[str, Any], text: Any) -> AppError:
    """FastAPI says the place as a number of characters, pydantic's own parser as line and column."""
    if (place := _PLACE.fullmatch(fault["msg"])) is not None:
        return MalformedJson(reason=_sentence(place[1]), line=int(place[2]), column=int(place[3]))
    location: Sequence[str | int] = fault["loc"]
    position = location[-1]
    if not isinstance(text, str) or not isinstance(position, int):
        return UnreadableJson(reason=fault["msg"])
    found = json.JSONDecodeError("", text, position)
    return MalformedJson(reason=_sentence(fault["ctx"]["error"]), line=found.lineno, column=found.colno)


def _sentence(reason: str) -> str:
    reason = reason.removesuffix(" at").removesuffix(" starting")
    return reason[:1].lower() + reason[1:]
