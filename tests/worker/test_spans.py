"""The spans that a worker makes of what its children report."""

from collections.abc import AsyncIterator
from dataclasses import replace
from time import time_ns

import pytest

from app.core import ids, metrics, tracing
from app.core.component import Component
from app.core.config import load_settings
from app.core.tracing.provider import Tracing
from app.jobs.transition_types import ClaimedJob
from tests.support.collector import Collector, collecting
from worker import spans
from worker.children.messages import Phase, PhaseEnded, PhaseStarted
from worker.spans import MAX_PHASES, Phases

SENT = ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331")
JOB = ClaimedJob(
    id=ids.new_id(),
    attempt=2,
    owner_id=ids.new_id(),
    kind="batch_predict",
    queue="default",
    params=b'{"model":{"name":"secret name","version":7,"runtime":"onnx"},"batch_size":10}',
    rows=None,
    total=3,
    next_batch=0,
    done=0,
    checkpoint=None,
    soft_limit_seconds=60,
    time_limit_seconds=60,
    failures=0,
    max_attempts=3,
    waited_seconds=-0.5,
    trace_context=f"00-{SENT[0]}-{SENT[1]}-01",
)
HOUR_NS = 3600 * 10**9


@pytest.fixture
async def collector() -> AsyncIterator[Collector]:
    """A collector for the spans of this process."""
    with collecting() as opened:
        yield opened


def prepare(collector: Collector) -> Tracing | None:
    settings = load_settings(
        _env_file=None,
        database_url="postgresql://nowhere",
        redis_url="redis://nowhere",
        otel_exporter_otlp_endpoint=f"{collector.url}/",
        trace_share=0,
    )
    return tracing.prepare(settings, Component.WORKER)


async def test_a_phase_is_a_span_within_its_attempt(collector: Collector) -> None:
    async with tracing.running(prepare(collector)):
        with spans.of_attempt(JOB), Phases(JOB) as phases:
            assert phases.are_traced
            phases.start(PhaseStarted(Phase.LOAD_MODEL, time_ns()))
            phases.end(PhaseEnded(time_ns(), rows=0))
            phases.start(PhaseStarted(Phase.PREDICT, time_ns()))
            phases.end(PhaseEnded(time_ns(), rows=3))

    attempt = collector.only("process default")
    load, predict = collector.only("load model"), collector.only("predict")
    assert attempt.links == (SENT,)
    assert attempt.attributes["headrace.job.wait_seconds"] == 0
    assert (load.parent_id, predict.parent_id) == (attempt.span_id, attempt.span_id)
    of_model = {"headrace.model.version": 7, "headrace.model.runtime": "onnx"}
    assert load.attributes == of_model
    assert predict.attributes == {**of_model, "headrace.rows": 3}
    assert b"secret name" not in b"".join(collector.bodies)


async def test_a_child_that_dies_in_a_phase_leaves_its_span(collector: Collector) -> None:
    async with tracing.running(prepare(collector)):
        with pytest.raises(RuntimeError):
            _die_in_a_phase()

    attempt = collector.only("process default")
    assert collector.only("train").parent_id == attempt.span_id
    assert attempt.is_error
    assert attempt.attributes["error.type"] == "RuntimeError"
    assert b"somebody" not in b"".join(collector.bodies)


def _die_in_a_phase() -> None:
    with spans.of_attempt(JOB), Phases(JOB) as phases:
        phases.start(PhaseStarted(Phase.TRAIN, time_ns()))
        raise RuntimeError("the child of somebody has died")


async def test_the_times_of_a_child_are_kept_within_its_attempt(collector: Collector) -> None:
    async with tracing.running(prepare(collector)):
        with spans.of_attempt(JOB), Phases(JOB) as phases:
            phases.start(PhaseStarted(Phase.TRAIN, time_ns() + HOUR_NS))
            phases.end(PhaseEnded(time_ns() - HOUR_NS))
            phases.start(PhaseStarted(Phase.TRAIN, -(2**62)))
            phases.end(PhaseEnded(2**62))

    attempt = collector.only("process default")
    for phase in collector.named("train"):
        assert attempt.start_ns <= phase.start_ns <= phase.end_ns <= attempt.end_ns


async def test_a_child_cannot_send_phases_without_end(collector: Collector) -> None:
    async with tracing.running(prepare(collector)):
        with spans.of_attempt(JOB), Phases(JOB) as phases:
            for _ in range(5 * MAX_PHASES):
                phases.start(PhaseStarted(Phase.PREDICT, time_ns()))

    assert len(collector.named("predict")) == MAX_PHASES


@pytest.mark.parametrize("trace_context", [None, "", "00-nonsense", f"00-{SENT[0]}-{SENT[1]}-00"])
async def test_an_attempt_without_a_sampled_submission_has_no_spans(
    collector: Collector, trace_context: str | None
) -> None:
    job = replace(JOB, trace_context=trace_context)
    async with tracing.running(prepare(collector)):
        with spans.of_attempt(job), Phases(job) as phases:
            assert not phases.are_traced
            phases.start(PhaseStarted(Phase.TRAIN, time_ns()))

    assert collector.spans == []


async def test_the_code_of_a_failure_is_exported_only_if_it_is_a_code(collector: Collector) -> None:
    async with tracing.running(prepare(collector)):
        for code in ("time_limit", "the text of ada", "x" * 65):
            with spans.of_attempt(JOB):
                tracing.mark_failed(code)

    assert [span.attributes["error.type"] for span in collector.named("process")] == [
        "time_limit",
        "other",
        "other",
    ]
    assert all(span.is_error for span in collector.spans)


async def test_an_observation_in_a_sampled_span_names_its_trace(collector: Collector) -> None:
    async with tracing.running(prepare(collector)):
        outside = metrics.exemplar()
        with spans.of_attempt(JOB):
            inside = metrics.exemplar()

    assert outside is None
    assert inside == {"trace_id": collector.only("process").trace_id}
    assert metrics.exemplar(tracing.trace_id_of(JOB.trace_context)) == {"trace_id": SENT[0]}
    assert metrics.exemplar(tracing.trace_id_of(None)) is None
