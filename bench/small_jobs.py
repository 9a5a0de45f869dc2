"""Small jobs end to end over HTTP, one worker with two processes, compared with two tutorials.

One is FastAPI + Celery + Redis; the other one loses no job: FastAPI + Procrastinate + Postgres.
"""

import asyncio
from typing import Final

from redis import Redis

from bench import load, options, texts
from bench.load import LoadResult, Plan
from bench.measuring import percentile, spread
from bench.options import Options
from bench.results import Results
from bench.stack import Api, Stack, User, stack
from tests.support.waiting import until

CONNECTIONS: Final = 16
PROCESSES: Final = 2
JSON: Final = {"Content-Type": "application/json"}
SETTLE_SECONDS: Final = 300.0
CELERY_DONE: Final = ("SUCCESS", "FAILURE")
PROCRASTINATE: Final = ("-m", "procrastinate", "--app", "bench.references.procrastinate_tutorial.queue")
"""Not imported: it needs a package of the extra `bench`."""


async def measure(system: Stack, options: Options) -> Results:
    """Alternate between Headrace and the tutorial, end to end and POST only; both stacks run all the time."""
    results = Results("small_jobs", options)
    seconds = options.choose(15.0, 3.0)
    user = await system.user()
    celery = ("-m", "celery", "-A", "bench.references.celery_tutorial:celery", "worker")
    socket = {"REDIS_SOCKET": system.redis_socket}
    found: dict[str, list[LoadResult]] = {}
    await asyncio.to_thread(system.run, *PROCRASTINATE, "schema", "--apply")
    with (
        system.api() as api,
        system.worker(WORKER_SLOTS=str(PROCESSES)),
        system.reference("celery_tutorial:app", **socket) as tutorial,
        system.python(*celery, "--concurrency", str(PROCESSES), "--loglevel", "INFO", **socket) as pool,
        system.reference("procrastinate_tutorial:app") as durable,
        system.python(*PROCRASTINATE, "worker", "--concurrency", "1"),
        system.python(*PROCRASTINATE, "worker", "--concurrency", "1"),
    ):
        pool.wait_for_log("ready.")
        plans = {
            "Headrace": _ours(api, user, seconds),
            "Celery tutorial": _tutorial(tutorial, seconds, is_followed=True),
            "Procrastinate tutorial": _tutorial(durable, seconds, is_followed=True),
            "Headrace, GET ?wait=20": _ours(api, user, seconds, query="?wait=20"),
            "Headrace, POST only": load.post_plan(
                api, user.headers, "/jobs/batch-predict", _body(), options.choose(5.0, 1.0)
            ),
            "Celery tutorial, POST only": _tutorial(tutorial, options.choose(5.0, 1.0), is_followed=False),
        }
        for _ in range(options.rounds):
            for name, plan in plans.items():
                found.setdefault(name, []).append(load.run(plan))
                await _wait_until_idle(system)
    _ensure_successful(found)
    results.table(
        f"Jobs of {texts.SMALL_JOB_TEXTS} texts, {CONNECTIONS} connections, {PROCESSES} worker processes",
        ("", "jobs/s", "POST p50 ms", "POST p99 ms", "job p50 ms", "job p99 ms", "GETs per job"),
        [_row(name, loads) for name, loads in found.items()],
        f"Median of {options.rounds} rounds (minimum to maximum). While a job has not ended, the client polls"
        f" it every {load.PAUSE_SECONDS * 1000:g} ms. Headrace commits every step to Postgres with fsync, and"
        " so does Procrastinate; Celery keeps everything in Redis. In POST-only rounds, the workers process"
        " the jobs at the same time.",
    )
    results.at_least("jobs/s, relative to the tutorial", _ratio(found, ""), 2.0)
    pairs = zip(found["Headrace"], found["Procrastinate tutorial"], strict=True)
    durable_ratio = percentile([ours.rate / theirs.rate for ours, theirs in pairs], 0.5)
    results.at_least("jobs/s, relative to the tutorial that loses no job", durable_ratio, 1.0)
    results.at_least("POST-only requests/s, relative to the tutorial", _ratio(found, ", POST only"), 2.0)
    results.rounds = dict(found)
    return results


def _body() -> dict[str, list[str]]:
    return {"texts": texts.small_job()}


def _ours(api: Api, user: User, seconds: float, query: str = "") -> Plan:
    path = "/jobs/{id}" + query
    return load.post_plan(api, user.headers, "/jobs/batch-predict", _body(), seconds, status_path=path)


def _tutorial(api: Api, seconds: float, *, is_followed: bool) -> Plan:
    more: dict[str, object] = {"id_field": "task_id", "final": CELERY_DONE}
    if is_followed:
        more["status_path"] = "/predict/{id}"
    return load.post_plan(api, JSON, "/predict", _body(), seconds, **more)


async def _wait_until_idle(system: Stack) -> None:
    """Wait until both queues are empty, so that no round processes jobs of another."""

    async def is_idle() -> bool:
        [row] = await system.fetch("SELECT count(*) FROM jobs WHERE status IN ('pending', 'running')")
        [queued] = await system.fetch(
            "SELECT count(*) FROM procrastinate_jobs WHERE status IN ('todo', 'doing')"
        )
        return not row[0] and not queued[0] and _celery_backlog(system) == 0

    await until(is_idle, seconds=SETTLE_SECONDS)


def _celery_backlog(system: Stack) -> int:
    with Redis.from_url(system.redis_url) as client:
        waiting = client.llen("celery")
        unacknowledged = client.hlen("unacked")
    assert isinstance(waiting, int)
    assert isinstance(unacknowledged, int)
    return waiting + unacknowledged


def _row(name: str, loads: list[LoadResult]) -> list[str]:
    is_followed = "POST only" not in name
    return [
        name,
        str(spread(one.rate for one in loads)),
        str(spread(one.request_ms["p50"] for one in loads)),
        str(spread(one.request_ms["p99"] for one in loads)),
        str(spread(one.cycle_ms["p50"] for one in loads)) if is_followed else "",
        str(spread(one.cycle_ms["p99"] for one in loads)) if is_followed else "",
        str(spread(one.polls_per_cycle for one in loads)) if is_followed else "",
    ]


def _ratio(found: dict[str, list[LoadResult]], what: str) -> float:
    pairs = zip(found[f"Headrace{what}"], found[f"Celery tutorial{what}"], strict=True)
    return percentile([ours.rate / theirs.rate for ours, theirs in pairs], 0.5)


def _ensure_successful(found: dict[str, list[LoadResult]]) -> None:
    for loads in found.values():
        for one in loads:
            assert set(one.statuses) == {"202"}, one.statuses
            assert set(one.ended) <= {"completed", "SUCCESS"}, one.ended


def main() -> None:
    chosen = options.parse(__doc__)
    with stack() as system:
        asyncio.run(measure(system, chosen)).write()


if __name__ == "__main__":
    main()
