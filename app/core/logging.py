"""Structured logging to stderr: one line per record, JSON in production, plain text in development."""

import json
import logging
import re
import sys
from functools import lru_cache
from typing import Any

import msgspec
import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from app.core import tracing
from app.core.component import Component
from app.core.config import Settings
from app.core.version import VERSION

_NOISY = {
    "arq": logging.WARNING,
    "uvicorn.access": logging.WARNING,
    "uvicorn.error": logging.WARNING,
    "opentelemetry": logging.ERROR,  # its warnings quote headers that it cannot parse
}
# Users paste them into paths. `app.auth.api_keys.key_format` defines the format; core cannot import it.
_API_KEY = re.compile(r"hr_[0-9a-f]{32}_[0-9A-Za-z]+")
_SECRET_NAMES = ("password", "secret", "token", "authorization", "ticket", "cookie")


class _NamedLogger(structlog.WriteLogger):
    """Writes to stderr and has the module's name, which `add_logger_name` needs."""

    def __init__(self, name: str) -> None:
        super().__init__(sys.stderr)
        self.name = name


def configure(settings: Settings, component: Component = Component.CLI) -> None:
    """Configure structlog and the standard library's logging to write the same format.

    In production, each record names the component, the version and, where POD_NAME is set, the pod.

    structlog records bypass the standard library, which would take three times as long for each; every
    request writes one.
    """
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        add_span,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        hide_secrets,
    ]
    rendering = _rendering(settings, component)
    level = logging.getLevelNamesMapping()[settings.log_level]
    structlog.configure(
        processors=[*shared, *rendering],
        logger_factory=_NamedLogger,
        wrapper_class=structlog.make_filtering_bound_logger(level),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    remove_meta = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=[remove_meta, *rendering])
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
    for name, quiet_level in _NOISY.items():
        logging.getLogger(name).setLevel(max(quiet_level, level))
    if settings.dataset_quota_bytes is not None:
        structlog.get_logger(__name__).warning(
            "setting_deprecated", setting="DATASET_QUOTA_BYTES", use="MAX_USER_BYTES"
        )


def _rendering(settings: Settings, component: Component) -> list[Processor]:
    if settings.is_production:
        to_json = structlog.processors.JSONRenderer(serializer=_to_json)
        return [_identify(component, settings.pod_name), _tracebacks, to_json]
    return [
        _escape_lines,
        structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
        ),
    ]


def _to_json(event: EventDict, **options: Any) -> str:
    """Encode a record as printable ASCII.

    `json.dumps` escapes all else and takes every type, but five times as long; every request writes a record.
    """
    try:
        text = msgspec.json.encode(event).decode()
    except (TypeError, ValueError, RecursionError):  # a type of neither JSON nor msgspec, or a lone surrogate
        return json.dumps(event, **options)
    return text if text.isascii() and text.isprintable() else json.dumps(event, **options)


def _identify(component: Component, pod_name: str | None) -> Processor:
    """Return a processor that adds the origin of a record."""
    origin = {"service": str(component), "version": VERSION}
    if pod_name is not None:
        origin["pod"] = pod_name

    def identify(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        event.update(origin)
        return event

    return identify


# structlog's default `dict_tracebacks` logs local variables: passwords, tokens, whole bodies.
_tracebacks = structlog.processors.ExceptionRenderer(
    structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
)


def add_span(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Add the ids of the current span if it is sampled."""
    ids = tracing.current()
    if ids is not None:
        event["trace_id"], event["span_id"] = ids.trace_id, ids.span_id
    return event


def hide_secrets(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Replace values whose names are those of secrets, and API keys in any text."""
    for name, value in event.items():
        if _is_secret(name):
            event[name] = "[hidden]"
        elif isinstance(value, str) and "hr_" in value:
            event[name] = _API_KEY.sub("[hidden]", value)
    return event


@lru_cache(maxsize=1024)
def _is_secret(name: str) -> bool:
    return any(secret in name.lower() for secret in _SECRET_NAMES)


def _escape_lines(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Escape line breaks and control characters, so that user input cannot forge a log record."""
    return {name: _escape(value) for name, value in event.items()}


def _escape(value: Any) -> Any:
    if not isinstance(value, str) or value.isprintable():
        return value
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in value)
