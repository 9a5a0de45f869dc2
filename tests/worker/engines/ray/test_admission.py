"""A connection shows a secret that is valid once, for a minute, before anything else of it is read."""

import asyncio
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from structlog.testing import capture_logs

from app.core.version import VERSION
from tests.support.clocks import Clock
from worker.engines.ray import control
from worker.engines.ray.admission import SECRET_BYTES, Secrets, Strangers
from worker.engines.ray.control import MAX_HELLO_BYTES, SECRET_SECONDS, Hello
from worker.framing import frame

SECONDS = 30.0


class Guest(asyncio.Protocol):
    """What speaks on an admitted connection."""

    def __init__(self) -> None:
        self.received = bytearray()
        self.heard = asyncio.Event()

    def data_received(self, data: bytes) -> None:
        self.received += data
        self.heard.set()


def nobody() -> None:
    return None


@asynccontextmanager
async def listening(strangers: Strangers) -> AsyncIterator[Callable[[], "asyncio.Future[Peer]"]]:
    """Give a function that connects to a worker."""
    server = await asyncio.get_running_loop().create_server(strangers, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    peers: list[Peer] = []

    async def connect() -> Peer:
        peer = Peer(*await asyncio.open_connection("127.0.0.1", port))
        peers.append(peer)
        return peer

    try:
        yield lambda: asyncio.ensure_future(connect())
    finally:
        for peer in peers:
            peer.writer.close()
        strangers.close()
        server.close()


class Peer:
    """The other end of a connection to a worker."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def send(self, data: bytes | bytearray) -> None:
        self.writer.write(data)

    async def is_refused(self) -> bool:
        """Whether the worker closes the connection without a word."""
        async with asyncio.timeout(SECONDS):
            try:
                return await self.reader.read(1) == b""
            except ConnectionResetError:
                return True


def test_a_secret_has_32_bytes_and_is_valid_once() -> None:
    secrets = Secrets()
    secret = secrets.issue(nobody)

    assert len(bytes.fromhex(secret)) == SECRET_BYTES == 32
    assert secrets.redeem(secret) is nobody
    assert secrets.redeem(secret) is None


def test_a_secret_is_valid_for_a_minute() -> None:
    clock = Clock(0.0)
    secrets = Secrets(clock=clock)
    in_time, late = secrets.issue(nobody), secrets.issue(nobody)

    clock.now += SECRET_SECONDS - 1
    assert secrets.redeem(in_time) is nobody
    clock.now += 1
    assert secrets.redeem(late) is None


def test_another_secret_a_revoked_one_and_a_part_of_one_are_not_valid() -> None:
    secrets = Secrets()
    secret, revoked = secrets.issue(nobody), secrets.issue(nobody)
    secrets.revoke(revoked)

    for shown in ("", secret[:-1], secret + "0", secret.upper() + "é", "0" * 64, revoked):
        assert secrets.redeem(shown) is None
    assert secrets.redeem(secret) is nobody


async def test_what_follows_an_admitted_hello_reaches_what_it_was_admitted_for() -> None:
    secrets, guest = Secrets(), Guest()
    secret = secrets.issue(lambda: guest)
    async with listening(Strangers(secrets)) as connect:
        peer = await connect()
        peer.send(frame(Hello(secret, VERSION)) + b"and more")
        async with asyncio.timeout(SECONDS):
            await guest.heard.wait()

        assert guest.received == b"and more"


async def test_a_wrong_a_late_and_a_used_secret_are_refused() -> None:
    clock = Clock(0.0)
    secrets = Secrets(clock=clock)
    late = secrets.issue(Guest)
    clock.now += SECRET_SECONDS
    used = secrets.issue(Guest)
    assert secrets.redeem(used) is not None
    async with listening(Strangers(secrets)) as connect:
        for secret in ("0" * 64, late, used):
            peer = await connect()
            peer.send(frame(Hello(secret, VERSION)))

            assert await peer.is_refused()


async def test_another_version_is_refused_although_it_has_a_secret() -> None:
    secrets = Secrets()
    async with listening(Strangers(secrets)) as connect:
        peer = await connect()
        peer.send(frame(Hello(secrets.issue(Guest), "0.0.1")))

        assert await peer.is_refused()


async def test_what_is_not_wanted_any_more_is_refused() -> None:
    secrets = Secrets()
    async with listening(Strangers(secrets)) as connect:
        peer = await connect()
        peer.send(frame(Hello(secrets.issue(nobody), VERSION)))

        assert await peer.is_refused()


@pytest.mark.parametrize(
    "garbage",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        struct.pack(">I", MAX_HELLO_BYTES + 1),
        struct.pack(">I", 2**32 - 1) + b"\0" * 1000,
        struct.pack(">I", 5) + b"\xc1\xc1\xc1\xc1\xc1",
        frame(control.Kill(1)),
    ],
    ids=["http", "too long", "endless", "no msgpack", "another message"],
)
async def test_garbage_instead_of_a_hello_is_refused(garbage: bytes) -> None:
    async with listening(Strangers(Secrets(), hello_seconds=10 * SECONDS)) as connect:
        peer = await connect()
        peer.send(garbage)

        assert await peer.is_refused()


async def test_a_flood_of_refused_connections_is_logged_once_a_second() -> None:
    with capture_logs() as logged:
        async with listening(Strangers(Secrets())) as connect:
            for _ in range(20):
                peer = await connect()
                peer.send(b"\xff" * 8)
                assert await peer.is_refused()

    assert 1 <= len([line for line in logged if line["event"] == "host_refused"]) < 20


async def test_a_connection_that_shows_nothing_is_closed() -> None:
    async with listening(Strangers(Secrets(), hello_seconds=0.05)) as connect:
        peer = await connect()
        peer.send(b"\0")

        assert await peer.is_refused()


async def test_of_more_strangers_than_allowed_the_last_are_closed_and_one_that_leaves_makes_room() -> None:
    secrets, guest = Secrets(), Guest()
    async with listening(Strangers(secrets, max_strangers=2)) as connect:
        first, second, third = [await connect() for _ in range(3)]
        assert await third.is_refused()

        first.send(b"\xff\xff\xff\xff")
        assert await first.is_refused()
        fourth = await connect()
        fourth.send(frame(Hello(secrets.issue(lambda: guest), VERSION)) + b"!")
        async with asyncio.timeout(SECONDS):
            await guest.heard.wait()
        assert not second.reader.at_eof()
