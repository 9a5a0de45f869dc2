"""Which spans are sampled, and with which attributes they start."""

import pytest
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.trace.sampling import Decision
from opentelemetry.trace import Link, NonRecordingSpan, SpanContext, SpanKind, TraceFlags

from app.core import tracing
from app.core.tracing.provider import ShareSampler

SMALLEST_TRACE_ID = 1
SAMPLED, NOT_SAMPLED = TraceFlags(1), TraceFlags(0)


def context(flags: TraceFlags, *, is_remote: bool) -> SpanContext:
    return SpanContext(SMALLEST_TRACE_ID, 1, is_remote=is_remote, trace_flags=flags)


def below(flags: TraceFlags, *, is_remote: bool) -> Context:
    return trace.set_span_in_context(NonRecordingSpan(context(flags, is_remote=is_remote)), Context())


def is_sampled(share: float, parent: Context, links: tuple[Link, ...] = ()) -> bool:
    result = ShareSampler(share).should_sample(parent, SMALLEST_TRACE_ID, "any", links=links)
    return result.decision is Decision.RECORD_AND_SAMPLE


@pytest.mark.parametrize("flags", [SAMPLED, NOT_SAMPLED])
@pytest.mark.parametrize("share", [0.0, 1.0])
def test_a_share_of_0_takes_none_and_of_1_all_whatever_an_unknown_client_says(
    share: float, flags: TraceFlags
) -> None:
    assert is_sampled(share, below(flags, is_remote=True)) is (share == 1.0)


def test_the_flag_of_a_trusted_client_decides() -> None:
    with tracing.trusting_client():
        assert is_sampled(0.0, below(SAMPLED, is_remote=True))
        assert not is_sampled(1.0, below(NOT_SAMPLED, is_remote=True))
    assert not is_sampled(0.0, below(SAMPLED, is_remote=True))


def test_a_span_follows_its_parent_in_this_process_and_the_span_that_it_links_to() -> None:
    assert is_sampled(0.0, below(SAMPLED, is_remote=False))
    assert not is_sampled(1.0, below(NOT_SAMPLED, is_remote=False))
    assert is_sampled(0.0, Context(), (Link(context(SAMPLED, is_remote=True)),))
    assert not is_sampled(1.0, Context(), (Link(context(NOT_SAMPLED, is_remote=True)),))


def test_about_the_share_of_many_requests_is_taken() -> None:
    sampled = sum(is_sampled(0.5, below(SAMPLED, is_remote=True)) for _ in range(2000))

    assert 800 < sampled < 1200  # nine standard deviations


def test_a_request_that_names_no_trace_is_drawn_before_its_span() -> None:
    assert is_sampled(0.0, Context())
    assert (ShareSampler(0.0).draw(), ShareSampler(1.0).draw()) == (False, True)


def test_a_request_starts_without_what_its_client_wrote() -> None:
    given = {
        "http.request.method": "GET",
        "network.protocol.version": "1.1",
        "url.scheme": "http",
        "url.path": "/models/mine",
        "url.query": "ticket=secret",
        "server.address": "anything.example",
        "http.request.method_original": "ANYTHING",
    }

    result = ShareSampler(1.0).should_sample(
        Context(), SMALLEST_TRACE_ID, "GET", SpanKind.SERVER, attributes=given
    )

    assert dict(result.attributes) == {
        "http.request.method": "GET",
        "network.protocol.version": "1.1",
        "url.scheme": "http",
    }
