"""Rows per second of a batch job over a dataset, compared with a bare loop over the same model."""

import asyncio
import csv
import io
import subprocess
import sys
from typing import Any, Final

import msgspec

from bench import load, options, texts
from bench.measuring import number, percentile, spread
from bench.options import Options
from bench.pickup import until_ended
from bench.results import Results
from bench.stack import ROOT, Api, Stack, User, stack

BATCH_SIZES: Final = (1000, 10)
MIN_SHARE: Final = {1000: 0.95, 10: 0.85}

_SECONDS: Final = """
SELECT extract(epoch FROM finished_at - started_at)::float8 AS seconds, done, errors
FROM jobs WHERE id = $1"""


async def measure(system: Stack, options: Options) -> Results:
    """Alternate between the job and the loop for each batch size; one process computes in each."""
    results = Results("rows", options)
    rows = options.choose(100_000, 10_000)
    user = await system.user()
    ours: dict[int, list[float]] = {size: [] for size in BATCH_SIZES}
    bare: dict[int, list[float]] = {size: [] for size in BATCH_SIZES}
    with system.api() as api, system.worker(WORKER_SLOTS="1"):
        dataset = upload(api, user, rows)
        await rate(system, api, user, upload(api, user, 1000), 1000)  # warm-up: the child loads its libraries
        for _ in range(options.rounds):
            for size in BATCH_SIZES:
                ours[size].append(await rate(system, api, user, dataset, size))
                bare[size].append(rows / bare_loop(rows, size))
    table = []
    for size in BATCH_SIZES:
        share = percentile([one / two for one, two in zip(ours[size], bare[size], strict=True)], 0.5)
        table.append([str(size), str(spread(ours[size])), str(spread(bare[size])), number(share)])
        results.at_least(f"rows/s at batch size {size}, relative to the bare loop", share, MIN_SHARE[size])
    results.table(
        f"{number(float(rows))} texts from a CSV, built-in model, one computing process",
        ("batch size", "Headrace rows/s", "bare loop rows/s", "share"),
        table,
        f"Median of {options.rounds} rounds (minimum to maximum). Headrace: from the claim to the last"
        " commit, including reading the dataset, storing every prediction and logging every batch.",
    )
    results.rounds = {"ours_rows_per_second": ours, "bare_rows_per_second": bare}
    return results


def upload(api: Api, user: User, rows: int) -> str:
    """Upload a dataset of texts and return its id."""
    table = io.StringIO()
    writer = csv.writer(table)
    writer.writerow(["text"])
    writer.writerows([text] for text in texts.reviews(rows))
    headers = {**user.headers, "Content-Type": "text/csv"}
    dataset: dict[str, Any] = api.call("POST", "/datasets?name=reviews", headers, table.getvalue().encode())
    assert dataset["rows"] == rows
    return str(dataset["dataset_id"])


async def rate(
    system: Stack, api: Api, user: User, dataset_id: str, batch_size: int, *, profile: bool = False
) -> float:
    """Run one job, with a profile if asked to; return its rows per second."""
    request = {"dataset_id": dataset_id, "batch_size": batch_size, "profile": profile, "shards": 1}
    body = msgspec.json.encode(request)
    job_id = api.call("POST", "/jobs/batch-predict", user.headers, body)["job_id"]
    connection = await load.connect(api.port)
    assert await until_ended(connection, user, job_id) == "completed"
    [row] = await system.fetch(_SECONDS, job_id)
    assert not row["errors"]
    return float(row["done"] / row["seconds"])


def bare_loop(rows: int, batch_size: int) -> float:
    """The seconds of the reference, in a process of its own."""
    arguments = ["-m", "bench.references.bare_loop", str(rows), str(batch_size)]
    done = subprocess.run([sys.executable, *arguments], cwd=ROOT, stdout=subprocess.PIPE, check=True)
    return float(done.stdout)


def main() -> None:
    chosen = options.parse(__doc__)
    with stack() as system:
        asyncio.run(measure(system, chosen)).write()


if __name__ == "__main__":
    main()
