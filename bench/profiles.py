"""Rows per second of a batch job with a profile, compared with the same job without one."""

import asyncio
from typing import Final

from bench import options
from bench.measuring import number, percentile, spread
from bench.options import Options
from bench.results import Results
from bench.rows import rate, upload
from bench.stack import Stack, stack

BATCH_SIZE: Final = 1000
MIN_SHARE: Final = 0.9


async def measure(system: Stack, options: Options) -> Results:
    """Alternate between the two; one process computes in each. The built-in model makes many small calls."""
    results = Results("profiles", options)
    rows = options.choose(100_000, 10_000)
    user = await system.user()
    profiled: list[float] = []
    plain: list[float] = []
    with system.api() as api, system.worker(WORKER_SLOTS="1"):
        dataset = upload(api, user, rows)
        warm_up = upload(api, user, 1000)
        for is_profiled in (False, True):  # they run in different children
            await rate(system, api, user, warm_up, BATCH_SIZE, profile=is_profiled)
        for _ in range(options.rounds):
            plain.append(await rate(system, api, user, dataset, BATCH_SIZE))
            profiled.append(await rate(system, api, user, dataset, BATCH_SIZE, profile=True))
    share = percentile([one / two for one, two in zip(profiled, plain, strict=True)], 0.5)
    results.table(
        f"{number(float(rows))} texts from a CSV, built-in model, one computing process",
        ("", "rows/s"),
        [["with a profile", str(spread(profiled))], ["without", str(spread(plain))]],
        f"Median of {options.rounds} rounds (minimum to maximum), alternating.",
    )
    results.at_least("rows/s with a profile, relative to without", share, MIN_SHARE)
    results.rounds = {"profiled_rows_per_second": profiled, "rows_per_second": plain}
    return results


def main() -> None:
    chosen = options.parse(__doc__)
    with stack() as system:
        asyncio.run(measure(system, chosen)).write()


if __name__ == "__main__":
    main()
