"""The tracing of a process that has a collector. Imported only then: it loads the OpenTelemetry SDK."""

import asyncio
import random
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final
from urllib.parse import unquote
from uuid import UUID

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import Decision, Sampler, SamplingResult
from opentelemetry.trace import Link, Span, SpanContext, SpanKind, StatusCode, TraceFlags, TraceState
from opentelemetry.util import types

from app.core import tracing
from app.core.component import Component
from app.core.config import Settings
from app.core.tracing.export import SpanQueue
from app.core.version import VERSION

_TRACE_CONTEXT: Final = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")
_CODE: Final = re.compile(r"[A-Za-z0-9_.]{1,64}")

_OF_REQUESTS: Final = frozenset({"http.request.method", "network.protocol.version", "url.scheme"})
"""What a request's span starts with. Path, query and host are text of a client, and a ticket may stand in the
query of any path; the route's template, the status and the type of an exception are added later."""


class Tracing:
    """Makes the spans of this process, and exports them."""

    def __init__(self, settings: Settings, component: Component) -> None:
        endpoint, headers = settings.otel_exporter_otlp_endpoint, settings.otel_exporter_otlp_headers
        exporter = OTLPSpanExporter(
            endpoint=f"{(endpoint or '').rstrip('/')}/v1/traces",
            headers=_parse_headers("" if headers is None else headers.get_secret_value()),
        )
        self._queue = SpanQueue(exporter)
        self.sampler = ShareSampler(settings.trace_share)
        self.provider = TracerProvider(
            sampler=self.sampler,
            resource=Resource.create(
                {
                    "service.namespace": "headrace",
                    "service.name": f"headrace-{component}",
                    "service.version": VERSION,
                }
            ),
            shutdown_on_exit=False,
        )
        self.provider.add_span_processor(self._queue)
        self._tracer = self.provider.get_tracer("headrace", VERSION)

    def start(self) -> None:
        """Start to export."""
        self._queue.start()

    async def stop(self, seconds: float) -> None:
        """Export what is left, and give up after `seconds`. Spans that end later are dropped."""
        await asyncio.to_thread(self._queue.stop, seconds)

    def current(self) -> tracing.SpanIds | None:
        """Return the ids of the current span if it is sampled."""
        context = trace.get_current_span().get_span_context()
        if not context.trace_flags.sampled:
            return None
        return tracing.SpanIds(f"{context.trace_id:032x}", f"{context.span_id:016x}")

    @contextmanager
    def sending(self, queue: str | None, *, job_id: UUID | None, jobs: int | None) -> Iterator[tracing.Send]:
        """See `app.core.tracing.sending`."""
        request = trace.get_current_span().get_span_context()
        if not request.trace_flags.sampled:
            yield tracing.Send()  # unsampled spans cost time too
            return
        attributes = _messaging("send", queue)
        if job_id is not None:
            attributes["messaging.message.id"] = str(job_id)
        if jobs is not None:
            attributes["messaging.batch.message_count"] = jobs
        name = "send" if queue is None else f"send {queue}"
        span = self._tracer.start_span(name, kind=SpanKind.PRODUCER, attributes=attributes)
        send = tracing.Send(_trace_context(span.get_span_context()))
        yield send
        if not send.is_replay:
            span.end()  # a span that does not end is never exported

    @contextmanager
    def processing(self, trace_context: str, queue: str, attributes: tracing.Attributes) -> Iterator[None]:
        """See `app.core.tracing.processing`."""
        sent = _parse_trace_context(trace_context)
        if sent is None:
            yield
            return
        with self._tracer.start_as_current_span(
            f"process {queue}",
            context=Context(),
            kind=SpanKind.CONSUMER,
            links=[Link(sent)],
            attributes={**_messaging("process", queue), **attributes},
            record_exception=False,  # its text may hold what the user sent
            set_status_on_exception=False,
        ) as span:
            try:
                yield
            except BaseException as error:
                _mark_failed(span, type(error).__qualname__)
                raise

    def mark_failed(self, error_type: str) -> None:
        """See `app.core.tracing.mark_failed`."""
        _mark_failed(trace.get_current_span(), error_type)

    def record(self, name: str, start_ns: int, end_ns: int, attributes: tracing.Attributes) -> None:
        """See `app.core.tracing.record`."""
        if not trace.get_current_span().is_recording():
            return
        self._tracer.start_span(name, start_time=start_ns, attributes=attributes).end(end_ns)


class ShareSampler(Sampler):
    """Samples a share of the requests; what belongs to a request or links to one follows its decision.

    A client may name the trace of its request, but only the sampled flag of a trusted client counts. The
    share is drawn at random: computed from the trace's id, it would let clients choose to be sampled.
    """

    def __init__(self, share: float) -> None:
        self._share = share

    def should_sample(
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        attributes: types.Attributes = None,
        links: Sequence[Link] | None = None,
        trace_state: TraceState | None = None,
    ) -> SamplingResult:
        """Decide about a span, and which attributes it starts with. Drops the client's `tracestate`."""
        if not self._is_sampled(trace.get_current_span(parent_context).get_span_context(), links):
            return SamplingResult(Decision.DROP)
        if kind is SpanKind.SERVER and attributes is not None:
            attributes = {name: value for name, value in attributes.items() if name in _OF_REQUESTS}
        return SamplingResult(Decision.RECORD_AND_SAMPLE, attributes)

    def draw(self) -> bool:
        """Whether one request belongs to the share."""
        return random.random() < self._share  # noqa: S311  # nothing depends on its being secret

    def get_description(self) -> str:
        """Describe the sampler."""
        return f"ShareSampler{{{self._share}}}"

    def _is_sampled(self, parent: SpanContext, links: Sequence[Link] | None) -> bool:
        if parent.is_valid and (not parent.is_remote or tracing.trusts_client()):
            return parent.trace_flags.sampled
        if links:
            return any(link.context.trace_flags.sampled for link in links)
        return not parent.is_valid or self.draw()  # a request that names no trace was drawn before


def _messaging(operation: str, queue: str | None) -> dict[str, str | int | float]:
    attributes: dict[str, str | int | float] = {
        "messaging.system": "headrace",
        "messaging.operation.type": operation,
    }
    if queue is not None:
        attributes["messaging.destination.name"] = queue
    return attributes


def _mark_failed(span: Span, error_type: str) -> None:
    # A handler chooses its codes itself.
    span.set_attribute("error.type", error_type if _CODE.fullmatch(error_type) else "other")
    span.set_status(StatusCode.ERROR)


def _trace_context(context: SpanContext) -> str | None:
    """Return the context as a `traceparent` (W3C Trace Context); None if it is not sampled."""
    if not context.trace_flags.sampled:
        return None
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"


def _parse_trace_context(text: str) -> SpanContext | None:
    found = _TRACE_CONTEXT.fullmatch(text)
    if found is None:
        return None
    trace_id, span_id, flags = (int(part, 16) for part in found.groups())
    return SpanContext(trace_id, span_id, is_remote=True, trace_flags=TraceFlags(flags))


def _parse_headers(text: str) -> dict[str, str]:
    """Parse `name=value,…` with percent-encoded values, as the OTLP specification defines it."""
    pairs = (pair.partition("=") for pair in text.split(",") if pair.strip())
    return {name.strip().lower(): unquote(value.strip()) for name, _, value in pairs}
