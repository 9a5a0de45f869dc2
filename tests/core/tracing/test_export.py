"""Spans on their way to a collector: bounded, counted, and never in the way of the process."""

import threading
from collections.abc import Iterator, Sequence

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from structlog.testing import capture_logs

from app.core import metrics
from app.core.tracing.export import SpanQueue

SECONDS = 20.0


class Exporter(SpanExporter):
    """Takes spans, refuses them, or does not answer while `answers` is clear."""

    def __init__(self) -> None:
        self.taken: list[str] = []
        self.result = SpanExportResult.SUCCESS
        self.called = threading.Semaphore(0)
        self.answers = threading.Event()
        self.answers.set()
        self.is_shut_down = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.called.release()
        assert self.answers.wait(SECONDS)
        if self.result is SpanExportResult.SUCCESS:
            self.taken += [span.name for span in spans]
        return self.result

    def shutdown(self) -> None:
        self.is_shut_down = True

    def wait_called(self) -> None:
        assert self.called.acquire(timeout=SECONDS)


@pytest.fixture
def exporter() -> Iterator[Exporter]:
    opened = Exporter()
    yield opened
    opened.answers.set()


def span(name: str) -> ReadableSpan:
    started = TracerProvider(shutdown_on_exit=False).get_tracer("test").start_span(name)
    assert isinstance(started, ReadableSpan)
    return started


def dropped() -> float:
    [family] = metrics.SPANS_DROPPED.collect()
    return next(sample.value for sample in family.samples if sample.name.endswith("_total"))


def test_what_is_queued_is_exported_before_the_process_stops(exporter: Exporter) -> None:
    queue = SpanQueue(exporter, every_seconds=SECONDS, batch_spans=2)
    queue.start()

    for name in ("a", "b", "c"):
        queue.on_end(span(name))
    queue.stop(SECONDS)

    assert exporter.taken == ["a", "b", "c"]
    assert exporter.is_shut_down


def test_a_full_queue_drops_the_newest_and_counts_it(exporter: Exporter) -> None:
    before = dropped()
    exporter.answers.clear()
    queue = SpanQueue(exporter, max_spans=2, batch_spans=1, every_seconds=SECONDS)
    queue.start()
    queue.on_end(span("on its way"))
    exporter.wait_called()

    for name in ("first", "second", "too many"):
        queue.on_end(span(name))
    assert dropped() == before + 1
    exporter.answers.set()
    queue.stop(SECONDS)

    assert exporter.taken == ["on its way", "first", "second"]


def test_a_collector_that_does_not_answer_does_not_keep_the_process_from_stopping(
    exporter: Exporter,
) -> None:
    before = dropped()
    exporter.answers.clear()
    queue = SpanQueue(exporter, batch_spans=1, every_seconds=SECONDS)
    queue.start()
    queue.on_end(span("on its way"))
    exporter.wait_called()
    queue.on_end(span("left"))

    queue.stop(0.01)  # returns although the exporter waits for longer than this test may take

    assert exporter.is_shut_down
    assert dropped() == before + 1
    queue.on_end(span("late"))
    assert dropped() == before + 2


def test_a_collector_that_is_away_costs_one_line_and_one_more_when_it_is_back(exporter: Exporter) -> None:
    before = dropped()
    exporter.result = SpanExportResult.FAILURE
    queue = SpanQueue(exporter, batch_spans=1, every_seconds=SECONDS)

    with capture_logs() as logs:
        for _ in range(5):
            queue.on_end(span("lost"))
        queue._export_all()
        exporter.result = SpanExportResult.SUCCESS
        queue.on_end(span("taken"))
        queue._export_all()

    assert [line["event"] for line in logs] == ["traces_not_exported", "traces_exported_again"]
    assert dropped() == before + 5


def test_a_collector_that_comes_and_goes_is_logged_once_in_a_while(exporter: Exporter) -> None:
    queue = SpanQueue(exporter, batch_spans=1, every_seconds=SECONDS, quiet_seconds=3600)

    with capture_logs() as logs:
        for result in (SpanExportResult.FAILURE, SpanExportResult.SUCCESS) * 3:
            exporter.result = result
            queue.on_end(span("any"))
            queue._export_all()

    assert [line["event"] for line in logs].count("traces_not_exported") == 1


def test_a_fault_of_the_exporter_does_not_end_the_thread(
    exporter: Exporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue = SpanQueue(exporter, batch_spans=1, every_seconds=SECONDS)
    monkeypatch.setattr(exporter, "export", _raise)
    with capture_logs():
        queue.on_end(span("lost"))
        queue._export_all()
    monkeypatch.undo()

    queue.on_end(span("taken"))
    queue._export_all()

    assert exporter.taken == ["taken"]


def _raise(_spans: object) -> SpanExportResult:
    raise ValueError("a fault")
