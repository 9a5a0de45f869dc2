"""The worker's handle on its fork server: what it says of a child comes in order."""

import asyncio
import os
import socket

from worker.children.forking import ForkServer
from worker.children.forkserver import EXITED, FORK, FORKED, RECORD

PID = 2**22 + 1
"""Greater than any process id."""


async def test_the_end_of_a_child_is_reported_after_its_start_however_soon_it_exits() -> None:
    heard: list[str] = []
    ours, theirs = socket.socketpair()
    server = ForkServer(ours, lambda pid, *_: heard.append(f"{pid} ended"))
    transport, _ = await asyncio.get_running_loop().create_unix_connection(lambda: server, sock=ours)

    async def fork() -> None:
        with socket.socket() as connection:
            heard.append(f"{await server.fork(connection)} started")

    forking = asyncio.create_task(fork())
    data, descriptors, _, _ = await asyncio.to_thread(socket.recv_fds, theirs, RECORD.size, 1)
    assert RECORD.unpack(data)[0] == FORK
    theirs.send(RECORD.pack(FORKED, PID, 0, 0.0, 0) + RECORD.pack(EXITED, PID, 1, 0.0, 0))
    await forking
    await asyncio.sleep(0)

    assert heard == [f"{PID} started", f"{PID} ended"]
    transport.close()
    theirs.close()
    for descriptor in descriptors:
        os.close(descriptor)
