"""A host shows its secret, does only what its worker says, and ends with its connection."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import psutil
import pytest

from tests.worker.children import attempts
from tests.worker.engines.ray.test_remote_host import SECONDS, Worker
from worker.children.errors import ChildStartFailed
from worker.children.inbox import Inbox
from worker.children.messages import Ready
from worker.engines.engine import PlaceFault
from worker.engines.loopback import LoopbackStarter
from worker.engines.ray.admission import Secrets, Strangers
from worker.engines.ray.control import Setup


@asynccontextmanager
async def started(folder: Path, *, is_right: bool = True) -> AsyncIterator[tuple[Worker, LoopbackStarter]]:
    """Start a host that connects to this process, with the right secret or a wrong one."""
    secrets = Secrets()
    strangers = Strangers(secrets)
    server = await asyncio.get_running_loop().create_server(strangers, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    worker = Worker(port, secrets, SECONDS, SECONDS)
    secret = secrets.issue(lambda: worker.host)
    starter = LoopbackStarter(folder)
    try:
        await starter.start(1, f"127.0.0.1:{port}", lambda: secret if is_right else "0" * 64)
        yield worker, starter
    finally:
        await worker.host.close()
        await starter.close()
        strangers.close()
        server.close()


async def set_up(worker: Worker, handlers: str = attempts.HANDLERS) -> None:
    await worker.host.wait_connected(SECONDS)
    await worker.host.set_up(
        worker.on_end, lambda request: Setup(request, handlers, (), (), 2**30, 2**20, 2**20, 2**20)
    )


async def test_a_host_with_a_wrong_secret_ends(tmp_path: Path) -> None:
    async with started(tmp_path / "node", is_right=False) as (worker, starter):
        async with asyncio.timeout(SECONDS):
            await starter.processes[1].wait()

        assert not worker.host.is_connected


async def test_the_secret_is_not_among_the_arguments_of_the_process(tmp_path: Path) -> None:
    async with started(tmp_path / "node") as (worker, starter):
        await worker.host.wait_connected(SECONDS)

        command = psutil.Process(starter.processes[1].pid).cmdline()

    assert not any(len(argument) == 64 for argument in command)
    assert any("worker.engines.ray" in argument for argument in command)


async def test_a_host_starts_a_child_and_reports_its_end(tmp_path: Path) -> None:
    async with started(tmp_path / "node") as (worker, _):
        await set_up(worker)
        inbox = Inbox()
        child = await worker.host.start(inbox)
        while (ready := inbox.pop()) is None:
            await asyncio.wait_for(inbox.wait(), SECONDS)
        assert isinstance(ready, Ready)
        await attempts.eventually(lambda: worker.host.rss_bytes(child) > 0)

        worker.host.kill(child)
        await attempts.eventually(lambda: bool(worker.ended))

        assert [ended[:2] for ended in worker.ended] == [(child, -9)]
        assert worker.host.is_running


async def test_a_host_refuses_what_it_cannot_do_and_goes_on(tmp_path: Path) -> None:
    async with started(tmp_path / "node") as (worker, _):
        await worker.host.wait_connected(SECONDS)
        with pytest.raises(PlaceFault, match="has not set this host up"):
            await worker.host.place.create_folder(1)
        await set_up(worker)
        folder = await worker.host.place.create_folder(1)
        with pytest.raises(PlaceFault, match="File exists"):
            await worker.host.place.create_folder(1)

        assert folder.is_dir()
        assert worker.host.is_running


async def test_handlers_that_cannot_be_loaded_fail_the_start(tmp_path: Path) -> None:
    async with started(tmp_path / "node") as (worker, _):
        with pytest.raises(ChildStartFailed, match="could not load the handlers"):
            await set_up(worker, "tests.no_such_module:HANDLERS")


async def test_a_host_whose_fork_server_dies_ends(tmp_path: Path) -> None:
    async with started(tmp_path / "node") as (worker, starter):
        await set_up(worker)
        child = await worker.host.start(Inbox())
        [fork_server] = psutil.Process(starter.processes[1].pid).children()

        fork_server.kill()

        async with asyncio.timeout(SECONDS):
            await worker.lost.wait()
            assert await starter.processes[1].wait() == 0
        assert [ended[0] for ended in worker.ended] == [child]


async def test_a_host_ends_with_its_connection_and_removes_its_folders(tmp_path: Path) -> None:
    async with started(tmp_path / "node") as (worker, starter):
        await set_up(worker)
        child = await worker.host.start(Inbox())
        folder = await worker.host.place.create_folder(child)
        assert folder.is_dir()
        children = [found.pid for found in psutil.Process(starter.processes[1].pid).children(recursive=True)]

        await worker.host.close()

        async with asyncio.timeout(SECONDS):
            assert await starter.processes[1].wait() == 0
    assert len(children) == 2
    assert all(map(attempts.is_gone, children))
    assert list((tmp_path / "node" / "scratch").iterdir()) == []
