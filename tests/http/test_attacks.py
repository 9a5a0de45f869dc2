"""The most expensive bodies that anybody can send, on a real server: others are served meanwhile."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import psutil
import pytest

from app.core.config import Settings
from app.core.database import open_database
from app.http.routing import SMALL_BODY_BYTES
from tests.support import apis
from tests.support.apis import Api
from tests.support.bodies import ANONYMOUS, JSON, LARGE, LIMIT_BYTES, MIB, SIGNED_IN, SMALL, members

pytestmark = pytest.mark.timeout(300)
"""Others may want the processors too."""

MAX_GROWTH_BYTES = 100 * MIB
MAX_BUSY_SECONDS = 0.5
"""How much processor time the API may use between two answers to others; what is measured is below 0.1."""

ANSWERS = (202, 400, 401, 413, 422)


class Watch:
    """How long others wait, and how much memory the process takes, while something goes on."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._process = psutil.Process(api.process.pid)
        self._rss = self._process.memory_info().rss
        self.longest_wait = 0.0
        self.growth_bytes = 0

    def _busy_seconds(self) -> float:
        times = self._process.cpu_times()
        return times.user + times.system

    async def during(self, answer: "asyncio.Task[httpx.Response]") -> httpx.Response:
        async with httpx.AsyncClient(base_url=self._api.client.base_url, timeout=60) as client:
            while not answer.done():
                # In processor time, not by the clock: what else the machine does is not the question here.
                before = self._busy_seconds()
                assert (await client.get("/health/live")).status_code == 200
                self.longest_wait = max(self.longest_wait, self._busy_seconds() - before)
                self.growth_bytes = max(self.growth_bytes, self._process.memory_info().rss - self._rss)
                await asyncio.sleep(0.005)
        return await answer


@pytest.fixture
async def api(settings: Settings, tmp_path: Path) -> AsyncIterator[Api]:
    async with open_database(settings.database_url, pool_size=2) as database:
        headers = await apis.sign_in(settings, database)
    async with apis.api(settings, tmp_path / "api.log", headers) as api:
        yield api


async def assert_is_harmless(api: Api, path: str, body: bytes, headers: dict[str, str], name: str) -> None:
    watch = Watch(api)
    answer = asyncio.create_task(api.client.post(path, content=body, headers=headers, timeout=60))
    response = await watch.during(answer)
    told = f"{name}: {len(body)} bytes to {path}: {response.status_code}"
    assert response.status_code in ANSWERS, told
    assert watch.longest_wait < MAX_BUSY_SECONDS, f"{told}: others waited for {watch.longest_wait} s"
    assert watch.growth_bytes < MAX_GROWTH_BYTES, f"{told}: it took {watch.growth_bytes} bytes"


@pytest.mark.parametrize("path", SIGNED_IN)
async def test_the_largest_body_holds_nobody_up_and_fills_no_memory(api: Api, path: str) -> None:
    for name, make in LARGE.items():
        await assert_is_harmless(api, path, make(), JSON, name)


async def test_neither_does_any_body_without_a_token(api: Api) -> None:
    del api.client.headers["Authorization"]
    for path, headers in ANONYMOUS:
        for size in (SMALL_BODY_BYTES, LIMIT_BYTES):
            for name, make in SMALL.items():
                await assert_is_harmless(api, path, make(size), headers, name)
    for path in SIGNED_IN:
        answer = await api.client.post(path, content=members(LIMIT_BYTES), headers=JSON)
        assert answer.status_code == 401


async def test_a_bad_token_is_refused_without_a_byte_of_the_body(api: Api) -> None:
    taken: list[bytes] = []

    async def body() -> AsyncIterator[bytes]:
        for _ in range(16):
            taken.append(b" " * MIB)
            yield taken[-1]

    headers = {**JSON, "Authorization": "Bearer forged"}
    answer = await api.client.post("/jobs/batch-predict", content=body(), headers=headers)

    assert answer.status_code == 401
    assert answer.json()["code"] == "invalid_token"
