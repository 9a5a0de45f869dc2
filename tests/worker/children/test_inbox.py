"""Flow control at the worker's end of a connection."""

import asyncio
import socket
from collections.abc import Callable

import pytest
import uvloop

from worker.children import messages
from worker.children.inbox import MAX_UNREAD_BYTES, Inbox
from worker.children.messages import Log

SECONDS = 30.0
LINE = bytes(messages.frame(Log("info", "x" * 1000)))


async def test_a_child_that_sends_faster_than_the_worker_reads_is_blocked() -> None:
    ours, theirs = socket.socketpair()
    with theirs:
        theirs.setblocking(False)
        _, inbox = await asyncio.get_running_loop().create_unix_connection(Inbox, sock=ours)

        sent = await _send_until_blocked(theirs)
        with inbox.left_unread():
            pass
        assert await _send_until_blocked(theirs) == 0
        received = 0
        while inbox.pop() is not None:
            received += 1

        assert MAX_UNREAD_BYTES <= sent < 4 * MAX_UNREAD_BYTES
        assert received > 0
        assert await _send_until_blocked(theirs) > 0
        inbox.close()


async def test_a_wait_ends_with_a_message_with_the_connection_or_with_its_time() -> None:
    inbox = Inbox()
    loop = asyncio.get_running_loop()

    assert not await inbox.wait_at_most(0.001)
    loop.call_soon(inbox.data_received, LINE)
    assert await inbox.wait_at_most(3600)
    assert await inbox.wait_at_most(3600)  # it was not taken yet
    assert inbox.pop() == Log("info", "x" * 1000)
    loop.call_soon(inbox.connection_lost, None)
    assert not await inbox.wait_at_most(3600)
    assert not await inbox.wait_at_most(3600)


async def _send_until_blocked(connection: socket.socket) -> int:
    """Send lines until the socket stays full although the loop may read. Returns the bytes sent."""
    sent = blocked = 0
    while blocked < 100:
        try:
            sent += connection.send(LINE)
            blocked = 0
        except BlockingIOError:
            blocked += 1
            await asyncio.sleep(0)
    return sent


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run])
def test_what_is_left_unread_is_read_in_one_piece_afterwards(run: Callable[..., None]) -> None:
    run(_send_while_left_unread(is_followed_by_poll=True))


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run])
def test_what_is_left_unread_wakes_the_worker_afterwards(run: Callable[..., None]) -> None:
    run(_send_while_left_unread(is_followed_by_poll=False))


async def _send_while_left_unread(*, is_followed_by_poll: bool) -> None:
    ours, theirs = socket.socketpair()
    with theirs:
        _, inbox = await asyncio.get_running_loop().create_unix_connection(Inbox, sock=ours)
        woken = asyncio.ensure_future(inbox.wait())
        with inbox.left_unread():
            for _ in range(3):
                theirs.sendall(LINE)
                await inbox.poll()
            assert not woken.done()

        if is_followed_by_poll:
            await inbox.poll()
        else:
            await asyncio.wait_for(woken, SECONDS)
        assert [inbox.pop() for _ in range(4)] == [Log("info", "x" * 1000)] * 3 + [None]
        await asyncio.wait_for(woken, SECONDS)
        inbox.close()


async def test_the_end_of_a_child_is_noticed_after_its_messages_were_left_unread() -> None:
    ours, theirs = socket.socketpair()
    _, inbox = await asyncio.get_running_loop().create_unix_connection(Inbox, sock=ours)
    with inbox.left_unread():
        theirs.sendall(LINE)
        theirs.close()
        await inbox.poll()

    await asyncio.wait_for(inbox.wait(), SECONDS)
    assert inbox.pop() == Log("info", "x" * 1000)
    if not inbox.is_closed:
        await asyncio.wait_for(inbox.wait(), SECONDS)
    assert inbox.is_closed


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run])
@pytest.mark.parametrize("writes", [1, 2])
def test_what_a_child_sent_before_it_died_is_read_although_a_message_to_it_is_written_first(
    run: Callable[..., None], writes: int
) -> None:
    """A batch that was computed is committed, however soon after it the child dies."""
    run(_write_to_one_that_died(writes))


async def _write_to_one_that_died(writes: int) -> None:
    ours, theirs = socket.socketpair()
    _, inbox = await asyncio.get_running_loop().create_unix_connection(Inbox, sock=ours)
    with inbox.left_unread():
        theirs.sendall(LINE * 3)
        theirs.close()
        for _ in range(writes):
            inbox.write(bytearray(LINE))
            await inbox.poll()

    while not inbox.is_closed:
        await asyncio.wait_for(inbox.wait(), SECONDS)
    assert [inbox.pop() for _ in range(4)] == [Log("info", "x" * 1000)] * 3 + [None]


async def test_a_connection_that_is_closed_meanwhile_stays_closed() -> None:
    ours, theirs = socket.socketpair()
    with theirs:
        _, inbox = await asyncio.get_running_loop().create_unix_connection(Inbox, sock=ours)
        with inbox.left_unread():
            inbox.close()
            await inbox.poll()

        assert inbox.is_closed
        with inbox.left_unread():
            pass
