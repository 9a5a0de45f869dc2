"""Work on large bodies leaves the event loop, other work stays."""

import asyncio
import threading

import pytest

from app.http.offloading import has_large_body, offload, offloading


@pytest.mark.parametrize("is_large", [False, True])
async def test_only_the_work_on_a_large_body_is_done_in_a_thread(is_large: bool) -> None:
    with offloading(is_large):
        thread = await offload(threading.get_ident)

    assert (thread != threading.get_ident()) is is_large


async def test_the_work_knows_in_its_thread_that_the_body_is_large() -> None:
    with offloading(True):
        assert await offload(has_large_body)
    assert not has_large_body()


async def test_a_large_body_of_one_request_is_none_of_another() -> None:
    is_held, is_seen = asyncio.Event(), asyncio.Event()

    async def serve_large() -> None:
        with offloading(True):
            is_held.set()
            await is_seen.wait()

    async def serve_small() -> bool:
        await is_held.wait()
        is_seen.set()
        return has_large_body()

    _, is_large = await asyncio.gather(serve_large(), serve_small())

    assert not is_large


async def test_an_error_reaches_the_caller() -> None:
    with offloading(True), pytest.raises(ZeroDivisionError):
        await offload(divmod, 1, 0)
