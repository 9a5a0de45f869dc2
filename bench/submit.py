"""Throughput of `POST /jobs/batch-predict`, compared with a route that inserts one row."""

import asyncio
from typing import Final

from bench import load, options, texts
from bench.load import LoadResult
from bench.measuring import spread
from bench.options import Options
from bench.results import Results
from bench.stack import Stack, stack

CONNECTIONS: Final = 16


async def measure(system: Stack, options: Options) -> Results:
    """Alternate between Headrace and the reference. No worker runs, so the jobs stay pending."""
    results = Results("submit", options)
    seconds = options.choose(10.0, 2.0)
    user = await system.user()
    body = {"texts": texts.small_job()}
    ours: list[LoadResult] = []
    bare: list[LoadResult] = []
    with system.api() as api, system.reference("bare_insert:app") as reference:
        for _ in range(options.rounds):
            await system.delete_jobs()
            ours.append(load.run(load.post_plan(api, user.headers, "/jobs/batch-predict", body, seconds)))
            await system.execute("TRUNCATE bare_jobs")
            headers = {"Content-Type": "application/json"}
            bare.append(load.run(load.post_plan(reference, headers, "/jobs", body, seconds)))
    _ensure_accepted(ours + bare)
    rows = [
        [name, str(spread(one.rate for one in found)), *_latencies(found)]
        for name, found in (("Headrace", ours), ("bare FastAPI + asyncpg", bare))
    ]
    results.table(
        f"Submitting a job of {texts.SMALL_JOB_TEXTS} texts, {CONNECTIONS} connections",
        ("", "requests/s", "p50 ms", "p95 ms", "p99 ms"),
        rows,
        f"Median of {options.rounds} rounds of {seconds:g} s (minimum to maximum).",
    )
    rate = spread(one.rate / other.rate for one, other in zip(ours, bare, strict=True))
    tail = spread(
        one.request_ms["p99"] / other.request_ms["p99"] for one, other in zip(ours, bare, strict=True)
    )
    results.at_least("requests/s, relative to the bare route", rate.median, 0.5)
    results.at_most("p99, relative to the bare route", tail.median, 4.0)
    results.rounds = {"ours": ours, "bare": bare}
    return results


def _latencies(found: list[LoadResult]) -> list[str]:
    return [str(spread(one.request_ms[name] for one in found)) for name in ("p50", "p95", "p99")]


def _ensure_accepted(found: list[LoadResult]) -> None:
    for one in found:
        assert set(one.statuses) == {"202"}, one.statuses


def main() -> None:
    chosen = options.parse(__doc__)
    with stack() as system:
        asyncio.run(measure(system, chosen)).write()


if __name__ == "__main__":
    main()
