"""Turns between users: the time of a claim, throughput, pickup, and how long B waits behind a flood of A.

`CLAIM_ORDER=priority` is the plain claim: it takes the first job by `sort_key`, of any owner.
"""

import asyncio
import math
import time
from pathlib import Path
from typing import Final
from uuid import UUID

import asyncpg
from arq.connections import RedisSettings, create_pool
from redis import Redis

from app.core import ids
from app.core.config import ClaimOrder
from app.core.database import Database, open_database
from app.jobs import transitions
from app.jobs.kinds import batch_predict
from app.jobs.transition_types import ClaimedJob
from app.jobs.unit_of_work import UnitOfWork
from bench import options, pickup
from bench.measuring import milliseconds, number, percentile
from bench.options import Options
from bench.results import Results
from bench.stack import Stack, User, stack
from tests.support.waiting import until

KIND: Final = batch_predict.KIND.name
OWNERS: Final = {1: 1.3, 2: 1.3, 11: 2.0, 101: 5.0}
"""How many users wait, and how often the backend time of the plain claim their claim may take."""

MOST_MS: Final = 1.5
"""Backend time of a claim while a hundred users wait."""

CONNECTIONS: Final = 8
THROUGHPUT_OWNERS: Final = {1: 0.9, 10: 0.75}
"""How many users wait, and the least share of the plain claim's throughput."""

TIMEOUT_SECONDS: Final = 300.0
NOTED: Final = "fairness:{}"

_USERS: Final = """
INSERT INTO users (id, username, username_key, password_hash)
SELECT id, 'bench-' || id, 'bench-' || id, 'none' FROM unnest($1::uuid[]) id"""

# Pending jobs of the users in turn, due one after the other within the last minute.
_JOBS: Final = """
INSERT INTO jobs (id, owner_id, kind, queue, priority, run_at, sort_key, params, max_attempts, total,
    soft_limit_seconds, time_limit_seconds, retention_seconds)
SELECT gen_random_uuid(), ($1::uuid[])[1 + n % cardinality($1::uuid[])], $3, 'default', 'normal',
    due.at, due.at, '{}', 3, 1, 60, 60, 60
FROM generate_series(0, $2::int - 1) n
CROSS JOIN LATERAL (SELECT now() - interval '1 minute' * (1 - n / $2::float8) AS at) due"""


async def measure(system: Stack, options: Options) -> Results:
    """Measure both orders in turns on the same database, then whole systems."""
    results = Results("fairness", options)
    await _claims(system, options, results)
    await _throughput(system, options, results)
    await _pickup(system, options, results)
    await _behind_a_flood(system, options, results)
    return results


async def _fill(system: Stack, owners: int, jobs: int) -> list[UUID]:
    """Replace all jobs by pending ones of new users."""
    await system.delete_jobs()
    owner_ids = [ids.new_id() for _ in range(owners)]
    await system.execute(_USERS, owner_ids)
    await system.execute(_JOBS, owner_ids, jobs, KIND)
    await system.execute("VACUUM ANALYZE")
    return owner_ids


async def _claim(connection: asyncpg.Connection, worker_id: UUID, order: ClaimOrder) -> ClaimedJob:
    [claimed] = await transitions.claim(
        UnitOfWork(connection), queue="default", kinds=[KIND], worker_id=worker_id, limit=1, order=order
    )
    return claimed


async def _settle(connection: asyncpg.Connection, job: ClaimedJob) -> None:
    await transitions.stop(UnitOfWork(connection), job_id=job.id, attempt=job.attempt)


async def _claims(system: Stack, options: Options, results: Results) -> None:
    """The time that the backend computes for one claim. Others wait for it no longer than that."""
    times = options.choose(300, 20)
    rows: list[list[object]] = []
    turn = math.nan
    found: dict[str, dict[str, list[float]]] = {}
    async with open_database(system.database_url, pool_size=2) as database:
        for owners, most in OWNERS.items():
            await _fill(system, owners, 20 * times)
            seconds = await _claim_seconds(database, options.rounds, times)
            found[str(owners)] = {str(order): measured for order, measured in seconds.items()}
            plain, turn = (
                percentile(seconds[order], 0.5) for order in (ClaimOrder.PRIORITY, ClaimOrder.TURNS)
            )
            rows.append([owners, milliseconds(plain), milliseconds(turn), turn / plain])
            results.at_most(f"claim in turn, {owners} waiting, relative to priority", turn / plain, most)
    results.at_most("claim in turn, 101 waiting, backend", milliseconds(turn), MOST_MS, "ms")
    results.table(
        "Processor time of the Postgres backend for one claim",
        ("waiting users", "priority, p50 ms", "turns, p50 ms", "ratio"),
        rows,
        f"{times * options.rounds} claims each, alternately, of one job on one connection; the job ends"
        " before the next claim. From `/proc/PID/schedstat`.",
    )
    results.rounds["claim_seconds"] = found


async def _claim_seconds(database: Database, rounds: int, times: int) -> dict[ClaimOrder, list[float]]:
    worker_id = ids.new_id()
    found: dict[ClaimOrder, list[float]] = {order: [] for order in ClaimOrder}
    async with database.connection() as connection:
        clock = Path(f"/proc/{connection.get_server_pid()}/schedstat")
        for number_of_round in range(rounds + 1):
            for order in ClaimOrder:
                for _ in range(times):
                    before = _backend_seconds(clock)
                    claimed = await _claim(connection, worker_id, order)
                    after = _backend_seconds(clock)
                    await _settle(connection, claimed)
                    if number_of_round:  # in the first one, plans are made
                        found[order].append(after - before)
    return found


def _backend_seconds(clock: Path) -> float:
    return int(clock.read_text().split()[0]) / 1e9


async def _throughput(system: Stack, options: Options, results: Results) -> None:
    seconds = options.choose(10.0, 1.0)
    rows: list[list[object]] = []
    async with open_database(system.database_url, pool_size=CONNECTIONS) as database:
        for owners, least in THROUGHPUT_OWNERS.items():
            rates: dict[ClaimOrder, list[float]] = {order: [] for order in ClaimOrder}
            for _ in range(options.rounds):
                for order in ClaimOrder:
                    await _fill(system, owners, options.choose(60_000, 5_000))
                    rates[order].append(await _rate(database, order, seconds))
            pairs = zip(rates[ClaimOrder.TURNS], rates[ClaimOrder.PRIORITY], strict=True)
            ratio = percentile([turn / plain for turn, plain in pairs], 0.5)
            medians = (percentile(rates[order], 0.5) for order in (ClaimOrder.PRIORITY, ClaimOrder.TURNS))
            rows.append([owners, *medians, ratio])
            results.at_least(f"claims and settles/s, {owners} waiting, relative to priority", ratio, least)
            results.rounds[f"rates_{owners}"] = {str(order): found for order, found in rates.items()}
    results.table(
        f"Claims and settles per second, {CONNECTIONS} connections",
        ("waiting users", "priority", "turns", "ratio"),
        rows,
    )


async def _rate(database: Database, order: ClaimOrder, seconds: float) -> float:
    """Claim and end jobs for a while; return how many each second."""
    until_time = time.monotonic() + seconds

    async def work() -> int:
        worker_id, done = ids.new_id(), 0
        async with database.connection() as connection:
            while time.monotonic() < until_time:
                await _settle(connection, await _claim(connection, worker_id, order))
                done += 1
        return done

    began = time.monotonic()
    done = sum(await asyncio.gather(*(work() for _ in range(CONNECTIONS))))
    return done / (time.monotonic() - began)


async def _pickup(system: Stack, options: Options, results: Results) -> None:
    jobs = options.choose(100, 5)
    await system.delete_jobs()
    user = await system.user()
    waited: dict[ClaimOrder, list[float]] = {order: [] for order in ClaimOrder}
    for _ in range(options.rounds):
        for order in ClaimOrder:
            waited[order] += await _pickup_seconds(system, user, order, jobs)
    plain, turn = (
        milliseconds(percentile(waited[order], 0.5)) for order in (ClaimOrder.PRIORITY, ClaimOrder.TURNS)
    )
    results.table(
        "create → running on an idle system",
        ("", "priority, p50 ms", "turns, p50 ms"),
        [["one job at a time", plain, turn]],
        f"{jobs * options.rounds} jobs each.",
    )
    results.at_most("create → running with turns, p50, more than with priority", turn - plain, 0.2, "ms")
    results.rounds["pickup_seconds"] = {str(order): seconds for order, seconds in waited.items()}


async def _pickup_seconds(system: Stack, user: User, order: ClaimOrder, jobs: int) -> list[float]:
    setting = {"CLAIM_ORDER": str(order)}
    with system.api(**setting) as api, system.worker(**setting):
        await pickup.run_one_by_one(system, api, user, 3)  # warm-up: the child loads its libraries
        return await pickup.run_one_by_one(system, api, user, jobs)


async def _behind_a_flood(system: Stack, options: Options, results: Results) -> None:
    """How many jobs start before the first one of B, which is created after all those of A?"""
    flood = options.choose(100_000, 1_000)
    flood_of_references = options.choose(5_000, 100)
    ours: dict[ClaimOrder, int | str] = {}
    for order in ClaimOrder:
        ours[order] = await _claims_until_last(system, order, flood)
    references = await _starts_before_last(system, flood_of_references)
    results.table(
        "Jobs of A that start before the only job of B",
        ("", "jobs of A in the queue", "start before B's"),
        [
            ["Headrace", flood, ours[ClaimOrder.TURNS]],
            ["Headrace, `CLAIM_ORDER=priority`", flood, ours[ClaimOrder.PRIORITY]],
            *([name, flood_of_references, count] for name, count in references.items()),
        ],
        "ARQ and Celery have one queue and no owners; their jobs do nothing but note that they started.",
    )
    before = ours[ClaimOrder.TURNS]
    claims = before + 1 if isinstance(before, int) else math.inf
    results.at_most("claims until B's job, behind those of A", claims, 2)


async def _claims_until_last(system: Stack, order: ClaimOrder, flood: int) -> int | str:
    [_] = await _fill(system, 1, flood)
    patient = ids.new_id()
    await system.execute(_USERS, [patient])
    await system.execute(_JOBS, [patient], 1, KIND)
    await system.execute("UPDATE jobs SET run_at = now(), sort_key = now() WHERE owner_id = $1", patient)
    worker_id, most = ids.new_id(), min(flood, 2_000)
    async with (
        open_database(system.database_url, pool_size=2) as database,
        database.connection() as connection,
    ):
        for before in range(most):
            claimed = await _claim(connection, worker_id, order)
            await _settle(connection, claimed)
            if claimed.owner_id == patient:
                return before
    return f"> {number(float(most))}"


async def _starts_before_last(system: Stack, flood: int) -> dict[str, int]:
    socket = {"REDIS_SOCKET": system.redis_socket}
    system.flush_redis()
    pool = await create_pool(RedisSettings(unix_socket_path=system.redis_socket))
    for owner in ["a"] * flood + ["b"]:
        await pool.enqueue_job("note_start", owner)
    await pool.aclose()
    # In a subprocess, because Celery reads its settings from the environment on import.
    send = (
        "from bench.references.celery_tutorial import note_start\n"
        f"for owner in ['a'] * {flood} + ['b']: note_start.delay(owner)"
    )
    with system.python("-c", send, **socket) as sender:
        assert sender.wait(TIMEOUT_SECONDS) == 0, sender.log
    arq = ("-m", "arq", "bench.references.bare_arq.WorkerSettings")
    celery = ("-m", "celery", "-A", "bench.references.celery_tutorial:celery", "worker", "-c", "2")
    found = {}
    for name, arguments in {"arq": arq, "celery": celery}.items():
        with system.python(*arguments, **socket):
            found[name] = await _noted_before_last(system, name)
    return {"ARQ": found["arq"], "Celery": found["celery"]}


async def _noted_before_last(system: Stack, name: str) -> int:
    async def place_of_last() -> list[int]:
        with Redis.from_url(system.redis_url) as client:
            place = client.lpos(NOTED.format(name), "b")
        return [] if place is None else [int(str(place))]

    [place] = await until(place_of_last, seconds=TIMEOUT_SECONDS)
    return place


def main() -> None:
    chosen = options.parse(__doc__)
    with stack() as system:
        asyncio.run(measure(system, chosen)).write()


if __name__ == "__main__":
    main()
