"""Cases of the recording rules."""

from collections.abc import Iterator, Mapping
from typing import Final

from tests.monitoring.promtool import Case, Sample
from tests.monitoring.rule_cases import WELL, A, B, constant


def series(metric: str, of: str = "", **labels: str) -> str:
    """Write a series with its labels: those of its process, then its own."""
    own = [f'{name}="{value}"' for name, value in labels.items()]
    return f"{metric}{{{', '.join([of, *own] if of else own)}}}"


def recorded(at: str, rule: str, values: Mapping[str, float], **where: str) -> Sample:
    """Expect these values of a recording rule, by their labels in the namespace `ml`."""
    return Sample(
        at,
        series(rule, **where),
        {f'{rule}{{namespace="ml", {labels}}}': value for labels, value in values.items()},
    )


def _queues() -> Iterator[tuple[str, str]]:
    """Two API processes, which measured at different times."""
    for process, fewer in ((A, 0), (B, 1)):
        for queue, priority, state, count in (
            ("default", "high", "due", 4),
            ("default", "low", "due", 8),
            ("default", "high", "running", 3),
            ("default", "high", "delayed", 50),
            ("gpu", "low", "due", 6),
        ):
            labels = {"queue": queue, "priority": priority, "state": state}
            yield series("headrace_queue_jobs", process, **labels), constant(count - fewer)
    for process, oldest in ((A, 11), (B, 12)):
        yield series("headrace_queue_oldest_seconds", process, queue="default"), constant(oldest)
    for process, state, slots in ((A, "busy", 3), (B, "busy", 2), (A, "idle", 1)):
        yield series("headrace_queue_slots", process, queue="default", state=state), constant(slots)
    ended = "headrace_jobs_ended_total"
    for process, kind, queue, values in (
        (A, "a", "default", "0+1.5x40"),
        (B, "b", "default", "0+0.375x40"),
        (B, "b", "gpu", WELL),
    ):
        yield series(ended, process, kind=kind, queue=queue, status="completed", fault="none"), values


QUEUES: Final = Case(
    "queues",
    dict(_queues()),
    (
        recorded(
            *("8m", "headrace:queue_jobs:max"),
            {
                'priority="high", queue="default", state="due"': 4,
                'priority="low", queue="default", state="due"': 8,
            },
            queue="default",
            state="due",
        ),
        recorded("8m", "headrace:queue_oldest_seconds:max", {'queue="default"': 12}),
        recorded(
            *("8m", "headrace:queue_slots:max"),
            {'queue="default", state="busy"': 3, 'queue="default", state="idle"': 1},
        ),
        recorded("8m", "headrace:queue_need:sum", {'queue="default"': 15, 'queue="gpu"': 6}),
        recorded("8m", "headrace:queue_use:ratio", {'queue="default"': 0.75}),
        recorded(
            *("8m", "headrace:jobs_ended:rate5m"),
            {'queue="default", status="completed"': 0.125, 'queue="gpu", status="completed"': 0},
        ),
        # No job of `gpu` ends: nothing tells when it will be empty.
        recorded("8m", "headrace:queue_drain_seconds:ratio", {'queue="default"': 96}),
    ),
)


def _histogram(metric: str, buckets: Mapping[str, float], **labels: str) -> Iterator[tuple[str, str]]:
    """So many observations up to each bound in each minute."""
    yield series(f"{metric}_count", A, **labels), f"0+{buckets['+Inf']}x100"
    for bound, count in buckets.items():
        yield series(f"{metric}_bucket", A, **labels, le=bound), f"0+{count}x100"


def _events() -> Iterator[tuple[str, str]]:
    """A quarter of the events of each objective are bad, and half of the submits."""
    requests = "headrace_http_requests_total"
    for process, status, count in ((A, "200", 7.5), (A, "404", 3.75), (B, "503", 3.75)):
        yield series(requests, process, method="GET", route="/jobs", status=status), f"0+{count}x100"
    for method, route, total, fast in (
        ("POST", "/jobs/batch-predict", 7.5, 3.75),
        ("GET", "/jobs/batch-predict", 15, 1.875),
        ("POST", "/jobs/{job_id}/cancel", 30, 1.875),
    ):
        buckets = {"0.1": 0, "0.25": fast, "+Inf": total}
        yield from _histogram("headrace_http_request_seconds", buckets, method=method, route=route)
    for queue, total, soon in (("default", 15, 11.25), ("gpu", 30, 1.875)):
        yield from _histogram("headrace_wait_seconds", {"5.0": 0, "10.0": soon, "+Inf": total}, queue=queue)
    for status, fault, count in (
        ("completed", "none", 1.875),
        ("failed", "user", 3.75),
        ("failed", "system", 1.875),
    ):
        labels = {"kind": "k", "queue": "default", "status": status, "fault": fault}
        yield series("headrace_jobs_ended_total", A, **labels), f"0+{count}x100"


def _objective(slo: str, share: float, events: float, budget: float) -> tuple[Sample, ...]:
    labels = f'slo="{slo}"'
    rule = "headrace:slo_budget"
    return (
        recorded("90m", "headrace:slo_errors:ratio_rate5m", {labels: share}, slo=slo),
        recorded("90m", "headrace:slo_events:increase1h", {labels: events}, slo=slo),
        Sample("90m", series(rule, slo=slo), {series(rule, slo=slo): budget}),
    )


OBJECTIVES: Final = Case(
    "objectives",
    dict(_events()),
    (
        *_objective("availability", 0.25, 900, 0.001),
        *_objective("submit", 0.5, 450, 0.01),
        *_objective("start", 0.25, 900, 0.01),
        *_objective("outcome", 0.25, 450, 0.001),
    ),
    interval="1m",
)

FAULTLESS: Final = Case(
    "nothing has failed yet, so that failures have no series",
    {
        name: values
        for name, values in _events()
        if "requests_total" in name or "jobs_ended_total" in name
        if "503" not in name and 'fault="system"' not in name
    },
    (
        *_objective("availability", 0, 675, 0.001),
        *_objective("outcome", 0, 337.5, 0.001),
    ),
    interval="1m",
)
