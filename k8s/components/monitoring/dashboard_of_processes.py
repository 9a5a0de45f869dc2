"""Rows of the dashboard about processes: workers, their faults, the API, servers and loops."""

from typing import Final

from k8s.components.monitoring.dashboard_panels import Panel, Query, Row
from k8s.components.monitoring.dashboard_queries import (
    PROCESS,
    PROCESS_LEGEND,
    measured,
    per_minute,
    quantile,
    rate,
    select,
    sum_of_rates,
)

MEMORY: Final = (
    f"sum by ({PROCESS}) ({select('process_resident_memory_bytes')}"
    f" * on (job, instance) group_left () max by (job, instance) ({select('headrace_build_info')}))"
)

WORKERS: Final = Row(
    "Workers",
    across=3,
    panels=(
        Panel(
            "Workers by state",
            "short",
            "Live workers renew their lease, draining ones finish, lost ones have not renewed it in time.",
            (Query(f"sum by (state) ({measured('headrace_workers', by='state')})", "{{state}}"),),
            is_stacked=True,
        ),
        Panel(
            "Slots in use by pod",
            "percentunit",
            "Busy slots of each worker, of its slots.",
            (
                Query(
                    f"sum by ({PROCESS}) ({select('headrace_worker_slots_busy')})"
                    f" / sum by ({PROCESS}) ({select('headrace_worker_slots')})",
                    PROCESS_LEGEND,
                ),
            ),
        ),
        Panel(
            "Children that died",
            "cpm",
            "Child processes that died or were killed per minute, by reason.",
            (Query(per_minute("headrace_child_deaths_total", by="reason"), "{{reason}}"),),
            is_stacked=True,
        ),
        Panel(
            "Largest child against its limit",
            "percentunit",
            "Memory of the largest child of each worker, of CHILD_MEMORY_LIMIT_BYTES. At 100 % it is killed.",
            (
                Query(
                    f"max by ({PROCESS}) ({select('headrace_child_memory_bytes')})"
                    f" / max by ({PROCESS}) ({select('headrace_child_memory_limit_bytes')})",
                    PROCESS_LEGEND,
                ),
            ),
            bad_above=1,
        ),
        Panel(
            "Lease age",
            "s",
            "Time since each worker renewed its lease. After LEASE_SECONDS other workers take its jobs.",
            (Query(f"max by ({PROCESS}) ({select('headrace_lease_age_seconds')})", PROCESS_LEGEND),),
            bad_above=4,
        ),
        Panel(
            "Replicas wanted",
            "short",
            "Pods that each autoscaler wants, and its maximum. Needs kube-state-metrics.",
            tuple(
                Query(
                    "sum by (horizontalpodautoscaler) ("
                    + select(
                        f"kube_horizontalpodautoscaler_{name}", 'horizontalpodautoscaler=~".*headrace.*"'
                    )
                    + ")",
                    legend,
                )
                for name, legend in (
                    ("status_desired_replicas", "{{horizontalpodautoscaler}}"),
                    ("spec_max_replicas", "{{horizontalpodautoscaler}} maximum"),
                )
            ),
        ),
    ),
)

DURABILITY: Final = Row(
    "Durability",
    across=4,
    panels=(
        Panel(
            "Jobs rescued",
            "cpm",
            "Running jobs taken from lost workers, per minute. They resume after their last committed batch.",
            (Query(f"60 * sum({rate('headrace_jobs_rescued_total')})", "rescued"),),
        ),
        Panel(
            "Attempts fenced",
            "cpm",
            "Attempts per minute whose worker had lost the job before it could write.",
            (Query(per_minute("headrace_attempts_total", 'outcome="fenced"', by="kind"), "{{kind}}"),),
        ),
        Panel(
            "Tokens restored",
            "cpm",
            "Wake tokens added to Redis per minute, because they were lost or jobs became due.",
            (Query(f"60 * sum({rate('headrace_tokens_restored_total')})", "restored"),),
        ),
        Panel(
            "Hints dropped",
            "cpm",
            "Hints and wake tokens per minute that could not be sent. They cost time, not data.",
            (Query(f"60 * sum({rate('headrace_hints_dropped_total')})", "dropped"),),
        ),
    ),
)

API_AND_STREAMS: Final = Row(
    "API and streams",
    across=3,
    panels=(
        Panel(
            "Requests by status",
            "reqps",
            "HTTP requests, by status.",
            (Query(sum_of_rates("headrace_http_requests_total", by="status"), "{{status}}"),),
            is_stacked=True,
        ),
        Panel(
            "p99 by route",
            "s",
            "Time to the start of a response, ten slowest routes, without requests that wait on purpose.",
            (
                Query(
                    f"topk(10, {quantile(0.99, 'headrace_http_request_seconds', by='method, route')})",
                    "{{method}} {{route}}",
                ),
            ),
        ),
        Panel(
            "Open streams",
            "short",
            "Event streams that clients hold open, by transport.",
            (Query(f"sum by (transport) ({select('headrace_streams_open')})", "{{transport}}"),),
            is_stacked=True,
        ),
        Panel(
            "Commit to client p99",
            "s",
            "From the commit of an event to its write to a stream, by transport.",
            (Query(quantile(0.99, "headrace_stream_lag_seconds", by="transport"), "{{transport}}"),),
            bad_above=1,
        ),
        Panel(
            "Resyncs",
            "cpm",
            "Gaps in hints per minute that streams filled from the event log.",
            (Query(f"60 * sum({rate('headrace_stream_resyncs_total')})", "resyncs"),),
        ),
        Panel(
            "Sign-ins by result",
            "cpm",
            "Attempts to sign in per minute. If many are refused or throttled, a client may be guessing.",
            (Query(per_minute("headrace_sign_ins_total", by="result"), "{{result}}"),),
            is_stacked=True,
        ),
    ),
)

INSIDE: Final = Row(
    "Inside",
    across=4,
    panels=(
        Panel(
            "Loops: time since the last success",
            "s",
            "Each background loop, in the process where it succeeded last.",
            (
                Query(
                    f"time() - max by (loop) ({select('headrace_loop_last_success_timestamp_seconds')} > 0)",
                    "{{loop}}",
                ),
            ),
        ),
        Panel(
            "Event loop lag p99",
            "s",
            "How late each process runs a callback that is due. Something blocks the loop if it is high.",
            (Query(quantile(0.99, "headrace_event_loop_lag_seconds", by=PROCESS), PROCESS_LEGEND),),
            bad_above=0.25,
        ),
        Panel(
            "Wait for a connection p99",
            "s",
            "Time to get a connection to Postgres from the pool. Raise DATABASE_POOL_SIZE if it is high.",
            (Query(quantile(0.99, "headrace_postgres_pool_wait_seconds", by=PROCESS), PROCESS_LEGEND),),
            bad_above=0.5,
        ),
        Panel(
            "Postgres and Redis",
            "percentunit",
            "Share of processes that reach Postgres and Redis.",
            (
                Query(f"avg({select('headrace_postgres_up')})", "Postgres"),
                Query(f"avg({select('headrace_redis_up')})", "Redis"),
            ),
            bad_below=1,
        ),
        Panel(
            "Commit p99",
            "s",
            "Duration of a commit statement, which may contain batches of several jobs.",
            (Query(quantile(0.99, "headrace_commit_seconds"), "p99"),),
        ),
        Panel(
            "Database size",
            "bytes",
            "Size of the database in Postgres, without files in storage.",
            (Query(f"max by (namespace) ({select('headrace_database_bytes')})", "{{namespace}} database"),),
        ),
        Panel(
            "Memory by pod",
            "bytes",
            "Resident memory of API and worker processes, without the workers' children.",
            (Query(MEMORY, PROCESS_LEGEND),),
        ),
    ),
)
