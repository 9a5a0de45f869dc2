"""Traces: the spans of requests and jobs, exported to an OpenTelemetry collector.

    with tracing.sending("default", job_id=new.id) as send:      # in the API
        ... INSERT, with send.trace_context
    with tracing.processing(job.trace_context, ...):             # in the worker, perhaps hours later
        ...

No other package imports OpenTelemetry. This module does so when it finds OTEL_EXPORTER_OTLP_ENDPOINT, by its
import of `provider`; without the setting, every function here returns at once.

A process has one tracing, as it has one registry of metrics: FastAPI, the worker and the log share it.
Attributes contain no text of a user and no text of an exception.
"""

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias
from uuid import UUID

from app.core import metrics
from app.core.component import Component
from app.core.config import Settings
from app.core.errors import ConfigurationError

if TYPE_CHECKING:
    from app.core.tracing.provider import Tracing

STOP_SECONDS: Final = 2.0
"""How long a process that stops waits for the collector to take its last spans."""

Attributes: TypeAlias = Mapping[str, str | int | float]

_trusts_client: Final[ContextVar[bool]] = ContextVar("trusts_client", default=False)


class _Process:
    """The tracing of this process; None while it is off."""

    tracing: "Tracing | None" = None


@dataclass(frozen=True, slots=True)
class SpanIds:
    """The ids of a sampled span, in hexadecimal."""

    trace_id: str
    span_id: str


@dataclass(slots=True)
class Send:
    """The submission of jobs. `trace_context` is stored with them; None unless the request is sampled."""

    trace_context: str | None = None
    is_replay: bool = False


def prepare(settings: Settings, component: Component) -> "Tracing | None":
    """Return the tracing for this process, or None if no endpoint is set. `running` starts it.

    Raises ConfigurationError if the extra `otel` is not installed.
    """
    if settings.otel_exporter_otlp_endpoint is None:
        return None
    try:
        from app.core.tracing.provider import Tracing
    except ImportError as error:
        raise ConfigurationError(
            "OTEL_EXPORTER_OTLP_ENDPOINT: traces need the extra 'otel', which is not installed"
            f" ({error.name} is missing); run `pip install -r requirements/runtime.txt`"
        ) from None
    return Tracing(settings, component)


@asynccontextmanager
async def running(prepared: "Tracing | None") -> AsyncIterator[None]:
    """Record and export spans during the body; at its end, wait at most STOP_SECONDS for the last ones."""
    if prepared is None:
        yield
        return
    _Process.tracing = prepared
    prepared.start()
    metrics.take_exemplars_from(current_trace_id)
    try:
        yield
    finally:
        _Process.tracing = None
        await prepared.stop(STOP_SECONDS)


@contextmanager
def trusting_client() -> Iterator[None]:
    """Follow the sampled flag of this request's `traceparent`. Its trace id is followed in any case."""
    token = _trusts_client.set(True)
    try:
        yield
    finally:
        _trusts_client.reset(token)


def trusts_client() -> bool:
    """Whether the sampled flag of this request's `traceparent` counts."""
    return _trusts_client.get()


def current() -> SpanIds | None:
    """Return the ids of the current span if it is sampled."""
    tracing = _Process.tracing
    return None if tracing is None else tracing.current()


def current_trace_id() -> str | None:
    """Return the trace of the current span if it is sampled."""
    ids = current()
    return None if ids is None else ids.trace_id


def trace_id_of(trace_context: str | None) -> str | None:
    """Return the trace in which a job was submitted, if that was traced."""
    return None if trace_context is None else trace_context[3:35]


@contextmanager
def sending(queue: str | None, *, job_id: UUID | None = None, jobs: int | None = None) -> Iterator[Send]:
    """Record the submission of a job, or of several `jobs` in one span. `queue` is None for several queues.

    Records nothing if the request is not sampled, if the body raises, and if it sets `is_replay`.
    """
    tracing = _Process.tracing
    if tracing is None:
        yield Send()
        return
    with tracing.sending(queue, job_id=job_id, jobs=jobs) as send:
        yield send


@contextmanager
def processing(
    trace_context: str | None,
    *,
    queue: str,
    kind: str,
    job_id: UUID,
    attempt: int,
    waited_seconds: float,
) -> Iterator[None]:
    """Record an attempt in its own trace, with a link to the submission; nothing if that was not sampled.

    It is a link and not a parent because an attempt may start hours later, or be the fourth.
    """
    tracing = _Process.tracing
    if tracing is None or trace_context is None:
        yield
        return
    attributes: dict[str, str | int | float] = {
        "messaging.message.id": str(job_id),
        "headrace.job.kind": kind,
        "headrace.job.attempt": attempt,
        "headrace.job.wait_seconds": round(max(0.0, waited_seconds), 6),
    }
    with tracing.processing(trace_context, queue, attributes):
        yield


def mark_failed(error_type: str) -> None:
    """Record that what the current span stands for has failed: its `error.type`, a stable code."""
    if _Process.tracing is not None:
        _Process.tracing.mark_failed(error_type)


def record(name: str, start_ns: int, end_ns: int, attributes: Attributes) -> None:
    """Record a part of the current span that is over; its times are nanoseconds since 1970."""
    if _Process.tracing is not None:
        _Process.tracing.record(name, start_ns, end_ns, attributes)
