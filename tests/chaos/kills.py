"""`python -m tests.chaos.kills`: measure the time from SIGKILL of a worker until its job runs elsewhere.

Uses the default settings: a lease of 6 s, renewed every second. `KILLS` sets the number of kills.
"""

import asyncio
import os
import random
import sys
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

import asyncpg
import httpx

from tests.chaos import cluster as clusters
from tests.chaos.cluster import Cluster, ManagedProcess
from tests.chaos.options import Options
from tests.chaos.report import quantile
from tests.support import rows
from tests.support.waiting import until

BATCHES: Final = 100_000
WORK_MS: Final = 50
WAIT_SECONDS: Final = 60.0


async def measure(kills: int) -> list[tuple[float, int]]:
    """Return for each kill the seconds until the job ran elsewhere and the number of recomputed batches."""
    options = Options(seed=kills, workers=3, slots=1)
    rng = options.rng("kills")
    found = []
    async with (
        clusters.running(options, lease_seconds=6.0, heartbeat_seconds=1.0) as cluster,
        httpx.AsyncClient(base_url=cluster.urls[0], headers=cluster.headers, trust_env=False) as client,
    ):
        # A process may rescue jobs only after two leases of uninterrupted contact with Postgres.
        await asyncio.sleep(2.5 * cluster.settings.lease_seconds)
        for _ in range(kills):
            found.append(await _kill_once(cluster, client, rng))
            print(f"{found[-1][0]:.2f} s", end=" ", flush=True)
    print()
    return found


async def _kill_once(cluster: Cluster, client: httpx.AsyncClient, rng: random.Random) -> tuple[float, int]:
    body = {"batches": BATCHES, "work_ms": WORK_MS, "counter_path": str(cluster.counter)}
    answer = await client.post("/jobs/count", json=body)
    job_id = UUID(answer.json()["job_id"])
    await until(lambda: _job(cluster, job_id, "next_batch > 2"), seconds=WAIT_SECONDS)
    await asyncio.sleep(rng.uniform(0, 1))  # anywhere between two renewals of the lease
    pid = await rows.value(
        cluster.database,
        "SELECT pid FROM workers w JOIN jobs j ON j.worker_id = w.id WHERE j.id = $1",
        job_id,
    )
    victim = next(worker for worker in cluster.workers if worker.pid == pid)
    await victim.kill()
    killed_at = datetime.now(UTC)
    await until(lambda: _job(cluster, job_id, "attempt = 2 AND status = 'running'"), seconds=WAIT_SECONDS)
    started_at: datetime = await rows.value(
        cluster.database, "SELECT attempt_started_at FROM jobs WHERE id = $1", job_id
    )
    await until(lambda: _job(cluster, job_id, "next_batch > attempt_first_row + 2"), seconds=WAIT_SECONDS)
    await client.post(f"/jobs/{job_id}/cancel")
    await _replace(cluster, victim)
    return (started_at - killed_at).total_seconds(), _computed_again(cluster, job_id)


async def _replace(cluster: Cluster, worker: ManagedProcess) -> None:
    await worker.start()
    known = "SELECT EXISTS (SELECT FROM workers WHERE pid = $1)"
    await until(lambda: rows.value(cluster.database, known, worker.pid), seconds=WAIT_SECONDS)


async def _job(cluster: Cluster, job_id: UUID, condition: str) -> list[asyncpg.Record]:
    query = f"SELECT FROM jobs WHERE id = $1 AND {condition}"
    return await rows.fetch(cluster.database, query, job_id)


def _computed_again(cluster: Cluster, job_id: UUID) -> int:
    """Count the batches that the second attempt computed again."""
    batches = [
        line.split()[1] for line in cluster.counter.read_text().splitlines() if line.startswith(str(job_id))
    ]
    return len(batches) - len(set(batches))


def main() -> int:
    """Print the measurements; return 1 if a kill cost more than one batch."""
    found = asyncio.run(measure(int(os.environ.get("KILLS") or 30)))
    seconds = [second for second, _ in found]
    again = [batches for _, batches in found]
    p50, p95, longest = (quantile(seconds, share) for share in (0.5, 0.95, 1.0))
    print(
        f"{len(found)} kills: running elsewhere after p50 {p50:.2f} s, p95 {p95:.2f} s, max {longest:.2f} s"
    )
    print(f"batches computed again: {sum(again)}, at most {max(again)} for one kill")
    return 1 if max(again) > 1 else 0


if __name__ == "__main__":
    sys.exit(main())
