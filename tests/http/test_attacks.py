"""The most expensive bodies that anybody can send, on a real server: others are served meanwhile."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import httpx
import psutil
import pytest

from app.core.config import Settings
from app.core.database import open_database
from app.http.routing import SMALL_BODY_BYTES
from tests.support import apis
from tests.support.apis import Api

pytestmark = pytest.mark.timeout(300)
"""Others may want the processors too."""

MIB = 1024 * 1024
LIMIT_BYTES = 16 * MIB - 1024
MAX_GROWTH_BYTES = 100 * MIB
MAX_BUSY_SECONDS = 0.5
"""How much processor time the API may use between two answers to others; what is measured is below 0.1."""

ANSWERS = (202, 400, 401, 413, 422)

JSON = {"Content-Type": "application/json"}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


def repeated(
    start: bytes, part: bytes, end: bytes, size: int = LIMIT_BYTES, separator: bytes = b","
) -> bytes:
    """A body of about this size out of many of the same."""
    count = (size - len(start) - len(end)) // (len(part) + len(separator))
    return start + separator.join([part] * count) + end


def members(size: int) -> bytes:
    """An object of many unknown members."""
    count = size // 14
    return b"{" + b",".join(b'"k%07d":0' % number for number in range(count)) + b"}"


ROW = b"{" + b",".join(b'"c%d":1.5' % number for number in range(99)) + b"}"


def texts(text: bytes) -> bytes:
    """As many as are allowed of a text that is as long as it can be."""
    size = LIMIT_BYTES // 1000 - 10
    return repeated(b'{"texts":[', b'"%s"' % (text * (size // len(text))), b"]}")


SMALL: dict[str, Callable[[int], bytes]] = {
    "members": members,
    "numbers": lambda size: repeated(b"[", b"1", b"]", size),
    "objects": lambda size: repeated(b"[", b"{}", b"]", size),
    "brackets": lambda size: b"[" * size,
    "escapes": lambda size: repeated(b'{"username":"', b"\\u00e9", b'"}', size, b""),
}
ANONYMOUS = [("/users", JSON), ("/token", FORM), ("/token/refresh", JSON)]
SIGNED_IN = ["/jobs/batch-predict", "/jobs/evaluate-model", "/jobs/train-model", "/jobs/bulk", "/predict"]

LARGE: dict[str, Callable[[], bytes]] = {
    "unknown members": lambda: members(LIMIT_BYTES),
    "a bare list of numbers": lambda: repeated(b"[", b"1", b"]"),
    "a bare list of objects": lambda: repeated(b"[", b"{}", b"]"),
    "instances that are numbers": lambda: repeated(b'{"instances":[', b"1", b"]}"),
    "instances that are empty": lambda: repeated(b'{"instances":[', b"{}", b"]}"),
    "instances with bad values": lambda: repeated(b'{"instances":[{"a":[', b"NaN", b"]}]}", 390_000),
    "instances with huge values": lambda: repeated(b'{"instances":[[', b"9" * 4000, b"]]}"),
    "a number without an end": lambda: b'{"instances":[[' + b"9" * LIMIT_BYTES + b"]]}",
    "texts that are numbers": lambda: repeated(b'{"texts":[', b"1", b"]}"),
    "texts that are long": lambda: texts(b"a"),
    "texts with commas": lambda: texts(b"a, "),
    "texts with one wide character": lambda: texts(b"a").replace(b"aaaa", "🙂".encode(), 900),
    "texts of wide characters": lambda: texts("🙂".encode()),
    "texts of escapes": lambda: texts(rb"\u00e9"),
    "texts of quotes": lambda: texts(rb"\""),
    "texts of backslashes": lambda: texts(rb"\\"),
    "rows that are numbers": lambda: repeated(b'{"model":"sentiment","target":"a","rows":[', b"1", b"]}"),
    "rows with many values": lambda: repeated(
        b'{"target":"a","rows":[',
        ROW,
        b"]}",
        980_000,
    ),
    "jobs that are numbers": lambda: repeated(b'{"jobs":[', b"1", b"]}"),
    "jobs that are empty": lambda: repeated(b'{"jobs":[', b"{}", b"]}"),
    "jobs with a bad list": lambda: repeated(
        b'{"jobs":[{"kind":"batch_predict","texts":[', b"1", b"]}]}", 190_000
    ),
    "bad metadata": lambda: b'{"texts":["a"],"metadata":' + members(1_300_000) + b"}",
    "a search of many": lambda: b'{"target":"a","search":{"params":' + members(1_300_000) + b"}}",
    "brackets": lambda: b"[" * LIMIT_BYTES,
    "strings without commas": lambda: b'""' * (LIMIT_BYTES // 2),
    "spaces": lambda: b" " * LIMIT_BYTES,
}


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
