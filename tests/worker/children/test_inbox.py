"""The worker's end of a connection."""

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

        said = await _talk_until_stuck(theirs)
        heard = 0
        while inbox.pop() is not None:
            heard += 1

        assert MAX_UNREAD_BYTES <= said < 4 * MAX_UNREAD_BYTES
        assert heard > 0
        assert await _talk_until_stuck(theirs) > 0
        inbox.close()


async def _talk_until_stuck(connection: socket.socket) -> int:
    """Send lines, with time for the loop to read, until nothing more fits; how many bytes went."""
    said = stuck = 0
    while stuck < 100:
        try:
            said += connection.send(LINE)
            stuck = 0
        except BlockingIOError:
            stuck += 1
            await asyncio.sleep(0)
    return said
