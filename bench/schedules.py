"""Firing schedules: from a tick to its job, many that are due in one second, and a look at many of them."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from typing import Final

import asyncpg
import msgspec

from app.jobs.kinds import registry
from app.schedules import firing_statements
from bench import load, options, texts
from bench.load import Connection
from bench.measuring import milliseconds, percentile, spread
from bench.options import Options
from bench.results import Results
from bench.stack import Api, Stack, User, stack
from tests.support.waiting import until

OWNERS: Final = 20
DUE_AT_ONCE: Final = 10_000
EACH_SECOND: Final = 100
LOOKS: Final = 200
AHEAD_SECONDS: Final = 3

# Schedules of these owners with the same next tick, so many seconds from now, and so often after it.
_ADD: Final = """
INSERT INTO schedules (
    id, owner_id, name, trigger, rule, timezone, misfire_grace_seconds, catch_up, catch_up_limit,
    catch_up_window_seconds, overlap, queue_limit, jitter_seconds, kind, job, status, next_fire_at)
SELECT uuidv7(), ($1::uuid[])[1 + n % cardinality($1::uuid[])], 'schedule ' || n, '{}',
    jsonb_build_object('type', 'interval', 'anchor', to_jsonb(s.tick), 'seconds', $4::int,
        'includes_anchor', true),
    'UTC', 3600, 'last', 10, 86400, 'allow', 1, 0, 'batch_predict', $5::jsonb, 'active', s.tick
FROM generate_series(1, $2::int) n CROSS JOIN (
    SELECT date_trunc('second', now()) + make_interval(secs => $3) AS tick) s"""

_LATENESS: Final = """
SELECT extract(epoch FROM created_at - fire_at)::float8 AS seconds FROM jobs WHERE schedule_id IS NOT NULL"""


async def measure(system: Stack, options: Options) -> Results:
    """Fire schedules with one API process and no worker."""
    results = Results("schedules", options)
    users = [await system.user() for _ in range(OWNERS)]
    bursts, bursts_under_load, lateness = [], [], []
    idle: list[float] = []
    submits: list[float] = []
    for _ in range(options.rounds):
        await _clear(system)
        with system.api(MAX_ACTIVE_JOBS="1000000") as api:
            await _add(system, users, DUE_AT_ONCE, every_seconds=86_400)
            bursts.append(await _burst(system))
            await _clear(system)
            idle += await _submit_for(api, users[0], options.choose(5.0, 2.0))
            await _add(system, users, DUE_AT_ONCE, every_seconds=86_400)
            bursts_under_load.append(await _burst(system, _submitting(api, users[0], submits)))
            await _clear(system)
            await _add(system, users, EACH_SECOND, every_seconds=1)
            await asyncio.sleep(AHEAD_SECONDS + options.choose(20, 5))
            lateness += [row["seconds"] for row in await system.fetch(_LATENESS)]
    await _clear(system)
    await _add(system, users, DUE_AT_ONCE, every_seconds=86_400, in_seconds=3600)
    looks = await _look(system)
    slowdown = percentile(submits, 0.99) / percentile(idle, 0.99)
    results.table(
        f"{DUE_AT_ONCE} schedules of {OWNERS} users, due in the same second",
        ("", ""),
        [
            ["tick → all jobs committed, s", spread(bursts)],
            ["the same while a client submits jobs, s", spread(bursts_under_load)],
            ["POST /jobs meanwhile, p99 ms", milliseconds(percentile(submits, 0.99))],
            ["POST /jobs on the idle system, p99 ms", milliseconds(percentile(idle, 0.99))],
        ],
        "One API process, no worker. The client submits jobs of 10 texts one after the other.",
    )
    results.table(
        f"{EACH_SECOND} schedules of each second",
        ("", "p50 ms", "p99 ms", "max ms"),
        [["tick → transaction of its job", *(_milliseconds(lateness, share) for share in (0.5, 0.99, 1.0))]],
        "From `fire_at` to `created_at`, the start of the transaction that creates the job.",
    )
    results.table(
        f"One look, with {DUE_AT_ONCE} schedules",
        ("", "p50 ms", "p99 ms"),
        [["statement on an open connection", *(_milliseconds(looks, share) for share in (0.5, 0.99))]],
        "An idle process looks twice a second.",
    )
    results.at_most(f"{DUE_AT_ONCE} schedules due at once → all jobs", spread(bursts).median, 2.0, "s")
    results.at_most("the same while a client submits jobs", spread(bursts_under_load).median, 5.0, "s")
    results.at_most("submit p99 meanwhile, relative to idle", slowdown, 4.0)
    results.at_most("tick → its job, p50", _milliseconds(lateness, 0.5), 20.0, "ms")
    results.at_most("tick → its job, p99", _milliseconds(lateness, 0.99), 100.0, "ms")
    results.rounds = {"burst_seconds": bursts, "lateness_seconds": lateness, "look_seconds": looks}
    return results


def _milliseconds(seconds: list[float], share: float) -> float:
    return milliseconds(percentile(seconds, share))


async def _clear(system: Stack) -> None:
    await system.execute("TRUNCATE schedules CASCADE")
    await system.delete_jobs()


async def _add(
    system: Stack, users: list[User], count: int, *, every_seconds: int, in_seconds: int = AHEAD_SECONDS
) -> None:
    owners = [user.id for user in users]
    job = msgspec.json.encode({"texts": texts.small_job()}).decode()
    await system.execute(_ADD, owners, count, in_seconds, every_seconds, job)


async def _burst(system: Stack, meanwhile: AbstractAsyncContextManager[None] | None = None) -> float:
    """Wait until all schedules have fired. Return how long after their tick, at which `meanwhile` begins."""
    [row] = await system.fetch(
        "SELECT extract(epoch FROM min(next_fire_at) - now())::float8 AS s FROM schedules"
    )
    tick: float = time.monotonic() + row["s"]
    connection = await asyncpg.connect(system.database_url)

    async def have_all_fired() -> bool:
        is_any_due = "SELECT EXISTS (SELECT FROM schedules WHERE next_fire_at <= now())"
        return not await connection.fetchval(is_any_due)

    try:
        await asyncio.sleep(tick - time.monotonic())
        async with meanwhile or nullcontext():
            await until(have_all_fired)
            return time.monotonic() - tick
    finally:
        await connection.close()


@asynccontextmanager
async def _submitting(api: Api, user: User, found: list[float]) -> AsyncIterator[None]:
    """Submit jobs one after the other during the body. Add to `found` how long each took."""
    stop = asyncio.Event()
    submitting = asyncio.create_task(_submit_until(stop, api, user, found))
    try:
        yield
    finally:
        stop.set()
        await submitting


async def _submit_for(api: Api, user: User, seconds: float) -> list[float]:
    """Submit jobs one after the other for so long. Return how long each took."""
    stop, found = asyncio.Event(), list[float]()
    asyncio.get_running_loop().call_later(seconds, stop.set)
    await _submit_until(stop, api, user, found)
    return found


async def _submit_until(stop: asyncio.Event, api: Api, user: User, found: list[float]) -> None:
    connection: Connection = await load.connect(api.port)
    body = msgspec.json.encode({"texts": texts.small_job()})
    post = load.request("POST", "/jobs/batch-predict", user.headers, body)
    while not stop.is_set():
        began = time.monotonic()
        status, answer = await connection.send(post)
        assert status == 202, answer
        found.append(time.monotonic() - began)


async def _look(system: Stack) -> list[float]:
    connection = await asyncpg.connect(system.database_url)
    found = []
    try:
        for _ in range(LOOKS):
            began = time.monotonic()
            await firing_statements.LOOK.fetchrow(connection, kinds=list(registry.BUILT_IN))
            found.append(time.monotonic() - began)
    finally:
        await connection.close()
    return found


def main() -> None:
    chosen = options.parse(__doc__)
    with stack() as system:
        asyncio.run(measure(system, chosen)).write()


if __name__ == "__main__":
    main()
