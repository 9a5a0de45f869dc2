"""Notifications: what they cost a job that settles, how soon they arrive, and how many a process delivers."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

import asyncpg

from app.core import database, ids
from app.core.database import Database
from app.jobs import transition_statements as statements
from app.jobs import transitions
from app.jobs.outbox import TOLD
from app.jobs.transition_types import Report, TransitionResult
from app.jobs.unit_of_work import UnitOfWork
from app.notifications.sealing import Sealing
from bench import options
from bench.measuring import measure_usage, milliseconds, percentile, spread
from bench.options import Options
from bench.results import Results
from bench.stack import Stack, stack
from tests.notifications import subscribing
from tests.notifications.receiver import Received, Receiver, answer, never, receiving
from tests.support import jobs

OTHERS: Final = 1000
OWN: Final = 3
DEAD_PENDING: Final = 50_000
EVENTS_PER_SECOND: Final = 50
MICROSECONDS: Final = 1_000_000
WAIT_SECONDS: Final = 600.0

# What completes a job, without the part that writes deliveries.
_WITHOUT: Final = statements.ADVANCE.text.replace(f", {TOLD}", "")


async def measure(system: Stack, options: Options) -> Results:
    """Measure the cost of a settle, then the latency, then the rate."""
    results = Results("notifications", options)
    async with database.open_database(system.database_url, pool_size=4) as opened:
        await _measure_settling(system, opened, options, results)
        await _measure_arrival(system, opened, options, results)
        await _measure_rate(system, opened, options, results)
        await _measure_idle(system, opened, options, results)
    return results


async def _measure_settling(system: Stack, opened: Database, options: Options, results: Results) -> None:
    count = options.choose(3000, 100)
    other = (await system.user()).id
    for _ in range(OTHERS):
        await subscribing.subscribe(opened, other)
    stranger, subscriber = (await system.user()).id, (await system.user()).id
    for _ in range(OWN):
        await subscribing.subscribe(opened, subscriber, events=["job.completed"])
    await system.execute("ANALYZE")
    seconds: dict[str, list[float]] = {"without": [], "none of one's own": [], "three of one's own": []}
    owners = {"without": stranger, "none of one's own": stranger, "three of one's own": subscriber}
    for _ in range(options.rounds):
        for name, duration in (await _settle(opened, owners, count)).items():
            seconds[name].append(duration)
    times = {name: spread(MICROSECONDS * one for one in of) for name, of in seconds.items()}
    base = times["without"].median
    results.table(
        f"One settle, among {OTHERS} subscriptions of another user",
        ("subscriptions that match", "µs", "of without"),
        [[name, of, of.median / base] for name, of in times.items()],
        f"The statement that completes a job, alone on a connection, {count} times a round and in turn; "
        "`without` is the same statement without the part that writes deliveries. All with generic plans.",
    )
    # Within a round: the machine is not equally fast in all of them.
    pairs = zip(seconds["none of one's own"], seconds["without"], strict=True)
    more = spread(MICROSECONDS * (none - without) for none, without in pairs).median
    three = times["three of one's own"].median
    results.at_most("more for a settle that nobody subscribed to", more, 15, "µs")
    results.at_most("a settle with three deliveries", three / base, 1.3, "× of without")
    results.rounds["settle_seconds"] = seconds


async def _settle(opened: Database, owners: dict[str, UUID], count: int) -> dict[str, float]:
    """Complete so many jobs of each, in turn, one statement each. Return the median durations."""
    worker_id = await jobs.worker(opened)
    claimed = {}
    for name, owner_id in owners.items():
        for _ in range(count):
            await jobs.create(opened, owner_id, rows=1)
        claimed[name] = await jobs.claim_all(opened, worker_id, limit=count)
    durations: dict[str, list[float]] = {name: [] for name in owners}
    async with opened.connection() as connection:
        # Else Postgres plans only the shorter one anew each time, which takes 0.4 ms.
        await connection.execute("SET plan_cache_mode = force_generic_plan")
        for number in range(count):
            for name in owners:
                report = jobs.report(claimed[name][number], is_final=True)
                began = time.perf_counter()
                if name == "without":
                    await _advance_without(connection, worker_id, report)
                else:
                    await transitions.advance(UnitOfWork(connection), worker_id=worker_id, reports=[report])
                durations[name].append(time.perf_counter() - began)
        await connection.execute("RESET plan_cache_mode")
    return {name: percentile(of, 0.5) for name, of in durations.items()}


async def _advance_without(connection: asyncpg.Connection, worker_id: UUID, report: Report) -> None:
    """Do what `transitions.advance` does, with the other statement."""
    parameters = {
        "worker_id": worker_id,
        **statements.REPORTS.parameters([transitions._report_row(report)]),
        **statements.BATCHES.parameters(transitions._batch_rows(report)),
    }
    rows = await connection.fetch(_WITHOUT, *statements.ADVANCE.arguments(parameters))
    UnitOfWork(connection).record(TransitionResult.from_rows(rows))


@dataclass
class _Arrivals:
    """When each event came."""

    at: dict[int, float] = field(default_factory=dict)

    async def __call__(self, received: Received, writer: asyncio.StreamWriter) -> None:
        self.at.setdefault(received.json["data"]["number"], time.monotonic())
        await answer()(received, writer)


@asynccontextmanager
async def _delivering(system: Stack) -> AsyncIterator[int]:
    with system.python(
        *("-m", "app", "notify"), ENVIRONMENT="development", WEBHOOK_ALLOWED_NETWORKS="127.0.0.0/8"
    ) as program:
        await asyncio.to_thread(program.wait_for_log, "notify_started")
        yield program.pid


async def _measure_arrival(system: Stack, opened: Database, options: Options, results: Results) -> None:
    seconds = options.choose(60, 3)
    rows = []
    for name, dead in (("alone", 0), ("beside a dead receiver", 1), ("beside twenty dead receivers", 20)):
        await system.execute("DELETE FROM subscriptions")
        latencies = await _arrival(system, opened, dead=dead, count=seconds * EVENTS_PER_SECOND)
        p50, p99 = (milliseconds(percentile(latencies, share)) for share in (0.5, 0.99))
        rows.append([name, p50, p99, milliseconds(max(latencies))])
        results.at_most(f"p50 from commit to receiver, {name}", p50, 400, "ms")
        results.at_most(f"p99 from commit to receiver, {name}", p99, 1000, "ms")
        results.rounds[f"arrival {name}"] = latencies
    results.table(
        f"From commit to receiver, {EVENTS_PER_SECOND} events/s",
        ("receiver", "p50 ms", "p99 ms", "max ms"),
        rows,
        f"Dead receivers accept connections and never answer; {DEAD_PENDING} deliveries wait for them.",
    )


async def _arrival(system: Stack, opened: Database, *, dead: int, count: int) -> list[float]:
    owner_id, sealing = (await system.user()).id, Sealing(system.settings)
    async with receiving() as live, receiving() as silent:
        arrivals = _Arrivals()
        live.respond, silent.respond = arrivals, never
        subscription = await _subscribe(opened, owner_id, sealing, live)
        async with opened.connection() as connection:
            for _ in range(dead):
                of_dead = await _subscribe(opened, owner_id, sealing, silent)
                await subscribing.flood(connection, of_dead, DEAD_PENDING // dead)
            await connection.execute("ANALYZE deliveries")
            committed: dict[int, float] = {}
            async with _delivering(system):
                began = time.monotonic()
                for number in range(count):
                    await asyncio.sleep(max(0.0, began + number / EVENTS_PER_SECOND - time.monotonic()))
                    await _write(connection, subscription, number)
                    committed[number] = time.monotonic()
                await live.wait_for(count, WAIT_SECONDS)
    return [arrivals.at[number] - at for number, at in committed.items()]


async def _subscribe(opened: Database, owner_id: UUID, sealing: Sealing, receiver: Receiver) -> UUID:
    return await subscribing.subscribe(opened, owner_id, sealing=sealing, target={"url": receiver.url})


async def _write(connection: asyncpg.Connection, subscription: UUID, number: int) -> None:
    await connection.execute(
        "INSERT INTO deliveries (id, subscription_id, type, data, next_try_at)"
        " VALUES ($1, $2, 'schedule.missed',"
        " jsonb_build_object('schedule_id', $2::uuid, 'number', $3::int), now())",
        ids.new_id(),
        subscription,
        number,
    )


async def _measure_rate(system: Stack, opened: Database, options: Options, results: Results) -> None:
    count = options.choose(10_000, 300)
    rates: dict[str, list[float]] = {"to one receiver": [], "to ten subscriptions": []}
    for _ in range(options.rounds):
        for name, subscriptions in (("to one receiver", 1), ("to ten subscriptions", 10)):
            await system.execute("DELETE FROM subscriptions")
            rates[name].append(await _rate(system, opened, subscriptions, count))
    results.table(
        f"Deliveries/s of one process, of {count} that wait",
        ("", "deliveries/s"),
        [[name, spread(of)] for name, of in rates.items()],
        "The receiver is in the process that measures.",
    )
    results.at_least("deliveries/s to one receiver", spread(rates["to one receiver"]).median, 200)
    results.rounds["rates"] = rates


async def _rate(system: Stack, opened: Database, subscriptions: int, count: int) -> float:
    owner_id, sealing = (await system.user()).id, Sealing(system.settings)
    async with receiving() as receiver:
        async with opened.connection() as connection:
            for _ in range(subscriptions):
                subscription = await _subscribe(opened, owner_id, sealing, receiver)
                await subscribing.flood(connection, subscription, count // subscriptions)
            await connection.execute("ANALYZE deliveries")
        async with _delivering(system):
            await receiver.wait_for(1, WAIT_SECONDS)
            began = time.monotonic()
            await receiver.wait_for(count, WAIT_SECONDS)
            return count / (time.monotonic() - began)


async def _measure_idle(system: Stack, opened: Database, options: Options, results: Results) -> None:
    await system.execute("DELETE FROM subscriptions")
    owner_id = (await system.user()).id
    for _ in range(20):
        await subscribing.subscribe(opened, owner_id)
    seconds = options.choose(30.0, 3.0)
    async with _delivering(system) as pid:
        await asyncio.sleep(2.0)
        before = measure_usage(pid)
        await asyncio.sleep(seconds)
        cores = measure_usage(pid).cores_since(before)
    results.at_most("idle, with 20 subscriptions", 100 * cores, 1.0, "% of a core")


def main() -> None:
    chosen = options.parse(__doc__)
    with stack() as system:
        asyncio.run(measure(system, chosen)).write()


if __name__ == "__main__":
    main()
