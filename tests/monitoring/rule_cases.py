"""For each alert, cases in which it fires and cases in which it stays silent, just beside each threshold.

Series are in promtool's notation: `a+bxn` is a, a+b, … and so on, n+1 samples.
"""

from collections.abc import Iterator, Mapping
from typing import Final

from tests.monitoring.promtool import Case, Firing, Moment

A: Final = 'namespace="ml", pod="api-a", instance="10.0.0.1:9000"'
B: Final = 'namespace="ml", pod="api-b", instance="10.0.0.2:9000"'
OF_A: Final = {"namespace": "ml", "pod": "api-a", "instance": "10.0.0.1:9000"}
ML: Final = {"namespace": "ml"}

WELL: Final = "0+0x1000"
"""0 for ever: a counter that does not move, a gauge at 0."""


def fires(  # one line for each case
    alert: str,
    story: str,
    series: Mapping[str, str],
    at: str,
    summary: str,
    labels: Mapping[str, str],
    *,
    not_yet: str | None = None,
    interval: str = "15s",
) -> Case:
    """It fires at a time, and not before it has lasted as long as it must."""
    firing = Moment(at, alert, (Firing(summary, labels),))
    earlier = (Moment(not_yet, alert),) if not_yet is not None else ()
    return Case(f"{alert}: {story}", series, (*earlier, firing), interval)


def silent(alert: str, story: str, series: Mapping[str, str], at: str, *, interval: str = "15s") -> Case:
    """It does not fire."""
    return Case(f"{alert}: {story}", series, (Moment(at, alert),), interval)


def constant(value: float) -> str:
    """A value that never changes."""
    return f"{value}+0x1000"


def steps(*parts: tuple[float, int]) -> str:
    """A counter from 0 that grows by so much for so many samples, then by so much for so many, and so on."""
    written, value = ["0"], 0.0
    for growth, count in parts:
        written.append(f"{value + growth:.10g}+{growth:.10g}x{count - 1}")
        value += growth * count
    return " ".join(written)


def wait_seconds(late: tuple[tuple[float, int], ...], events: float) -> dict[str, str]:
    """Claims in the queue `default`, so many in each interval, and the share of them that came late."""
    name = f'{{{A}, queue="default"'
    return {
        f"headrace_wait_seconds_count{name}}}": steps(*((events, count) for _, count in late)),
        f'headrace_wait_seconds_bucket{name}, le="10.0"}}': steps(
            *((events * (1 - share), count) for share, count in late)
        ),
    }


def burning() -> Iterator[Case]:
    """The three alerts on the error budget of the objective `start`, which is 1 %.

    Each has two windows. `step` is the interval in minutes, `short` the short window in intervals, and `long`
    as much of the long window as tells the two apart.
    """
    sizes = (
        ("HeadraceErrorBudgetBurnsFast", 14.4, 1, 60, 5, "1m", ("2m", "3m"), "last hour's"),
        ("HeadraceErrorBudgetBurns", 6.0, 15, 24, 2, "15m", ("15m", "30m"), "last six hours'"),
        ("HeadraceErrorBudgetBurnsSlowly", 1.0, 30, 48, 12, "30m", ("1h", "90m"), "last three days'"),
    )
    for alert, factor, step, long, short, interval, (not_yet, at), window in sizes:
        much, little, many = factor / 100 * 1.25, factor / 100 * 0.75, 100 * step
        labels = {**ML, "slo": "start"}
        summary = f"{much * 100:.4g}% of the {window} events missed the objective start."

        def at_end(*parts: tuple[float, int], step: int = step) -> str:
            return f"{step * sum(count for _, count in parts)}m"

        yield fires(
            *(alert, "much is missed, from the start", wait_seconds(((much, 30),), many)),
            *(at, summary, labels),
            not_yet=not_yet,
            interval=interval,
        )
        over = ((much, long), (little, 2 * short))
        yield silent(
            alert, "a burst that is over", wait_seconds(over, many), at_end(*over), interval=interval
        )
        begun = ((little, long), (much, 2 * short + short // 2))
        yield silent(
            alert, "a burst that is short", wait_seconds(begun, many), at_end(*begun), interval=interval
        )
        some = ((much, long + 2 * short),)
        yield fires(
            *(alert, "the same share of 60 events in the hour", wait_seconds(some, step)),
            *(at_end(*some), summary, labels),
            interval=interval,
        )
        yield silent(
            *(alert, "the same share of 40 events in the hour", wait_seconds(some, step * 40 / 60)),
            at_end(*some),
            interval=interval,
        )


def quantile(metric: str, labels: str, buckets: Mapping[str, int]) -> dict[str, str]:
    """A histogram that grows by so many observations up to each bound in each interval."""
    return {f'{metric}_bucket{{{labels}, le="{le}"}}': f"0+{count}x200" for le, count in buckets.items()}


def up_down() -> Iterator[Case]:
    """Whether processes are there, and what they reach."""
    down = "Prometheus has reached 0 API processes for 2 minutes."
    worker = {f'headrace_build_info{{{A}, component="worker", version="1"}}': constant(1)}
    api = {f'headrace_build_info{{{B}, component="api", version="1"}}': constant(1)}
    name = "HeadraceDown"
    yield fires(name, "only a worker", worker, "2m", down, {"component": "api"}, not_yet="1m45s")
    yield silent(name, "an API process", {**worker, **api}, "5m")

    name = "HeadracePostgresAway"
    away = {f"headrace_postgres_up{{{A}}}": WELL, f"headrace_postgres_up{{{B}}}": WELL}
    cut = {f"headrace_postgres_up{{{A}}}": WELL, f"headrace_postgres_up{{{B}}}": constant(1)}
    there = {f"headrace_postgres_up{{{A}}}": constant(1), f"headrace_postgres_up{{{B}}}": constant(1)}
    yield fires(name, "for every process", away, "1m", "0 processes reach Postgres.", ML, not_yet="45s")
    yield silent(name, "for one process only", cut, "10m")

    name = "HeadracePodCutFromPostgres"
    summary = "api-a has 0 connections to Postgres, and other processes have some."
    yield fires(name, "one process", cut, "2m", summary, OF_A, not_yet="1m45s")
    yield silent(name, "every process", away, "10m")
    yield silent(name, "no process", there, "10m")
    without = {
        'headrace_postgres_up{instance="10.0.0.1:9000"}': WELL,
        'headrace_postgres_up{instance="10.0.0.2:9000"}': constant(1),
    }
    summary = "10.0.0.1:9000 has 0 connections to Postgres, and other processes have some."
    yield fires(name, "outside Kubernetes", without, "2m", summary, {"instance": "10.0.0.1:9000"})

    name = "HeadraceRedisAway"
    away = {f"headrace_redis_up{{{A}}}": WELL, f"headrace_redis_up{{{B}}}": WELL}
    yield fires(name, "for every process", away, "5m", "0 processes reach Redis.", ML, not_yet="4m45s")
    yield silent(name, "for one process only", {**away, f"headrace_redis_up{{{B}}}": constant(1)}, "8m")

    yield fires(
        "HeadraceWatchdog", "always", {}, "0s", "Alerting works, because this alert always fires.", {}
    )


def queues() -> Iterator[Case]:
    """What waits."""
    default = {**ML, "queue": "default"}

    def queue(of: str, name: str = "default", **values: float) -> dict[str, str]:
        names = {
            "oldest": f'headrace_queue_oldest_seconds{{{of}, queue="{name}"}}',
            "busy": f'headrace_queue_slots{{{of}, queue="{name}", state="busy"}}',
            "idle": f'headrace_queue_slots{{{of}, queue="{name}", state="idle"}}',
            "due": f'headrace_queue_jobs{{{of}, queue="{name}", priority="normal", state="due"}}',
            "delayed": f'headrace_queue_jobs{{{of}, queue="{name}", priority="normal", state="delayed"}}',
            "running": f'headrace_queue_jobs{{{of}, queue="{name}", priority="normal", state="running"}}',
        }
        return {names[what]: constant(value) for what, value in values.items()}

    name = "HeadraceQueueStalled"
    yield fires(
        name,
        "once, although two API processes show it",
        {**queue(A, oldest=40, idle=1, busy=3), **queue(B, oldest=38, idle=1, busy=3)},
        "1m",
        "A job in the queue default has been due for 40s while slots are idle.",
        default,
        not_yet="45s",
    )
    yield silent(name, "no slot is idle", queue(A, oldest=900, idle=0, busy=4), "3m")
    yield silent(name, "it has just become due", queue(A, oldest=20, idle=4, busy=0), "3m")
    mixed = queue(A, "other", oldest=900, idle=4, busy=0)
    yield silent(name, "queues without a name of their own, served or not", mixed, "3m")

    name = "HeadraceNoWorkers"
    summary = "No live worker serves the queue default, jobs due: 1."
    yield fires(name, "no slots at all", queue(A, due=1), "5m", summary, default, not_yet="4m45s")
    yield fires(name, "slots are gone", queue(A, due=1, idle=0, busy=0), "5m", summary, default)
    yield silent(name, "a worker is busy", queue(A, due=5, idle=0, busy=1), "8m")
    yield silent(name, "nothing is due", queue(A, due=0, delayed=5, running=5), "8m")
    yield silent(name, "a queue that no worker has ever served", queue(A, "other", due=5), "8m")

    name = "HeadraceQueueBacklog"
    ended = f'headrace_jobs_ended_total{{{A}, kind="k", queue="default", status="completed", fault="none"}}'
    pace = {ended: "0+0.46875x400"}  # 1/32 a second
    summary = "The queue default is 1h 8m 16s behind."
    yield fires(
        name, "much for the pace", {**queue(A, due=128), **pace}, "15m15s", summary, default, not_yet="15m"
    )
    yield silent(name, "half as much", {**queue(A, due=64), **pace}, "25m")
    summary = "The queue default is 1h 6m 40s behind."
    old = queue(A, oldest=4000)
    yield fires(name, "an old job", old, "15m", summary, default, not_yet="14m45s")
    yield silent(name, "a job half as old", queue(A, oldest=2000), "20m")
    yield silent(name, "a job while nothing ends", {**queue(A, due=1, oldest=60), ended: WELL}, "20m")

    name = "HeadraceQueueNumbersOld"
    stopped = {
        f"headrace_queue_stats_timestamp_seconds{{{A}}}": "0+15x3 60+0x200",
        f"headrace_queue_stats_timestamp_seconds{{{B}}}": "0+15x2 30+0x200",
    }
    summary = "The queues were last measured 3m 15s ago."
    yield fires(name, "they stopped", stopped, "4m15s", summary, ML, not_yet="4m")
    one = {**stopped, f"headrace_queue_stats_timestamp_seconds{{{B}}}": "0+15x200"}
    yield silent(name, "one process still has new ones", one, "8m")

    name = "HeadraceStatisticsBehind"
    folded = f"headrace_statistics_folded_timestamp_seconds{{{A}}}"
    summary = "The statistics lag 40m 14s behind the jobs that ended."
    yield fires(name, "they stopped", {folded: constant(1)}, "40m15s", summary, ML, not_yet="40m")
    yield silent(name, "20 minutes", {folded: "1+0x19 1+60x100"}, "60m", interval="1m")
    yield silent(name, "there are none", {folded: WELL}, "60m", interval="1m")
    yield silent(name, "no process knows of them", {}, "60m", interval="1m")


def work() -> Iterator[Case]:
    """What goes wrong with attempts, jobs and the processes that run them."""
    name = "HeadraceJobsFailBySystem"

    def attempts(system: float, others: float) -> dict[str, str]:
        return {
            f'headrace_attempts_total{{{A}, kind="k", outcome="failed", fault="system"}}': f"0+{system}x400",
            f'headrace_attempts_total{{{A}, kind="k", outcome="completed", fault="none"}}': f"0+{others}x400",
        }

    summary = "6.25% of the attempts of the kind k fail because of the system."
    # One attempt in 80 seconds: enough once the window of 15 minutes is filled to four fifths.
    rare = attempts(0.01171875, 0.17578125)
    yield fires(name, "of a few", rare, "22m15s", summary, {**ML, "kind": "k"}, not_yet="22m")
    yield silent(name, "a small share of many", attempts(0.0375, 0.9625), "30m")
    yield silent(name, "all of very few", attempts(0.1125, 0), "30m")

    name = "HeadraceWorkersDie"
    rescued = {
        f"headrace_jobs_rescued_total{{{A}}}": "0+0x3 6+0x200",
        f"headrace_jobs_rescued_total{{{B}}}": "0+0x7 6+0x200",
    }
    summary = "12 running jobs were recovered from dead workers within 15 minutes."
    yield fires(name, "two processes rescue", rescued, "10m", summary, ML)
    fewer = {series: values.replace("6", "4") for series, values in rescued.items()}
    yield silent(name, "a few", fewer, "10m")

    name = "HeadraceJobKillsChildren"
    dead = f'headrace_child_deaths_total{{{A}, reason="memory_limit"}}'
    reason = {**ML, "reason": "memory_limit"}
    summary = "12 child processes ended within 30 minutes, for the reason memory_limit."
    deaths = {dead: "0+0x4 12+0x200"}
    yield fires(name, "many deaths", deaths, "6m15s", summary, reason, not_yet="6m")
    yield silent(name, "a few", {dead: "0+0x4 8+0x200"}, "20m")
    cancelled = {dead.replace("memory_limit", "cancelled"): "0+0x4 100+0x200"}
    yield silent(name, "jobs that were cancelled", cancelled, "20m")

    name = "HeadraceDeadLettersGrow"
    letters = {
        f'headrace_dead_letters{{{A}, kind="k"}}': "5+0x9 30+0x200",
        f'headrace_dead_letters{{{B}, kind="k"}}': "5+0x9 29+0x200",
        f'headrace_dead_letters{{{A}, kind="other"}}': constant(7),
    }
    summary = "25 more failed jobs wait for a decision than an hour ago."
    yield fires(name, "of one kind", letters, "65m", summary, ML, interval="1m")
    slower = {series: values.replace("30", "20").replace("29", "20") for series, values in letters.items()}
    yield silent(name, "a few", slower, "65m", interval="1m")
    yield silent(name, "many, for long", letters, "100m", interval="1m")


def loops() -> Iterator[Case]:
    """Maintenance."""
    name = "HeadraceLoopStopped"

    def rounds(of: str, loop: str, **values: str) -> dict[str, str]:
        metric = "headrace_loop_rounds_total"
        return {
            f'{metric}{{{of}, loop="{loop}", result="{result}"}}': each for result, each in values.items()
        }

    stuck = rounds(A, "rescue", done=constant(7), failed="0+15x400") | rounds(
        B, "rescue", done=WELL, left="0+15x400"
    )
    summary = "The loop rescue has completed 0 rounds in 5 minutes."
    yield fires(name, "it fails", stuck, "2m15s", summary, {**ML, "loop": "rescue"}, not_yet="2m")
    turning = stuck | rounds(B, "rescue", done="0+1x400")
    yield silent(name, "another process does it", turning, "8m")
    yield silent(name, "loops that rest long", rounds(A, "prune", done=WELL, failed="0+1x400"), "8m")

    name = "HeadracePruneStopped"
    pruning = rounds(A, "prune", done=constant(5), failed="0+1x400") | rounds(A, "rescue", done="0+60x400")
    summary = "The loop prune has completed 0 rounds in 2 hours."
    yield fires(name, "it fails", pruning, "121m", summary, ML, not_yet="2h", interval="1m")
    hourly = rounds(A, "prune", done="0+0x58 1+0x59 2+0x59 3+0x59 4+0x59")
    yield silent(name, "a round each hour", hourly, "280m", interval="1m")


def notifications() -> Iterator[Case]:
    """Deliveries and e-mail."""
    name = "HeadraceDeliveriesLate"

    def oldest(of: str, channel: str, values: str) -> dict[str, str]:
        return {f'headrace_delivery_oldest_seconds{{{of}, channel="{channel}"}}': values}

    late = oldest(A, "webhook", constant(130)) | oldest(A, "email", constant(0))
    summary = "A notification by webhook has been due for 2m 10s."
    yield fires(name, "of one channel", late, "5m15s", summary, {**ML, "channel": "webhook"}, not_yet="4m45s")
    yield silent(name, "almost", oldest(A, "webhook", constant(110)), "15m")

    name = "HeadraceMailDown"
    down = {f"headrace_mail_up{{{A}}}": WELL, f"headrace_mail_up{{{B}}}": WELL}
    yield fires(name, "for all", down, "10m15s", "0 processes can use the SMTP server.", ML, not_yet="9m45s")
    yield silent(name, "one can", down | {f"headrace_mail_up{{{B}}}": constant(1)}, "30m")


def processes() -> Iterator[Case]:
    """The state of single processes."""

    def of(name: str, prefix: str, seconds: tuple[str, str, str], lasts: tuple[str, str]) -> Iterator[Case]:
        metric, (lower, bound, upper) = prefix, seconds
        fine = quantile(metric, B, {lower: 400, bound: 400, upper: 400, "+Inf": 400})
        late = quantile(metric, A, {lower: 0, bound: 395, upper: 400, "+Inf": 400})
        slow = quantile(metric, A, {lower: 395, bound: 400, upper: 400, "+Inf": 400})
        yield fires(name, "one process", {**fine, **late}, lasts[1], _LATE[name], OF_A, not_yet=lasts[0])
        yield silent(name, "almost", {**fine, **slow}, "8m")

    yield from of(
        *("HeadracePoolExhausted", "headrace_postgres_pool_wait_seconds"),
        *(("0.25", "0.5", "1.0"), ("5m", "5m15s")),
    )
    yield from of(
        *("HeadraceEventLoopBlocked", "headrace_event_loop_lag_seconds"),
        *(("0.1", "0.25", "0.5"), ("5m", "5m15s")),
    )

    name = "HeadraceStreamsLate"
    metric = "headrace_stream_lag_seconds"
    sse, socket = f'{A}, transport="sse"', f'{B}, transport="websocket"'
    late = quantile(metric, sse, {"0.5": 0, "1.0": 95, "2.5": 100, "+Inf": 100}) | quantile(
        metric, socket, {"0.5": 0, "1.0": 300, "2.5": 300, "+Inf": 300}
    )
    yield fires(name, "of one transport", late, "10m15s", _LATE[name], ML, not_yet="10m")
    almost = quantile(metric, sse, {"0.5": 395, "1.0": 400, "2.5": 400, "+Inf": 400})
    yield silent(name, "almost", almost, "15m")

    name = "HeadraceLeaseLate"
    lease = f"headrace_lease_age_seconds{{{A}}}"
    summary = "api-a renewed its lease 5s ago."
    yield fires(name, "late", {lease: constant(5)}, "30s", summary, OF_A, not_yet="15s")
    yield silent(name, "almost", {lease: constant(3)}, "2m")


_LATE: Final = {
    "HeadracePoolExhausted": "1 % of the waits for a connection to Postgres on api-a take 600ms or longer.",
    "HeadraceEventLoopBlocked": "1 % of the callbacks on api-a run 300ms late or later.",
    "HeadraceStreamsLate": ("1 % of events reach the streams of clients 1.3s or longer after their commit."),
}


def kubernetes() -> Iterator[Case]:
    """What kube-state-metrics shows."""
    name = "HeadraceMigrationFailed"
    migrate = 'namespace="ml", job_name="headrace-migrate-1-2-3"'
    retried = {
        f'kube_job_status_failed{{{migrate}, reason=""}}': constant(1),
        f'kube_job_failed{{{migrate}, condition="true"}}': WELL,
        f'kube_job_failed{{{migrate}, condition="false"}}': constant(1),
    }
    failed = {
        f'kube_job_failed{{{migrate}, condition="true"}}': constant(1),
        f'kube_job_failed{{{migrate}, condition="false"}}': WELL,
        f'kube_job_status_failed{{{migrate}, reason="BackoffLimitExceeded"}}': constant(1),
    }
    labels = {**ML, "job_name": "headrace-migrate-1-2-3"}
    summary = "1 migration failed for good: headrace-migrate-1-2-3."
    yield fires(name, "for good", failed, "0s", summary, labels)
    yield silent(name, "one pod, and another tries again", retried, "10m")
    other = 'namespace="ml", job_name="another", condition="true"'
    yield silent(name, "another Job", {f"kube_job_failed{{{other}}}": constant(1)}, "10m")

    name = "HeadraceAutoscalerAtMax"

    def scaled(autoscaler: str, current: int) -> dict[str, str]:
        labels = f'{{namespace="ml", horizontalpodautoscaler="{autoscaler}"}}'
        return {
            f"kube_horizontalpodautoscaler_status_current_replicas{labels}": constant(current),
            f"kube_horizontalpodautoscaler_spec_max_replicas{labels}": constant(20),
        }

    keda = "keda-hpa-headrace-worker"
    summary = "keda-hpa-headrace-worker has been at its maximum of 20 replicas for 30 minutes."
    labels = {**ML, "horizontalpodautoscaler": keda}
    yield fires(name, "the workers", scaled(keda, 20), "30m", summary, labels, not_yet="29m45s")
    yield silent(name, "almost", scaled(keda, 19), "35m")
    yield silent(name, "another Deployment", scaled("another", 20), "35m")

    name = "HeadraceOutOfMemory"

    def restarted(pod: str, container: str, reason: str) -> dict[str, str]:
        labels = f'namespace="ml", pod="{pod}", container="{container}"'
        return {
            f"kube_pod_container_status_restarts_total{{{labels}}}": "0+0x9 1+0x200",
            f'kube_pod_container_status_last_terminated_reason{{{labels}, reason="{reason}"}}': constant(1),
        }

    worker = ("headrace-worker-1", "worker")
    labels = {**ML, "pod": worker[0], "container": "worker"}
    summary = (
        "The container worker of headrace-worker-1 ran out of memory and restarted 1 times in 15 minutes."
    )
    yield fires(name, "a worker", restarted(*worker, "OOMKilled"), "10m", summary, labels)
    yield silent(name, "half an hour later", restarted(*worker, "OOMKilled"), "40m")
    yield silent(name, "another reason", restarted(*worker, "Error"), "10m")
    yield silent(name, "a pod of another application", restarted("another-1", "api", "OOMKilled"), "10m")
    sidecar = restarted("headrace-worker-1", "sidecar", "OOMKilled")
    yield silent(name, "another container", sidecar, "10m")


CASES: Final = tuple(
    case
    for cases in (burning, up_down, queues, work, loops, notifications, processes, kubernetes)
    for case in cases()
)


def of(alert: str) -> tuple[Case, ...]:
    """Return the cases of an alert."""
    return tuple(
        case for case in CASES if any(isinstance(e, Moment) and e.alert == alert for e in case.expects)
    )
