"""Resource use of an idle system, memory of each process, start-up times, and what the demo costs."""

import asyncio
import os
import resource
import statistics
import subprocess
import sys
import time
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from typing import Any, Final

import msgspec
from redis import Redis

from bench import load, options, texts
from bench.measuring import MIB, ResourceUsage, measure_usage, spread
from bench.options import Options
from bench.pickup import until_ended
from bench.results import Results
from bench.stack import ROOT, Program, Stack, User, stack

SETTLE_SECONDS: Final = 5.0


@dataclass(frozen=True)
class Idle:
    """Resource use of an idle process with its descendants."""

    cores: float
    rss_mib: float
    pss_mib: float
    processes: int


async def measure(system: Stack, options: Options) -> Results:
    """Measure start-up, then an idle API, then an idle API with an idle worker."""
    results = Results("cost", options)
    user = await system.user()
    api_starts = [_api_start(system) for _ in range(options.rounds)]
    job_starts = [await _first_job(system, user) for _ in range(options.rounds)]
    demos = [_demo_seconds() for _ in range(options.rounds)]
    seconds = options.choose(60.0, 8.0)
    with ExitStack() as running:
        api = running.enter_context(system.api())
        alone = await _measure_idle(system, {}, seconds)
        worker = running.enter_context(system.worker())
        programs = {"API": api.program, "worker": worker}
        together = await _measure_idle(system, programs, seconds)
        api.call(
            "POST", "/jobs/batch-predict", user.headers, msgspec.json.encode({"texts": texts.small_job()})
        )
    idle = together.idle
    results.table(
        f"Idle for {seconds:g} s",
        ("", "cores", "RSS MiB", "PSS MiB", "processes", "Redis commands/s", "Postgres transactions/s"),
        [
            [
                "API",
                _share(idle["API"].cores),
                idle["API"].rss_mib,
                idle["API"].pss_mib,
                idle["API"].processes,
                alone.redis_per_second,
                alone.postgres_per_second,
            ],
            [
                "worker with two slots, including its children",
                _share(idle["worker"].cores),
                idle["worker"].rss_mib,
                idle["worker"].pss_mib,
                idle["worker"].processes,
                max(0.0, together.redis_per_second - alone.redis_per_second),
                max(0.0, together.postgres_per_second - alone.postgres_per_second),
            ],
        ],
        "RSS counts shared memory once per process, PSS once in total.",
    )
    results.table(
        "Start-up time",
        ("", "seconds"),
        [
            ["API, until its first response", spread(api_starts)],
            ["worker, until it completes its first job", spread(job_starts)],
        ],
        f"Including interpreter start and imports; {options.rounds} starts each.",
    )
    results.table(
        "The demo",
        ("", "processor seconds"),
        [["`make demo`, all processes from an empty folder to the end", spread(demos)]],
        "Creates a database, starts the system, predicts 1000 texts, trains and uses a model, and stops.",
    )
    results.at_most("API idle", 100 * idle["API"].cores, 1.0, "% of a core")
    results.at_most("Processor time of the demo", statistics.median(demos), 8.0, "s")
    results.at_most("worker idle", 100 * idle["worker"].cores, 1.0, "% of a core")
    worker_commands = max(0.0, together.redis_per_second - alone.redis_per_second)
    results.at_most("Redis commands/s of an idle worker", worker_commands, 5.0)
    results.rounds = {"alone": asdict(alone), "together": asdict(together)}
    return results


@dataclass(frozen=True)
class IdlePeriod:
    """LoadResult on the servers and resource use of the processes during an idle period."""

    redis_per_second: float
    postgres_per_second: float
    idle: dict[str, Idle]


async def _measure_idle(system: Stack, programs: dict[str, Program], seconds: float) -> IdlePeriod:
    await asyncio.sleep(SETTLE_SECONDS)
    before = {name: measure_usage(program.pid) for name, program in programs.items()}
    redis_before, postgres_before = _commands(system), await _transactions(system)
    began = time.monotonic()
    await asyncio.sleep(seconds)
    elapsed = time.monotonic() - began
    redis_after, postgres_after = _commands(system), await _transactions(system)
    after = {name: measure_usage(program.pid) for name, program in programs.items()}
    return IdlePeriod(
        # Subtract the command and the transaction that read the counters.
        (redis_after - redis_before - 1) / elapsed,
        (postgres_after - postgres_before - 1) / elapsed,
        {name: _idle(before[name], after[name]) for name in programs},
    )


def _idle(before: ResourceUsage, after: ResourceUsage) -> Idle:
    return Idle(after.cores_since(before), after.rss_bytes / MIB, after.pss_bytes / MIB, after.processes)


def _share(cores: float) -> str:
    return f"{cores:.2%}"


def _commands(system: Stack) -> int:
    with Redis.from_url(system.redis_url) as client:
        stats: Any = client.info("stats")
    return int(stats["total_commands_processed"])


async def _transactions(system: Stack) -> int:
    [row] = await system.fetch("SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()")
    return int(row["xact_commit"])


def _api_start(system: Stack) -> float:
    began = time.monotonic()
    with system.api():
        return time.monotonic() - began


async def _first_job(system: Stack, user: User) -> float:
    with system.api() as api:
        body = msgspec.json.encode({"texts": texts.small_job()})
        job_id = api.call("POST", "/jobs/batch-predict", user.headers, body)["job_id"]
        connection = await load.connect(api.port)
        began = time.monotonic()
        with system.worker():
            assert await until_ended(connection, user, job_id) == "completed"
            return time.monotonic() - began


def _demo_seconds() -> float:
    """Run the demo; return the processor time of all its processes, each of which is waited for."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    left_out = ("DATABASE_URL", "REDIS_URL", "PYTHONDONTWRITEBYTECODE")  # the last one as in the Makefile
    subprocess.run(
        [sys.executable, "-m", "app", "demo"],
        env={name: value for name, value in os.environ.items() if name not in left_out},
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        check=True,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    chosen = options.parse(__doc__)
    with stack() as system:
        asyncio.run(measure(system, chosen)).write()


if __name__ == "__main__":
    main()
