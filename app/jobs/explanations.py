"""Why a job is where it is: every reason there is, as a code, a sentence and the facts behind it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import asyncpg

from app.jobs.queries import estimated_completion
from app.jobs.schemas import Explanation
from app.jobs.states import Status

MAX_COUNTED: Final = 10_000
"""Further back than this the exact place in the queue is not counted: nobody waits by it."""

RECENT_ATTEMPTS: Final = 50

# What a waiting job waits for, in one round trip. The limits are written out: where it does not know them,
# Postgres plans a statement anew each time, which takes longer than the answer.
_CIRCUMSTANCES: Final = f"""
WITH ahead AS (
    SELECT owner_id FROM jobs
    WHERE queue = $1 AND status = 'pending' AND (sort_key, id) < ($2, $3) AND run_at <= now()
    ORDER BY sort_key, id LIMIT {MAX_COUNTED}
), serving AS (
    SELECT id, slots, kinds FROM workers
    WHERE seen_at > now() - $5::interval AND stopping_at IS NULL AND $1 = ANY (queues)
), recent AS (
    SELECT a.ended_at - a.started_at AS duration FROM job_attempts a
    WHERE a.queue = $1 ORDER BY a.ended_at DESC LIMIT {RECENT_ATTEMPTS}
)
SELECT now() AS now,
    (SELECT count(*) FROM ahead) AS ahead,
    (SELECT count(*) FROM ahead WHERE owner_id = $4) AS mine_ahead,
    (SELECT count(*) FROM serving) AS workers,
    (SELECT coalesce(sum(slots), 0) FROM serving) AS slots,
    (SELECT count(*) FROM jobs j JOIN serving s ON s.id = j.worker_id WHERE j.status = 'running') AS busy,
    (SELECT count(*) FROM jobs WHERE status = 'running' AND owner_id = $4) AS mine_running,
    (SELECT count(*) FROM serving WHERE $6 = ANY (kinds)) AS able_workers,
    (SELECT extract(epoch FROM avg(duration))::float8 FROM recent) AS attempt_seconds"""  # noqa: S608  # two numbers of our own


@dataclass(frozen=True)
class _Reason:
    code: str
    sentence: str
    facts: dict[str, Any] = field(default_factory=dict)


async def explain(
    connection: asyncpg.Connection,
    job: asyncpg.Record,
    *,
    lease_seconds: float,
    is_redis_up: bool,
    max_running: int = 0,
) -> Explanation:
    """Say why this job stands where it stands, and when it may go on."""
    if job["status"] != Status.PENDING:
        reason = _STANDING[Status(job["status"])](job)
        return _explanation(job, reason, estimated_completion=estimated_completion(job, datetime.now(UTC)))
    circumstances = await connection.fetchrow(
        _CIRCUMSTANCES,
        job["queue"],
        job["sort_key"],
        job["id"],
        job["owner_id"],
        timedelta(seconds=lease_seconds),
        job["kind"],
    )
    assert circumstances is not None  # noqa: S101  # a query without FROM has exactly one row
    return _explanation(
        job,
        _why_waiting(job, circumstances, is_redis_up=is_redis_up, max_running=max_running),
        position=circumstances["ahead"] + 1,
        jobs_of_mine_ahead=circumstances["mine_ahead"],
        estimated_start_at=_estimated_start(job, circumstances),
    )


def _why_waiting(job: asyncpg.Record, now: asyncpg.Record, *, is_redis_up: bool, max_running: int) -> _Reason:
    """The first reason that would have to go before the next one matters."""
    queue = job["queue"]
    if job["run_at"] > now["now"]:
        seconds = round((job["run_at"] - now["now"]).total_seconds(), 1)
        facts = {"run_at": job["run_at"], "seconds": seconds}
        if job["failures"]:
            facts |= {"failures": job["failures"], "max_attempts": job["max_attempts"], "error": job["error"]}
            return _Reason(
                "retry_wait", f"Its last attempt failed; the next one is due in {seconds} s.", facts
            )
        return _Reason("delayed", f"It is not to start before its time, in {seconds} s.", facts)
    if not now["workers"]:
        return _Reason("no_worker", f"No worker that is alive serves the queue {queue!r}.")
    if not now["able_workers"]:
        return _Reason(
            "no_worker_knows_kind",
            f"No worker of the queue {queue!r} knows the kind {job['kind']!r}.",
            {"workers": now["workers"]},
        )
    if 0 < max_running <= now["mine_running"]:
        return _Reason(
            "owner_limit",
            f"{now['mine_running']} of your jobs run, as many as may at a time; it waits for one to end.",
            {"running": now["mine_running"], "limit": max_running},
        )
    facts = {name: now[name] for name in ("ahead", "workers", "slots", "busy")}
    if now["ahead"]:
        return _Reason("waiting_its_turn", f"{_ahead(now['ahead'])} ahead of it.", facts)
    if not is_redis_up:
        return _Reason("slow_pick_up", "It is next; without Redis, workers look only once a second.", facts)
    return _Reason("next", "It is next: it starts as soon as a slot is free.", facts)


def _ahead(jobs: int) -> str:
    if jobs == 1:
        return "1 job is"
    return f"{'At least ' if jobs >= MAX_COUNTED else ''}{jobs} jobs are"


def _estimated_start(job: asyncpg.Record, now: asyncpg.Record) -> datetime | None:
    """When those ahead will be through at the pace of the last attempts; None while nobody could say."""
    if not now["able_workers"]:
        return None
    due: datetime = max(job["run_at"], now["now"])
    if now["ahead"] + now["busy"] < now["slots"]:
        return due
    if now["attempt_seconds"] is None:
        return None
    # What runs is half through, on the average.
    attempts = now["ahead"] + now["busy"] / 2
    return due + timedelta(seconds=attempts * now["attempt_seconds"] / now["slots"])


def _running(job: asyncpg.Record) -> _Reason:
    since = job["attempt_started_at"]
    seconds = (datetime.now(UTC) - since).total_seconds()
    facts = {
        "attempt": job["attempt"],
        "since": since,
        "step": job["step"],
        "rows_per_second": round((job["done"] - job["attempt_first_row"]) / seconds, 1)
        if seconds > 0
        else None,
    }
    if job["cancel_requested_at"] is not None:
        return _Reason("cancel_requested", "It is being stopped: its cancel was asked for.", facts)
    return _Reason("running", f"It runs, attempt {job['attempt']} of it.", facts)


def _failed(job: asyncpg.Record) -> _Reason:
    return _Reason("failed", f"It failed: {job['error']['message']}", {"error": job["error"]})


_STANDING: Final[dict[Status, Callable[[asyncpg.Record], _Reason]]] = {
    Status.RUNNING: _running,
    Status.FAILED: _failed,
    Status.COMPLETED: lambda job: _Reason("completed", "It is done.", {"completed_at": job["finished_at"]}),
    Status.CANCELLED: lambda job: _Reason(
        "cancelled", "It was cancelled.", {"completed_at": job["finished_at"]}
    ),
}


def _explanation(
    job: asyncpg.Record,
    reason: _Reason,
    *,
    position: int | None = None,
    jobs_of_mine_ahead: int | None = None,
    estimated_start_at: datetime | None = None,
    estimated_completion: datetime | None = None,
) -> Explanation:
    return Explanation(
        job_id=job["id"],
        code=reason.code,
        sentence=reason.sentence,
        status=Status(job["status"]),
        queue=job["queue"],
        position=position,
        jobs_of_mine_ahead=jobs_of_mine_ahead,
        estimated_start_at=estimated_start_at,
        estimated_completion=estimated_completion,
        facts=reason.facts,
    )
