"""Flow control at the worker's end of a connection."""

import asyncio
import socket

from worker.children import messages
from worker.children.child_handle import MAX_UNREAD_BYTES, Inbox
from worker.children.messages import Log

LINE = bytes(messages.frame(Log("info", "x" * 1000)))


async def test_a_child_that_sends_faster_than_the_worker_reads_is_blocked() -> None:
    ours, theirs = socket.socketpair()
    with theirs:
        theirs.setblocking(False)
        _, inbox = await asyncio.get_running_loop().create_unix_connection(Inbox, sock=ours)

        sent = await _send_until_blocked(theirs)
        received = 0
        while inbox.pop() is not None:
            received += 1

        assert MAX_UNREAD_BYTES <= sent < 4 * MAX_UNREAD_BYTES
        assert received > 0
        assert await _send_until_blocked(theirs) > 0
        inbox.close()


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
