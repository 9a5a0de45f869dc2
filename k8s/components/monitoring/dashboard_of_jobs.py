"""Rows of the dashboard about jobs: whether they run, what waits, what was done, what schedules create."""

from typing import Final

from k8s.components.monitoring.dashboard_panels import Drawing, Panel, Query, Row
from k8s.components.monitoring.dashboard_queries import (
    BUSY,
    FIRING,
    QUEUE,
    measured,
    per_minute,
    quantile,
    select,
    sum_of_rates,
)

ERRORS: Final = select("headrace:slo_errors:ratio_rate1h")
EVENTS: Final = select("headrace:slo_events:increase1h")

# Each hour counts by its events: in the mean of all hours, one failure in a quiet night would weigh as
# much as an outage by day. Before the first full hour there is only the present one.
BUDGET_LEFT: Final = (
    f"1 - (sum by (namespace, slo) (sum_over_time(({ERRORS} * ({EVENTS} > 0))[30d:1h]))"
    f" / sum by (namespace, slo) (sum_over_time(({EVENTS} > 0)[30d:1h]))"
    f" or sum by (namespace, slo) ({ERRORS}))"
    " / on (slo) group_left () headrace:slo_budget"
)

ALERTS_FIRING: Final = f"sum by (alertname) ({FIRING}) or on () vector(0)"

WELL: Final = Row(
    "Is it well?",
    across=3,
    panels=(
        Panel(
            "Oldest due job",
            "s",
            "How long the oldest due job of each queue has been waiting. Depth alone is no problem.",
            (Query(f"max by (queue) ({select('headrace_queue_oldest_seconds', QUEUE)})", "{{queue}}"),),
            bad_above=30,
        ),
        Panel(
            "Jobs ended by status",
            "suffix: jobs/s",
            "Jobs that ended, wherever they ended. Failed jobs are listed as dead letters.",
            (Query(sum_of_rates("headrace_jobs_ended_total", QUEUE, by="status"), "{{status}}"),),
            is_stacked=True,
        ),
        Panel(
            "Attempts failed by the system",
            "percentunit",
            "Share of attempts that failed by no fault of users: lost workers, dead children, storage.",
            (
                Query(
                    sum_of_rates("headrace_attempts_total", 'fault="system"', by="kind")
                    + f" / ({sum_of_rates('headrace_attempts_total', by='kind')} > 0)",
                    "{{kind}}",
                ),
            ),
            bad_above=0.05,
        ),
        Panel(
            "Slots in use",
            "percentunit",
            "Busy slots of the live workers that serve a queue, of all their slots. At 100 % new jobs wait.",
            (
                Query(
                    f"sum by (queue) ({measured('headrace_queue_slots', QUEUE, BUSY, by='queue')})"
                    f" / sum by (queue) ({measured('headrace_queue_slots', QUEUE, by='queue, state')})",
                    "{{queue}}",
                ),
            ),
        ),
        Panel(
            "Error budget left (30 d)",
            "percentunit",
            "What is left of the errors that each objective allows in 30 days. Below 0 it is missed.",
            (Query(BUDGET_LEFT, "{{slo}}"),),
            Drawing.NUMBERS,
            bad_below=0,
        ),
        Panel(
            "Alerts firing",
            "short",
            "Alerts of Headrace that fire now. Each has a runbook.",
            (Query(ALERTS_FIRING, "{{alertname}}"),),
            Drawing.NUMBERS,
            bad_above=1,
        ),
    ),
)

QUEUES: Final = Row(
    "Queues",
    across=4,
    panels=(
        Panel(
            "Due, running, delayed",
            "short",
            "Jobs of the chosen queues: due and waiting for a slot, running, or due later.",
            (
                Query(
                    f"sum by (state) ({measured('headrace_queue_jobs', QUEUE, by='queue, priority, state')})",
                    "{{state}}",
                ),
            ),
            is_stacked=True,
        ),
        Panel(
            "Due by priority",
            "short",
            "Due jobs by priority. A higher priority starts first, but lower ones do not starve.",
            (
                Query(
                    "sum by (priority) ("
                    + measured("headrace_queue_jobs", QUEUE, 'state="due"', by="queue, priority")
                    + ")",
                    "{{priority}}",
                ),
            ),
            is_stacked=True,
        ),
        Panel(
            "Time to start",
            "s",
            "From a job's due time to its claim, over all attempts that started.",
            tuple(
                Query(quantile(share, "headrace_wait_seconds", QUEUE), legend)
                for share, legend in ((0.5, "p50"), (0.95, "p95"), (0.99, "p99"))
            ),
            bad_above=10,
        ),
        Panel(
            "Empty in",
            "s",
            "Time until the due jobs of each queue have ended, at the present rate and if no job is added.",
            (
                Query(
                    f"max by (queue) ({select('headrace:queue_drain_seconds:ratio', QUEUE)})",
                    "{{queue}}",
                ),
            ),
            bad_above=3600,
        ),
    ),
)

WORK: Final = Row(
    "Work",
    across=3,
    panels=(
        Panel(
            "Attempt duration",
            "s",
            "Duration of attempts, by kind.",
            (
                Query(quantile(0.5, "headrace_attempt_seconds", by="kind"), "{{kind}} p50"),
                Query(quantile(0.95, "headrace_attempt_seconds", by="kind"), "{{kind}} p95"),
            ),
        ),
        Panel(
            "Rows per second",
            "suffix: rows/s",
            "Rows that attempts committed, by kind.",
            (Query(sum_of_rates("headrace_rows_total", by="kind"), "{{kind}}"),),
        ),
        Panel(
            "CPU by kind",
            "suffix: cores",
            "Processor time that child processes used for attempts, by kind.",
            (Query(sum_of_rates("headrace_cpu_seconds_total", by="kind"), "{{kind}}"),),
            is_stacked=True,
        ),
        Panel(
            "Attempts by outcome",
            "suffix: attempts/s",
            "How attempts ended. Rescued and fenced ones belonged to lost workers; released ones to a drain.",
            (Query(sum_of_rates("headrace_attempts_total", by="outcome"), "{{outcome}}"),),
            is_stacked=True,
        ),
        Panel(
            "Dead letters",
            "short",
            "Failed jobs that wait for a decision, by kind. Retry or delete them: headrace dead-letters.",
            (Query(f"sum by (kind) ({measured('headrace_dead_letters', by='kind')})", "{{kind}}"),),
            is_stacked=True,
        ),
        Panel(
            "Time to start, distribution",
            "s",
            "How many jobs waited how long for their claim.",
            (
                Query(
                    "sum by (le)"
                    f" (increase({select('headrace_wait_seconds_bucket', QUEUE)}[$__rate_interval]))",
                    "{{le}}",
                ),
            ),
            Drawing.HEATMAP,
        ),
    ),
)

SCHEDULES: Final = Row(
    "Schedules",
    across=3,
    panels=(
        Panel(
            "Ticks by outcome",
            "cpm",
            "Ticks of schedules per minute, by what became of them. Refused ones created no job.",
            (Query(per_minute("headrace_schedule_firings_total", by="outcome"), "{{outcome}}"),),
            is_stacked=True,
        ),
        Panel(
            "From tick to job p99",
            "s",
            "Time from a tick to its job, of ticks that were on time.",
            (Query(quantile(0.99, "headrace_schedule_lateness_seconds"), "p99"),),
            bad_above=1,
        ),
        Panel(
            "Schedules by status",
            "short",
            "Schedules. Broken ones need their owners, suspended ones belong to disabled accounts.",
            (Query(f"sum by (status) ({measured('headrace_schedules', by='status')})", "{{status}}"),),
            is_stacked=True,
        ),
    ),
)
