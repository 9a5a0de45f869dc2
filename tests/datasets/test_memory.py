"""A large dataset passes through the API, it does not stay in it. A gigabyte: bench/dataset_memory.py."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import psutil

from app.core.config import Settings
from app.core.database import open_database
from tests.support import apis

BYTES = 50_000_000
LIMIT_BYTES = 100 * 1024 * 1024
CSV = {"Content-Type": "text/csv"}


async def table() -> AsyncIterator[bytes]:
    block = b"".join(
        b'%d,"a text, of some length, in row %d",0.%d\n' % (row, row, row) for row in range(10_000)
    )
    yield b"n,text,score\n"
    for _ in range(BYTES // len(block)):
        yield block


async def test_an_upload_of_fifty_megabytes_leaves_the_api_as_small_as_it_was(
    settings: Settings, tmp_path: Path
) -> None:
    async with open_database(settings.database_url, pool_size=2) as database:
        headers = await apis.sign_in(settings, database)
    async with apis.api(settings, tmp_path / "api.log", headers) as api:
        process = psutil.Process(api.process.pid)
        (await api.client.post("/datasets?name=small", content=b"a\n1\n", headers=CSV)).raise_for_status()
        before_bytes = highest_bytes = process.memory_info().rss
        uploading = asyncio.create_task(
            api.client.post("/datasets?name=large", content=table(), headers=CSV, timeout=60)
        )
        while not uploading.done():
            await asyncio.wait([uploading], timeout=0.02)
            highest_bytes = max(highest_bytes, process.memory_info().rss)

        answer = await uploading
        assert answer.status_code == 201, answer.text
        content = 0
        async with api.client.stream("GET", answer.json()["links"]["content"]) as download:
            async for block in download.aiter_raw():
                content += len(block)
                highest_bytes = max(highest_bytes, process.memory_info().rss)

    assert content == answer.json()["bytes"]
    assert highest_bytes - before_bytes < LIMIT_BYTES
