"""Templates: the requests that schedules submit, as they are checked, stored and read."""

from collections.abc import Mapping
from typing import Any, Final

from pydantic import ValidationError

from app.http import serializing
from app.jobs.kinds.kind import Kind
from app.jobs.requests import JobOptions
from app.schedules.errors import (
    KindUnknown,
    NotOneJob,
    ResubmissionInTemplate,
    StartInTemplate,
    TemplateInvalid,
    TemplateTooLarge,
)

MAX_BYTES: Final = 64 * 1024
"""Most bytes of a template as JSON."""

KIND: Final = "kind"
_STARTS: Final = ("run_at", "delay_seconds")


def to_stored(kind: Kind, request: JobOptions) -> dict[str, Any]:
    """Return a request as it is stored: without defaults, so that each job gets those of its time.

    Raises StartInTemplate, TemplateTooLarge and NotOneJob.
    """
    for field in _STARTS:
        if getattr(request, field) is not None:
            raise StartInTemplate(field=field)
    if request.resubmitted_from is not None:
        raise ResubmissionInTemplate(field="resubmitted_from")
    stored = request.model_dump(mode="json", exclude_unset=True)
    size = len(serializing.encode(stored))
    if size > MAX_BYTES:
        raise TemplateTooLarge(limit=MAX_BYTES, got=size)
    if kind.fan_out(request) is not None:
        raise NotOneJob
    return stored


def kind_of(kinds: Mapping[str, Kind], name: str) -> Kind:
    """Return the kind of a template; raises KindUnknown."""
    kind = kinds.get(name)
    if kind is None:
        raise KindUnknown(kind=name)
    return kind


def to_request(kind: Kind, stored: Mapping[str, Any]) -> JobOptions:
    """Read a stored template. Raises TemplateInvalid if the kind has changed and no longer takes it."""
    try:
        return kind.request.model_validate({name: stored[name] for name in stored if name != KIND})
    except ValidationError as error:
        [fault, *_] = error.errors(include_url=False, include_input=False)
        path = ".".join(str(part) for part in fault["loc"])
        message = fault["msg"].removeprefix("Value error, ")
        raise TemplateInvalid(reason=f"{path}: {message}" if path else message) from None
