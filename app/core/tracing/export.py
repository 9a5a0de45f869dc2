"""The queue of spans that wait for the collector, and the thread that sends them."""

import logging
import math
import threading
import time
from collections import deque
from typing import Final

import structlog
from opentelemetry.exporter.otlp.proto.http import trace_exporter
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from app.core import metrics

QUIET_SECONDS: Final = 60.0
"""The collector's absence is logged at most this often."""

MAX_REASON_CHARACTERS: Final = 300

_EXPORTER_LOGGER: Final = logging.getLogger(trace_exporter.__name__)

log = structlog.get_logger(__name__)


class SpanQueue(SpanProcessor):
    """A bounded queue of spans that have ended. A full one drops the newest and counts it.

    The SDK's own processor neither counts what it drops, nor stops within a time while the collector is away.
    """

    def __init__(
        self,
        exporter: SpanExporter,
        *,
        max_spans: int = 4096,
        batch_spans: int = 512,
        every_seconds: float = 1.0,
        quiet_seconds: float = QUIET_SECONDS,
    ) -> None:
        self._exporter = exporter
        self._max_spans = max_spans
        self._batch_spans = batch_spans
        self._every_seconds = every_seconds
        self._quiet_seconds = quiet_seconds
        self._spans: deque[ReadableSpan] = deque()
        self._wake = threading.Event()
        self._is_stopping = False
        self._is_abandoned = False
        self._is_away = False
        self._logged_at = -math.inf
        self._exporter_log = _ExporterLog()
        # A daemon: a request to a collector that does not answer must not keep the process alive.
        self._thread = threading.Thread(target=self._export_forever, name="traces", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        _EXPORTER_LOGGER.addFilter(self._exporter_log)
        self._thread.start()

    def on_end(self, span: ReadableSpan) -> None:
        """Queue a span that has ended, or drop it. Never blocks."""
        if self._is_stopping or len(self._spans) >= self._max_spans:
            metrics.SPANS_DROPPED.inc()
            return
        self._spans.append(span)
        if len(self._spans) >= self._batch_spans:
            self._wake.set()

    def stop(self, seconds: float) -> None:
        """Send what is left for at most `seconds`; not at all if the collector is known to be away."""
        self._is_stopping = True
        self._wake.set()
        self._thread.join(0 if self._is_away else seconds)
        self._is_abandoned = True
        self._exporter.shutdown()
        metrics.SPANS_DROPPED.inc(len(self._spans))
        _EXPORTER_LOGGER.removeFilter(self._exporter_log)

    def _export_forever(self) -> None:
        while not self._is_stopping:
            self._wake.wait(self._every_seconds)
            self._wake.clear()
            self._export_all()
        self._export_all()

    def _export_all(self) -> None:
        while self._spans and not self._is_abandoned:
            batch = [self._spans.popleft() for _ in range(min(len(self._spans), self._batch_spans))]
            if self._is_exported(batch):
                self._record_success()
            else:
                metrics.SPANS_DROPPED.inc(len(batch))
                self._record_failure()

    def _is_exported(self, batch: list[ReadableSpan]) -> bool:
        try:
            return self._exporter.export(batch) is SpanExportResult.SUCCESS
        except Exception:
            return False  # a fault of the exporter must not end the thread

    def _record_success(self) -> None:
        if self._is_away:
            self._is_away = False
            log.info("traces_exported_again")

    def _record_failure(self) -> None:
        was_away, self._is_away = self._is_away, True
        now = time.monotonic()
        if not was_away and now - self._logged_at >= self._quiet_seconds:
            self._logged_at = now
            log.warning("traces_not_exported", reason=self._exporter_log.last)


class _ExporterLog(logging.Filter):
    """Keeps the exporter's last message instead of writing it: there is one for each try."""

    last = ""

    def filter(self, record: logging.LogRecord) -> bool:
        """Write none of them."""
        self.last = record.getMessage()[:MAX_REASON_CHARACTERS]
        return False
