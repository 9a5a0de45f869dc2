"""How much memory an API process takes while a large dataset comes in: `python bench/dataset_memory.py`.

A CSV of a gigabyte, made as it is sent, goes through a real API process on embedded servers, and comes back.
What counts is the highest resident size of the API, read from the kernel, above what it was before.
"""

import argparse
import asyncio
import hashlib
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import psutil

sys.path.insert(0, str(Path(__file__).parents[1]))

from app.cli.migrations import migrate
from app.core.config import load_settings
from app.core.database import open_database
from app.embedded.servers import EmbeddedServers
from tests.support import apis

LIMIT_BYTES = 100 * 1024 * 1024
BLOCK_ROWS = 10_000


async def csv_of(total_bytes: int, digest: "hashlib._Hash") -> AsyncIterator[bytes]:
    """A table of texts and figures of about so many bytes."""
    yield _counted(b"id,text,price,day,is_new\n", digest)
    sent, row = 0, 0
    while sent < total_bytes:
        lines = (
            f'{number},"The {number}th thing, which is ""quoted"" and goes on for a while",{number / 8},'
            f"2024-0{number % 9 + 1}-1{number % 10},{'true' if number % 3 else 'false'}\n"
            for number in range(row, row + BLOCK_ROWS)
        )
        block = "".join(lines).encode()
        sent += len(block)
        row += BLOCK_ROWS
        yield _counted(block, digest)


def _counted(block: bytes, digest: "hashlib._Hash") -> bytes:
    digest.update(block)
    return block


class Highest:
    """The highest resident size of a process, and of all it has started."""

    def __init__(self, pid: int) -> None:
        self._process = psutil.Process(pid)
        self.before = self._process.memory_info().rss
        self.own = self.before
        self.children = 0

    async def watch(self) -> None:
        while True:
            self.own = max(self.own, self._process.memory_info().rss)
            for child in self._process.children():
                try:
                    self.children = max(self.children, child.memory_info().rss)
                except psutil.NoSuchProcess:
                    continue
            await asyncio.sleep(0.05)


async def measure(folder: Path, servers: EmbeddedServers, total_bytes: int) -> int:
    settings = load_settings(
        _env_file=None,
        database_url=servers.postgres.url,
        redis_url=servers.valkey.url,
        storage_url=(folder / "storage").as_uri(),
        worker_port=None,
    )
    async with open_database(settings.database_url, pool_size=2) as database:
        headers = await apis.sign_in(settings, database)
    async with apis.api(settings, folder / "api.log", headers) as api:
        small = {"Content-Type": "text/csv"}
        (await api.client.post("/datasets?name=small", content=b"a\n1\n", headers=small)).raise_for_status()
        highest = Highest(api.process.pid)
        watching = asyncio.create_task(highest.watch())
        digest = hashlib.sha256()
        started = time.perf_counter()
        answer = await api.client.post(
            "/datasets?name=large", content=csv_of(total_bytes, digest), headers=small, timeout=900
        )
        answer.raise_for_status()
        dataset = answer.json()
        seconds = time.perf_counter() - started
        assert dataset["sha256"] == digest.hexdigest()
        print(f"up:   {dataset['bytes'] / 1e6:.0f} MB, {dataset['rows']} rows in {seconds:.1f} s")
        print("      " + ", ".join(f"{column['name']} {column['type']}" for column in dataset["columns"]))
        started = time.perf_counter()
        await _download(api.client, dataset)
        print(f"down: {time.perf_counter() - started:.1f} s, byte for byte the same")
        watching.cancel()
    growth = highest.own - highest.before
    print(f"API:  {highest.before / 1e6:.0f} MB before, at most {growth / 1e6:.0f} MB more")
    print(f"      its conversion process {highest.children / 1e6:.0f} MB at most")
    return growth


async def _download(client: httpx.AsyncClient, dataset: dict[str, object]) -> None:
    digest = hashlib.sha256()
    async with client.stream("GET", f"/datasets/{dataset['dataset_id']}/content", timeout=900) as answer:
        async for block in answer.aiter_raw():
            digest.update(block)
    assert digest.hexdigest() == dataset["sha256"]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bytes", type=int, default=1_000_000_000)
    total_bytes = parser.parse_args().bytes
    with tempfile.TemporaryDirectory(prefix="headrace-bench-") as name:
        folder = Path(name)
        folder.chmod(0o711)  # root's Postgres is another user, who has to get through
        with EmbeddedServers(folder / "servers") as servers:
            migrate(servers.postgres.url)
            growth = asyncio.run(measure(folder, servers, total_bytes))
    if growth > LIMIT_BYTES:
        print(f"That is more than {LIMIT_BYTES / 1e6:.0f} MB.")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
