"""The queues of streams: in order, bounded, and nobody is left waiting."""

import asyncio

import pytest

from app.streams.mailbox import Mailbox


async def test_items_come_out_in_order() -> None:
    box: Mailbox[int] = Mailbox(3)

    assert [box.put_nowait(item) for item in range(4)] == [True, True, True, False]
    assert [await box.get() for _ in range(3)] == [0, 1, 2]


async def test_a_reader_waits_for_an_item() -> None:
    box: Mailbox[int] = Mailbox(3)
    reader = asyncio.create_task(box.get())
    await asyncio.sleep(0)

    box.put_nowait(7)
    box.put_nowait(8)

    assert await reader == 7
    assert await box.get() == 8


async def test_writers_wait_for_room_in_turn() -> None:
    box: Mailbox[int] = Mailbox(1)
    writers = [asyncio.create_task(box.put(item)) for item in range(5)]
    await asyncio.sleep(0)

    assert [await box.get() for _ in range(5)] == [0, 1, 2, 3, 4]
    await asyncio.gather(*writers)


async def test_a_writer_that_is_told_of_room_and_cancelled_passes_it_on() -> None:
    box: Mailbox[str] = Mailbox(1)
    box.put_nowait("first")
    gone, waiting = asyncio.create_task(box.put("gone")), asyncio.create_task(box.put("waiting"))
    await asyncio.sleep(0)

    assert await box.get() == "first"
    gone.cancel()
    await asyncio.wait([gone, waiting], timeout=1)

    assert gone.cancelled()
    assert waiting.done()
    assert await box.get() == "waiting"


async def test_a_cancelled_reader_loses_nothing() -> None:
    box: Mailbox[int] = Mailbox(1)
    reader = asyncio.create_task(box.get())
    await asyncio.sleep(0)
    box.put_nowait(7)
    reader.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reader

    assert await box.get() == 7
