"""Small jobs end to end over HTTP, one worker of two processes, beside FastAPI + Celery + Redis."""

import asyncio
from typing import Final

from redis import Redis

from bench import load, options, texts
from bench.load import Load, Plan
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


async def measure(system: Stack, options: Options) -> Results:
    """Rounds in turns: end to end, then POST alone, ours and the tutorial's; both stacks are up meanwhile."""
    results = Results("small_jobs", options)
    seconds = options.choose(15.0, 3.0)
    user = await system.user()
    celery = ("-m", "celery", "-A", "bench.references.celery_tutorial:celery", "worker")
    socket = {"REDIS_SOCKET": system.redis_socket}
    found: dict[str, list[Load]] = {}
    with (
        system.api() as api,
        system.worker(WORKER_SLOTS=str(PROCESSES)),
        system.reference("celery_tutorial:app", **socket) as tutorial,
        system.python(*celery, "--concurrency", str(PROCESSES), "--loglevel", "INFO", **socket) as pool,
    ):
        pool.wait_for_log("ready.")
        plans = {
            "Headrace": _ours(api, user, seconds),
            "Celery tutorial": _tutorial(tutorial, seconds, is_followed=True),
            "Headrace, GET ?wait=20": _ours(api, user, seconds, query="?wait=20"),
            "Headrace, POST alone": load.posting(
                api, user.headers, "/jobs/batch-predict", _body(), options.choose(5.0, 1.0)
            ),
            "Celery tutorial, POST alone": _tutorial(tutorial, options.choose(5.0, 1.0), is_followed=False),
        }
        for _ in range(options.rounds):
            for name, plan in plans.items():
                found.setdefault(name, []).append(load.run(plan))
                await _settle(system)
    _ensure_done(found)
    results.table(
        f"Jobs of {texts.SMALL_JOB_TEXTS} texts, {CONNECTIONS} connections, {PROCESSES} processes that work",
        ("", "jobs/s", "POST p50 ms", "POST p99 ms", "job p50 ms", "job p99 ms", "GETs a job"),
        [_row(name, loads) for name, loads in found.items()],
        f"Median of {options.rounds} rounds, in brackets the lowest and the highest. A client asks again"
        f" {load.PAUSE_SECONDS * 1000:g} ms after an answer that says the job has not ended."
        " Ours are committed to Postgres with fsync, at each step; the tutorial's are in Redis only."
        " With POST alone both pools work off the jobs meanwhile.",
    )
    results.at_least("jobs/s, of the tutorial's", _ratio(found, ""), 2.0)
    results.at_least("POSTs/s alone, of the tutorial's", _ratio(found, ", POST alone"), 2.0)
    results.rounds = dict(found)
    return results


def _body() -> dict[str, list[str]]:
    return {"texts": texts.small_job()}


def _ours(api: Api, user: User, seconds: float, query: str = "") -> Plan:
    path = "/jobs/{id}" + query
    return load.posting(api, user.headers, "/jobs/batch-predict", _body(), seconds, status_path=path)


def _tutorial(api: Api, seconds: float, *, is_followed: bool) -> Plan:
    more: dict[str, object] = {"id_field": "task_id", "final": CELERY_DONE}
    if is_followed:
        more["status_path"] = "/predict/{id}"
    return load.posting(api, JSON, "/predict", _body(), seconds, **more)


async def _settle(system: Stack) -> None:
    """Wait until nothing is left to do, so that no round works off what another left."""

    async def look() -> bool:
        [row] = await system.fetch("SELECT count(*) FROM jobs WHERE status IN ('pending', 'running')")
        return row[0] == 0 and _celery_backlog(system) == 0

    await until(look, seconds=SETTLE_SECONDS)


def _celery_backlog(system: Stack) -> int:
    with Redis.from_url(system.redis_url) as client:
        waiting = client.llen("celery")
        taken = client.hlen("unacked")
    assert isinstance(waiting, int)
    assert isinstance(taken, int)
    return waiting + taken


def _row(name: str, loads: list[Load]) -> list[str]:
    is_followed = "POST alone" not in name
    return [
        name,
        str(spread(one.rate for one in loads)),
        str(spread(one.request_ms["p50"] for one in loads)),
        str(spread(one.request_ms["p99"] for one in loads)),
        str(spread(one.cycle_ms["p50"] for one in loads)) if is_followed else "",
        str(spread(one.cycle_ms["p99"] for one in loads)) if is_followed else "",
        str(spread(one.polls_per_cycle for one in loads)) if is_followed else "",
    ]


def _ratio(found: dict[str, list[Load]], what: str) -> float:
    pairs = zip(found[f"Headrace{what}"], found[f"Celery tutorial{what}"], strict=True)
    return percentile([ours.rate / theirs.rate for ours, theirs in pairs], 0.5)


def _ensure_done(found: dict[str, list[Load]]) -> None:
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
