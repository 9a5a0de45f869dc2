"""Time from creating a job until it runs on an idle system, compared with ARQ, PgQueuer and Procrastinate."""

import asyncio
import random
import time
from typing import Any, Final

import msgspec
from arq.connections import RedisSettings, create_pool
from redis.asyncio import Redis

from bench import load, options, texts
from bench.load import Connection
from bench.measuring import milliseconds, percentile, spread
from bench.options import Options
from bench.references import bare_arq
from bench.results import Results
from bench.stack import FINAL, Api, Stack, User, stack

GAP_SECONDS: Final = 0.6
"""Maximum random pause between jobs. Exceeds ARQ's polling interval, so that jobs arrive at any phase."""

TIMEOUT_SECONDS: Final = 30

PGQUEUER: Final = "bench.references.bare_pgqueuer"
PROCRASTINATE: Final = "bench.references.bare_procrastinate"
"""Neither is imported: both need packages of the extra `bench`."""

_WAITED: Final = """
SELECT extract(epoch FROM started_at - created_at)::float8 AS seconds FROM jobs WHERE id = ANY ($1)"""


async def measure(system: Stack, options: Options) -> Results:
    """Run one job at a time to its end, while the workers of both systems are running."""
    results = Results("pickup", options)
    jobs = options.choose(100, 10)
    user = await system.user()
    ours: list[list[float]] = []
    arq: list[list[float]] = []
    durable: dict[str, list[list[float]]] = {PGQUEUER: [], PROCRASTINATE: []}
    socket = {"REDIS_SOCKET": system.redis_socket}
    for reference in durable:
        await _run(system, reference, "install")
    with (
        system.api() as api,
        system.worker(),
        system.python("-m", "arq", "bench.references.bare_arq.WorkerSettings", **socket) as arq_worker,
        system.python("-m", "pgqueuer", "run", f"{PGQUEUER}:main", **socket),
        system.python("-m", PROCRASTINATE, "work", **socket),
    ):
        arq_worker.wait_for_log("Starting worker")
        for reference in durable:
            await _run(system, reference, "measure", 3, 0)  # until its worker has started
        await run_one_by_one(system, api, user, 3)  # warm-up: the child loads its libraries
        for _ in range(options.rounds):
            ours.append(await run_one_by_one(system, api, user, jobs))
            arq.append(await _arq(system, jobs))
            for reference, rounds in durable.items():
                measured = await _run(system, reference, "measure", jobs, GAP_SECONDS)
                rounds.append(msgspec.json.decode(measured, type=list[float]))
    results.table(
        "create → running, one job at a time",
        ("", "p50 ms", "p95 ms", "p99 ms", "max ms"),
        [
            ["Headrace", *_cells(ours)],
            ["ARQ with its defaults", *_cells(arq)],
            ["PgQueuer with its defaults", *_cells(durable[PGQUEUER])],
            ["Procrastinate with its defaults", *_cells(durable[PROCRASTINATE])],
        ],
        f"Median of {options.rounds} rounds of {jobs} jobs (minimum to maximum). Headrace: from `created_at`"
        " to `started_at` by the database's clock. The others: from the call that enqueues the job to the"
        " first line of the function.",
    )
    waited = [seconds for one in ours for seconds in one]
    results.at_most("create → running, p50", milliseconds(percentile(waited, 0.5)), 3.0, "ms")
    results.at_most("create → running, p99", milliseconds(percentile(waited, 0.99)), 15.0, "ms")
    results.rounds = {
        "ours_seconds": ours,
        "arq_seconds": arq,
        "pgqueuer_seconds": durable[PGQUEUER],
        "procrastinate_seconds": durable[PROCRASTINATE],
    }
    return results


def _cells(rounds: list[list[float]]) -> list[str]:
    shares = (0.5, 0.95, 0.99, 1.0)
    return [str(spread(milliseconds(percentile(one, share)) for one in rounds)) for share in shares]


async def run_one_by_one(system: Stack, api: Api, user: User, jobs: int) -> list[float]:
    """Run jobs one at a time to their end; return how long each waited, by the database's clock."""
    connection = await load.connect(api.port)
    body = msgspec.json.encode({"texts": texts.small_job()})
    post = load.request("POST", "/jobs/batch-predict", user.headers, body)
    job_ids = []
    for _ in range(jobs):
        status, answer = await connection.send(post)
        assert status == 202, answer
        job_ids.append(msgspec.json.decode(answer)["job_id"])
        await until_ended(connection, user, job_ids[-1])
        await asyncio.sleep(random.uniform(0, GAP_SECONDS))
    return [row["seconds"] for row in await system.fetch(_WAITED, job_ids)]


async def until_ended(connection: Connection, user: User, job_id: str) -> str:
    """Wait with long polling until a job has ended; return its status."""
    ask = load.request("GET", f"/jobs/{job_id}?wait=60", user.headers)
    while True:
        _, answer = await connection.send(ask)
        status: str = msgspec.json.decode(answer)["status"]
        if status in FINAL:
            return status


async def _arq(system: Stack, jobs: int) -> list[float]:
    found = []
    pool = await create_pool(RedisSettings(unix_socket_path=system.redis_socket))
    async with Redis(unix_socket_path=system.redis_socket) as redis:
        for _ in range(jobs):
            await pool.enqueue_job("pick_up", time.time())
            # redis-py's types describe the synchronous client.
            answer: Any = redis.blpop([bare_arq.PICKED_UP], timeout=TIMEOUT_SECONDS)
            picked_up = await answer
            assert picked_up is not None
            found.append(float(picked_up[1]))
            await asyncio.sleep(random.uniform(0, GAP_SECONDS))
    await pool.aclose()
    return found


async def _run(system: Stack, reference: str, *arguments: object) -> bytes:
    """Run a reference's client, and return its output."""
    socket = {"REDIS_SOCKET": system.redis_socket}
    return await asyncio.to_thread(system.run, "-m", reference, *map(str, arguments), **socket)


def main() -> None:
    chosen = options.parse(__doc__)
    with stack() as system:
        asyncio.run(measure(system, chosen)).write()


if __name__ == "__main__":
    main()
