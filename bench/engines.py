"""Rows a second of `batch_predict` on the engines `pool` and `loopback`, in turns: `python -m bench.engines`.

The built-in model over a dataset, in batches of 1000 rows, each acknowledged at once: without Postgres, which
is the same for both.
"""

import argparse
import asyncio
import statistics
import tempfile
from pathlib import Path
from time import perf_counter

from app.core.files import StoredFile
from tests.conformance import engines
from tests.conformance.engines import ENGINES, Bench
from tests.worker.handlers import test_batch_predict
from tests.worker.preprocessing import running
from worker.children.messages import Done, Start

WORDS = ("good", "bad", "great", "awful", "blue", "lovely", "horrible", "fine", "wonderful")


def main() -> None:
    """Print the rate of each round and the medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=40_000)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    asyncio.run(_compare(arguments.rows, arguments.rounds))


async def _compare(rows: int, rounds: int) -> None:
    with tempfile.TemporaryDirectory(prefix="headrace-bench-") as name:
        folder = Path(name)
        texts = [{"text": f"{n} {WORDS[n % 9]} and {WORDS[n // 9 % 9]} things"} for n in range(rows)]
        message = test_batch_predict.over_dataset(
            running.stored(folder, texts), shape={"column": "text"}, batch_size=1000
        )
        async with (
            engines.bench(ENGINES["pool"], folder / "pool", 1) as pool,
            engines.bench(ENGINES["loopback"], folder / "loopback", 1) as loopback,
        ):
            benches = [
                (engine, bench, await bench.store_files(message))
                for engine, bench in (("pool", pool), ("loopback", loopback))
            ]
            rates: dict[str, list[float]] = {"pool": [], "loopback": []}
            for _ in range(rounds + 1):  # the first warms both up
                for engine, bench, wanted in benches:
                    rates[engine].append(await _rate(bench, message, wanted, rows))
                    print(f"{engine:9} {rates[engine][-1]:10,.0f} rows/s")
        medians = {engine: statistics.median(found[1:]) for engine, found in rates.items()}
        print(f"medians: {medians}, ratio {medians['loopback'] / medians['pool']:.3f}")


async def _rate(bench: Bench, message: Start, wanted: dict[str, StoredFile], rows: int) -> float:
    started = perf_counter()
    attempt = await bench.run(message, wanted=wanted)
    assert isinstance(attempt.end, Done), attempt.end
    assert sum(batch.row_count for batch in attempt.batches) == rows
    return rows / (perf_counter() - started)


if __name__ == "__main__":
    main()
