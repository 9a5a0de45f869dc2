"""A hostile host can spoil the jobs that it runs, and nothing else: everything that it sends is bounded."""

import asyncio
import hashlib
import itertools
import os
import signal
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

import pytest

from app.core.files import StoredFile
from app.core.version import VERSION
from worker.children import messages
from worker.children.errors import ChildStartFailed
from worker.children.inbox import Inbox
from worker.children.messages import Ready
from worker.engines.engine import FileDamaged, PlaceFault
from worker.engines.ray import control
from worker.engines.ray.admission import Secrets, Strangers
from worker.engines.ray.control import (
    BLOCK_BYTES,
    MAX_FROM_HOST_BYTES,
    MAX_TO_HOST_BYTES,
    Answer,
    Bring,
    CreateFolder,
    Exited,
    Fault,
    Fork,
    Hello,
    Kill,
    Open,
    Read,
    Refusal,
    Sample,
    Seal,
    Setup,
    ToHost,
    Write,
)
from worker.engines.ray.remote_host import MAX_REPORTS, MAX_RSS_BYTES, HostLost, RemoteHost
from worker.framing import Message, MessageReader, frame

SECONDS = 30.0
MAX_FILE_BYTES = 2 * BLOCK_BYTES

M = TypeVar("M", bound=ToHost)


class Worker:
    """The worker's side of one host, and what it was told about its children."""

    def __init__(self, port: int, secrets: Secrets, kill_seconds: float, answer_seconds: float) -> None:
        self.port = port
        self.secrets = secrets
        self.ended: list[tuple[int, int, float, int]] = []
        self.lost = asyncio.Event()
        self.host = RemoteHost(
            1,
            secrets,
            itertools.count(1),
            self.lost.set,
            max_file_bytes=MAX_FILE_BYTES,
            kill_seconds=kill_seconds,
            answer_seconds=answer_seconds,
        )

    def on_end(self, child: int, exit_code: int, cpu_seconds: float, peak_bytes: int) -> None:
        self.ended.append((child, exit_code, cpu_seconds, peak_bytes))

    async def is_given_up(self) -> bool:
        async with asyncio.timeout(SECONDS):
            await self.lost.wait()
        return self.host.is_given_up


class Hostile:
    """A host that says whatever a test tells it to."""

    def __init__(self, port: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.port = port
        self.reader = reader
        self.writer = writer
        self._messages = MessageReader(control.decode_to_host, MAX_TO_HOST_BYTES)
        self._waiting: list[ToHost] = []

    def say(self, *messages: Message) -> None:
        for message in messages:
            self.writer.write(frame(message))

    async def hear(self, kind: type[M]) -> M:
        async with asyncio.timeout(SECONDS):
            while not self._waiting:
                data = await self.reader.read(2**16)
                assert data, "the worker has disconnected"
                self._waiting += self._messages.feed(data)
        heard = self._waiting.pop(0)
        assert isinstance(heard, kind), heard
        return heard

    async def open_child(self, fork: Fork) -> asyncio.StreamWriter:
        """Connect for a child, which says that it is ready."""
        _, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(frame(Hello(fork.secret, VERSION)) + messages.frame(Ready(("one",))))
        return writer


@asynccontextmanager
async def connected(
    *, kill_seconds: float = SECONDS, answer_seconds: float = SECONDS
) -> AsyncIterator[tuple[Worker, Hostile]]:
    """Connect a hostile host that the worker has set up."""
    secrets = Secrets()
    strangers = Strangers(secrets)
    server = await asyncio.get_running_loop().create_server(strangers, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    worker = Worker(port, secrets, kill_seconds, answer_seconds)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    host = Hostile(port, reader, writer)
    host.say(Hello(secrets.issue(lambda: worker.host), VERSION))
    await worker.host.wait_connected(SECONDS)
    setting_up = asyncio.create_task(
        worker.host.set_up(
            worker.on_end, lambda request: Setup(request, "handlers", (), (), 2**30, 2**20, 2**20, 2**20)
        )
    )
    host.say(Answer((await host.hear(Setup)).request))
    await setting_up
    try:
        yield worker, host
    finally:
        await worker.host.close()
        writer.close()
        strangers.close()
        server.close()


async def started(worker: Worker, host: Hostile) -> tuple[int, asyncio.StreamWriter]:
    """Start a child on the host. Return its number, and its end of its connection."""
    starting = asyncio.create_task(worker.host.start(Inbox()))
    fork = await host.hear(Fork)
    writer = await host.open_child(fork)
    host.say(Answer(fork.request))
    return await starting, writer


@pytest.mark.parametrize(
    "garbage",
    [
        b"\xff" * 64,
        struct.pack(">I", MAX_FROM_HOST_BYTES + 1),
        struct.pack(">I", 2**32 - 1) + bytes(2**20),
        struct.pack(">I", 4) + b"\xc1\xc1\xc1\xc1",
        frame(Kill(1)),
        frame(Hello("0" * 64, VERSION)),
    ],
    ids=["garbage", "too long", "endless", "no msgpack", "a worker's message", "a second hello"],
)
async def test_a_host_that_sends_what_is_no_message_of_a_host_is_given_up(garbage: bytes) -> None:
    async with connected() as (worker, host):
        child, writer = await started(worker, host)
        host.writer.write(garbage)

        assert await worker.is_given_up()
        assert worker.ended == [(child, -signal.SIGKILL, 0.0, 0)]
        writer.close()


@pytest.mark.parametrize(
    "message", [Answer(999), Refusal(999, Fault.FAILED, "no")], ids=["an answer", "a refusal"]
)
async def test_a_host_that_answers_what_it_was_not_asked_is_given_up(message: Message) -> None:
    async with connected() as (worker, host):
        host.say(message)

        assert await worker.is_given_up()


async def test_an_answer_without_what_was_asked_for_ends_the_host_and_fails_the_request() -> None:
    async with connected() as (worker, host):
        asking = asyncio.create_task(worker.host.place.create_folder(1))
        host.say(Answer((await host.hear(CreateFolder)).request, file=7))

        with pytest.raises(HostLost):
            await asking
        assert await worker.is_given_up()


async def test_a_flood_of_reports_ends_the_host() -> None:
    async with connected() as (worker, host):
        host.say(*(Sample(1, 0, 0.0, False) for _ in range(MAX_REPORTS + 1)))

        assert await worker.is_given_up()


async def test_what_a_host_says_of_children_that_are_not_its_own_means_nothing() -> None:
    async with connected() as (worker, host):
        child, writer = await started(worker, host)
        host.say(Sample(child + 1, 5, 5.0, True), Exited(child + 1, 0, 1.0, 1), Sample(child, 7, 1.5, False))
        async with asyncio.timeout(SECONDS):
            while worker.host.rss_bytes(child) != 7:  # noqa: ASYNC110  # no message says so
                await asyncio.sleep(0.005)

        assert worker.ended == []
        assert worker.host.cpu_seconds(child + 1, with_descendants=False) is None
        assert not worker.host.exceeds_limit(child + 1)
        writer.close()


async def test_figures_of_a_host_are_bounded() -> None:
    async with connected() as (worker, host):
        child, writer = await started(worker, host)
        host.say(Sample(child, 2**63, float("nan"), False))
        async with asyncio.timeout(SECONDS):
            while not worker.host.rss_bytes(child):  # noqa: ASYNC110  # no message says so
                await asyncio.sleep(0.005)
        assert worker.host.rss_bytes(child) == MAX_RSS_BYTES
        host.say(Exited(child, -1000, float("inf"), -5))
        async with asyncio.timeout(SECONDS):
            while not worker.ended:  # noqa: ASYNC110  # no message says so
                await asyncio.sleep(0.005)

        assert worker.ended[0][3] == 0
        writer.close()


async def test_the_children_of_a_lost_control_connection_are_reported_as_killed() -> None:
    async with connected() as (worker, host):
        child, writer = await started(worker, host)
        asking = asyncio.create_task(worker.host.place.create_folder(child))
        await host.hear(CreateFolder)
        host.writer.close()

        with pytest.raises(HostLost):
            await asking
        assert not await worker.is_given_up()
        assert worker.ended == [(child, -signal.SIGKILL, 0.0, 0)]
        with pytest.raises(ChildStartFailed):
            await worker.host.start(Inbox())
        writer.close()


async def test_a_host_that_does_not_kill_in_time_is_given_up() -> None:
    async with connected(kill_seconds=0.05) as (worker, host):
        child, writer = await started(worker, host)
        worker.host.kill(child)
        assert (await host.hear(Kill)).child == child

        assert await worker.is_given_up()
        assert worker.ended == [(child, -signal.SIGKILL, 0.0, 0)]
        writer.close()


async def test_a_host_that_kills_in_time_is_kept() -> None:
    async with connected(kill_seconds=0.2) as (worker, host):
        child, writer = await started(worker, host)
        worker.host.kill(child)
        worker.host.kill(child)
        await host.hear(Kill)
        host.say(Exited(child, -9, 0.5, 10))
        await asyncio.sleep(0.4)  # longer than it had to kill

        assert worker.ended == [(child, -9, 0.5, 10)]
        assert worker.host.is_running
        writer.close()


async def test_a_host_that_does_not_answer_is_given_up() -> None:
    async with connected(answer_seconds=0.05) as (worker, _):
        with pytest.raises(HostLost):
            await worker.host.place.create_folder(1)

        assert await worker.is_given_up()


async def test_an_answer_to_a_request_whose_caller_has_left_is_no_fault() -> None:
    async with connected() as (worker, host):
        asking = asyncio.create_task(worker.host.place.create_folder(1))
        request = (await host.hear(CreateFolder)).request
        asking.cancel()
        await asyncio.wait((asking,))
        host.say(Answer(request, path="/late"))
        again = asyncio.create_task(worker.host.place.create_folder(2))
        host.say(Answer((await host.hear(CreateFolder)).request, path="/folder"))

        assert await again == Path("/folder")


async def test_a_child_that_the_host_cannot_start_fails_to_start() -> None:
    async with connected() as (worker, host):
        starting = asyncio.create_task(worker.host.start(Inbox()))
        fork = await host.hear(Fork)
        host.say(Refusal(fork.request, Fault.FAILED, "cannot fork"))

        with pytest.raises(ChildStartFailed, match="cannot fork"):
            await starting
        assert worker.secrets.redeem(fork.secret) is None
        assert worker.host.is_running


async def test_a_child_that_exits_as_it_starts_fails_to_start() -> None:
    async with connected() as (worker, host):
        starting = asyncio.create_task(worker.host.start(Inbox()))
        fork = await host.hear(Fork)
        writer = await host.open_child(fork)
        host.say(Answer(fork.request), Exited(fork.child, 1, 0.0, 0))

        with pytest.raises(ChildStartFailed, match="exited as it started"):
            await starting
        assert worker.host.is_running
        writer.close()


async def test_the_connection_of_a_child_is_admitted_once() -> None:
    async with connected() as (worker, host):
        starting = asyncio.create_task(worker.host.start(Inbox()))
        fork = await host.hear(Fork)
        first = await host.open_child(fork)
        second_reader, second = await asyncio.open_connection("127.0.0.1", host.port)
        second.write(frame(Hello(fork.secret, VERSION)))

        assert await second_reader.read(1) == b""
        host.say(Answer(fork.request))
        assert await starting == fork.child
        for writer in (first, second):
            writer.close()


# Files


async def test_a_file_goes_in_blocks_and_only_if_the_node_does_not_have_it(tmp_path: Path) -> None:
    content = os.urandom(BLOCK_BYTES + 5)
    (tmp_path / "rows").write_bytes(content)
    file = StoredFile("datasets/rows", len(content), hashlib.sha256(content).hexdigest())
    async with connected() as (worker, host):
        bringing = asyncio.create_task(worker.host.place.bring(1, file, tmp_path / "rows"))
        host.say(Answer((await host.hear(Bring)).request))
        received = b""
        while len(received) < len(content):
            block = await host.hear(Write)
            assert len(block.data) <= BLOCK_BYTES
            received += block.data
            host.say(Answer(block.request))
        host.say(Answer((await host.hear(Seal)).request, path="/there"))
        assert await bringing == Path("/there")
        assert received == content

        again = asyncio.create_task(worker.host.place.bring(2, file, tmp_path / "rows"))
        host.say(Answer((await host.hear(Bring)).request, path="/there"))
        assert await again == Path("/there")


async def test_a_file_whose_sha_256_the_host_finds_wrong_is_damaged(tmp_path: Path) -> None:
    (tmp_path / "rows").write_bytes(b"")
    async with connected() as (worker, host):
        file = StoredFile("datasets/rows", 0, "0" * 64)
        bringing = asyncio.create_task(worker.host.place.bring(1, file, tmp_path / "rows"))
        host.say(Answer((await host.hear(Bring)).request))
        host.say(Refusal((await host.hear(Seal)).request, Fault.DAMAGED, "another SHA-256"))

        with pytest.raises(FileDamaged):
            await bringing


async def test_a_file_without_an_end_is_read_up_to_the_limit() -> None:
    async with connected() as (worker, host):
        reading = asyncio.create_task(_read_all(worker.host.place.read(1, "model")))
        host.say(Answer((await host.hear(Open)).request, file=3))
        for _ in range(MAX_FILE_BYTES // BLOCK_BYTES + 1):
            host.say(Answer((await host.hear(Read)).request, data=bytes(BLOCK_BYTES)))

        with pytest.raises(FileNotFoundError, match="more than"):
            await reading


async def test_a_file_that_the_host_does_not_have_is_missing_and_another_refusal_may_be_retried() -> None:
    async with connected() as (worker, host):
        for fault, kind in ((Fault.MISSING, FileNotFoundError), (Fault.FAILED, PlaceFault)):
            reading = asyncio.create_task(_read_all(worker.host.place.read(1, "model")))
            host.say(Refusal((await host.hear(Open)).request, fault, "no"))

            with pytest.raises(kind):
                await reading


async def test_a_host_cannot_have_a_child_keep_files_that_it_was_not_asked_for() -> None:
    async with connected() as (worker, host):
        keeping = asyncio.create_task(worker.host.place.keep(1, [Path("/a"), Path("/b")]))
        host.say(Answer((await host.hear(control.Keep)).request, paths=("/b", "/etc/passwd")))

        assert await keeping == {Path("/b")}


async def _read_all(blocks: AsyncIterator[bytes]) -> bytes:
    return b"".join([block async for block in blocks])
