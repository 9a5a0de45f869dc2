"""Structured logs on stderr: one line a record, JSON in production, readable in development."""

import logging
import sys
from functools import lru_cache
from typing import Any

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from app.core.config import Settings

_NOISY = {"arq": logging.WARNING, "uvicorn.access": logging.WARNING, "uvicorn.error": logging.WARNING}
_SECRET_NAMES = ("password", "secret", "token", "authorization", "ticket", "cookie")


class _Writer(structlog.WriteLogger):
    """Writes the records of one module."""

    def __init__(self, name: str) -> None:
        super().__init__(sys.stderr)
        self.name = name


def configure(settings: Settings) -> None:
    """Give the records of structlog and of the standard library one form.

    Ours are written at once: by way of the standard library each would take three times as long, and there
    is one for every request.
    """
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        hide_secrets,
    ]
    rendering = _rendering(settings)
    level = logging.getLevelNamesMapping()[settings.log_level.upper()]
    structlog.configure(
        processors=[*shared, *rendering],
        logger_factory=_Writer,
        wrapper_class=structlog.make_filtering_bound_logger(level),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    forget = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=[forget, *rendering])
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


def _rendering(settings: Settings) -> list[Processor]:
    if settings.is_production:
        return [_tracebacks, structlog.processors.JSONRenderer()]
    return [
        _escape_lines,
        structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
        ),
    ]


# structlog's own `dict_tracebacks` prints every local variable: passwords, tokens, whole bodies.
_tracebacks = structlog.processors.ExceptionRenderer(
    structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
)


def hide_secrets(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Blank out every value whose name says that it is a secret."""
    for name in event:
        if _is_secret(name):
            event[name] = "[hidden]"
    return event


@lru_cache(maxsize=1024)
def _is_secret(name: str) -> bool:
    return any(secret in name.lower() for secret in _SECRET_NAMES)


def _escape_lines(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Keep a record on its line: a user's text must not look like a record of its own."""
    return {name: _escaped(value) for name, value in event.items()}


def _escaped(value: Any) -> Any:
    if not isinstance(value, str) or value.isprintable():
        return value
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in value)
