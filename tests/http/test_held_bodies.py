"""How many bytes of bodies a process holds at a time, whatever they come in."""

import asyncio
import gzip
from collections.abc import AsyncIterator

import httpx
import pytest
from fastapi import FastAPI, Request

from app.http import problems
from app.http.body_budget import SmallBodies
from app.http.encodings import EncodingMiddleware
from app.http.middleware import BodyBounds, RequestMiddleware, allow_json

SIZE = 60_000
PLAIN = b'"' + b"a" * (SIZE - 2) + b'"'
PACKED = gzip.compress(PLAIN)
HELD = 100_000
"""One body of that size fits, two do not."""

JSON = {"Content-Type": "application/json"}
BODIES = {
    "plain": (PLAIN, JSON),
    "in gzip": (PACKED, {**JSON, "Content-Encoding": "gzip"}),
}


class Stand:
    """An application that holds the first body until it may answer."""

    def __init__(self) -> None:
        self.may_answer = asyncio.Event()
        self.is_read = asyncio.Event()
        self.app = FastAPI()
        problems.install(self.app)
        self.app.add_middleware(EncodingMiddleware)
        bounds = BodyBounds(max_bytes=64 * 1024)
        self.app.add_middleware(RequestMiddleware, bounds=bounds, small_bodies=SmallBodies(HELD))

        @self.app.post("/small")
        async def small(request: Request) -> int:
            return await self._read(request)

        @self.app.post("/large")
        async def large(request: Request) -> int:
            allow_json(request.scope, 1024 * 1024)
            return await self._read(request)

    async def _read(self, request: Request) -> int:
        size = len(await request.body())
        if not self.is_read.is_set():
            self.is_read.set()
            await self.may_answer.wait()
        return size


@pytest.fixture
def stand() -> Stand:
    return Stand()


@pytest.fixture
async def visitor(stand: Stand) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(stand.app)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        yield client


@pytest.mark.parametrize("path", ["/small", "/large"])
@pytest.mark.parametrize("form", BODIES)
async def test_a_body_counts_with_what_is_held_of_it(
    stand: Stand, visitor: httpx.AsyncClient, path: str, form: str
) -> None:
    content, headers = BODIES[form]

    async with asyncio.TaskGroup() as group:
        first = group.create_task(visitor.post(path, content=content, headers=headers))
        await stand.is_read.wait()
        refused = await visitor.post(path, content=content, headers=headers)
        signs_in = group.create_task(visitor.post(path, content=b'"tiny"', headers=JSON))
        stand.may_answer.set()
    later = await visitor.post(path, content=content, headers=headers)

    assert (first.result().status_code, first.result().json()) == (200, SIZE)
    assert (refused.status_code, refused.json()["code"]) == (503, "server_busy")
    assert int(refused.headers["retry-after"]) > 0
    assert signs_in.result().status_code == 200
    assert later.status_code == 200


async def test_a_small_body_that_inflates_counts_before_it_is_whole(
    stand: Stand, visitor: httpx.AsyncClient
) -> None:
    is_taken, may_end = asyncio.Event(), asyncio.Event()
    stand.may_answer.set()

    async def halted() -> AsyncIterator[bytes]:
        yield PACKED[:-8]
        is_taken.set()
        await may_end.wait()
        yield PACKED[-8:]

    headers = {**JSON, "Content-Encoding": "gzip"}
    async with asyncio.TaskGroup() as group:
        first = group.create_task(visitor.post("/small", content=halted(), headers=headers))
        await is_taken.wait()
        refused = await visitor.post("/small", content=PLAIN, headers=JSON)
        may_end.set()

    assert refused.json()["code"] == "server_busy"
    assert first.result().json() == SIZE
