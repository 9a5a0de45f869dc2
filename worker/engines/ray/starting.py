"""The engine `ray`, and the worker's handle on its starter: hosts as actors of a Ray cluster."""

import asyncio
import json
import socket
import sys
from asyncio.subprocess import DEVNULL, Process
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Final, NoReturn, Self, assert_never

import structlog

from app.core import hardening
from app.core.backoff import delay_seconds
from app.core.config import Settings
from app.core.errors import ConfigurationError
from worker.engines.engine import HostStartFailed
from worker.engines.pool import PoolOptions
from worker.engines.ray.commands import (
    MAX_BYTES,
    Connect,
    Connected,
    FromStarter,
    HostEnded,
    HostPlaced,
    KillHost,
    PlaceHost,
    Refused,
    RunHost,
    ToStarter,
    Unreachable,
    decode_from_starter,
)
from worker.engines.ray.engine import RemoteEngine
from worker.framing import MessageReader, NotAMessage, frame

CONNECT_SECONDS: Final = 60.0
"""Timeout for a connection to the cluster. The head starts a process for each client."""

STOP_SECONDS: Final = 5.0
BACKOFF_SECONDS: Final = 0.5
MAX_BACKOFF_SECONDS: Final = 30.0

_READ_BYTES: Final = 64 * 1024

# The starter gets our sys.path, as the fork server does.
_PROGRAM: Final = """
import json, sys
sys.path = json.loads(sys.argv[1])
from worker.engines.ray import starter
starter.main()
"""
_STDERR: Final = 2
_STARTER_ENVIRONMENT: Final = {
    "RAY_AUTH_MODE": "token",
    "RAY_USAGE_STATS_ENABLED": "0",
    # Ray ends the hosts of a starter that has been away for so many seconds.
    "RAY_CLIENT_RECONNECT_GRACE_PERIOD": "5",
    "GRPC_VERBOSITY": "NONE",
}

log = structlog.get_logger(__name__)


def create(settings: Settings, slots: int) -> RemoteEngine:
    """Return the engine `ray` of a worker with this number of slots. Raises ConfigurationError."""
    return RemoteEngine(
        PoolOptions.from_settings(settings),
        slots,
        RayStarter.from_settings(settings),
        listen_on=None,
        address=settings.engine_host or socket.gethostname(),
        port=settings.engine_port,
        idle_seconds=settings.engine_idle_seconds,
        cache_bytes=settings.worker_cache_bytes,
    )


class RayStarter:
    """Starts and kills hosts as actors of a Ray cluster. Implements `Starter`.

    `address` is that of the head's client port. `read_token` returns the cluster's token, or raises
    ConfigurationError. Each host takes `cpus` and `gpus` of its node.
    """

    def __init__(self, address: str, read_token: Callable[[], str], *, cpus: float, gpus: int) -> None:
        self._address = address
        self._read_token = read_token
        self._cpus = cpus
        self._gpus = gpus
        self._on_lost: Callable[[int], None] = _ignore
        self._placings: dict[int, asyncio.Future[None]] = {}
        self._running: set[int] = set()
        self._connection: asyncio.StreamWriter | None = None
        self._first: asyncio.Future[None] | None = None
        self._keeper: asyncio.Task[None] | None = None

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """Return a starter for the cluster that `RAY_ADDRESS` names. Raises ConfigurationError."""
        if settings.ray_address is None:
            raise ConfigurationError("ENGINE=ray needs RAY_ADDRESS, like ray://head:10001")
        if settings.ray_auth_mode != "token":
            raise ConfigurationError("ENGINE=ray needs RAY_AUTH_MODE=token, here and in the Ray cluster")
        token, path = settings.ray_auth_token, settings.ray_auth_token_path
        if token is not None:
            read_token = token.get_secret_value
        elif path is not None:
            read_token = partial(_read_token, path)
        else:
            raise ConfigurationError("ENGINE=ray needs RAY_AUTH_TOKEN or RAY_AUTH_TOKEN_PATH")
        return cls(
            settings.ray_address.removeprefix("ray://"),
            read_token,
            cpus=settings.slot_cpus,
            gpus=settings.slot_gpus,
        )

    @property
    def is_available(self) -> bool:
        """Whether the starter is connected to the cluster."""
        return self._connection is not None

    async def open(self, on_lost: Callable[[int], None]) -> None:
        """Connect to the cluster, once for now and again in the background whenever it is lost.

        Raises ConfigurationError if Ray is not installed, or if the cluster must not be used as it is.
        """
        self._read_token()
        if find_spec("ray") is None or find_spec("grpc") is None:
            raise ConfigurationError("ENGINE=ray needs Ray: install requirements/ray.txt")
        self._on_lost = on_lost
        self._first = asyncio.get_running_loop().create_future()
        self._keeper = asyncio.create_task(self._keep_connected_forever())
        try:
            await asyncio.shield(self._first)
        except BaseException:
            await self.close()
            raise
        finally:
            self._first = None

    async def start(self, number: int, address: str, secret: Callable[[], str]) -> None:
        """Start a host on a node, once one has room for it. Raises HostStartFailed."""
        placed = self._placings[number] = asyncio.get_running_loop().create_future()
        try:
            self._send(PlaceHost(number))
            await placed
            self._send(RunHost(number, address, secret()))
            self._running.add(number)
        finally:
            del self._placings[number]

    async def kill(self, number: int) -> None:
        """Kill a host, or take it back if it waits for a node."""
        with suppress(HostStartFailed):  # the cluster is lost, and Ray ends all our hosts
            self._send(KillHost(number))
        self._fail(number, "it was killed")

    async def close(self) -> None:
        """Kill all hosts, and disconnect."""
        for number in [*self._placings, *self._running]:
            await self.kill(number)
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.wait((self._keeper,))

    async def _keep_connected_forever(self) -> NoReturn:
        failures = 0
        while True:
            try:
                if await self._connect_once():
                    failures = 0
            except ConfigurationError as error:
                self._answer(error)
                log.error("ray_refused", error=str(error))
            except OSError as error:
                log.warning("starter_failed", error=repr(error))
            self._answer(None)
            failures += 1
            await asyncio.sleep(delay_seconds(failures, base=BACKOFF_SECONDS, maximum=MAX_BACKOFF_SECONDS))

    async def _connect_once(self) -> bool:
        """Run one starter to its end, and return whether it was connected. Raises ConfigurationError."""
        ours, theirs = socket.socketpair()
        reader, writer = await asyncio.open_connection(sock=ours)
        try:
            with theirs:
                process = await self._spawn(theirs)
            try:
                return await self._serve(reader, writer)
            finally:
                self._connection = None
                self._lose_all()
                writer.close()  # which sends the last commands
                await _end(process)
        finally:
            writer.close()

    async def _spawn(self, theirs: socket.socket) -> Process:
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", _PROGRAM, json.dumps(sys.path), str(theirs.fileno())),
            stdin=DEVNULL,
            stdout=_STDERR,
            pass_fds=(theirs.fileno(),),
            env=_starter_environment(),
            start_new_session=True,
        )

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        writer.write(frame(Connect(self._address, self._read_token(), self._cpus, self._gpus)))
        decoder = MessageReader(decode_from_starter, MAX_BYTES)
        with suppress(OSError, NotAMessage):
            async with asyncio.timeout(CONNECT_SECONDS) as until_connected:
                while data := await reader.read(_READ_BYTES):
                    for message in decoder.feed(data):
                        if isinstance(message, Connected):
                            until_connected.reschedule(None)
                            self._connection = writer
                            self._answer(None)
                            log.info("ray_connected", address=self._address)
                        else:
                            self._handle(message)
        was_connected = self._connection is not None
        log.warning("ray_lost" if was_connected else "ray_not_connected", address=self._address)
        return was_connected

    def _handle(self, message: FromStarter) -> None:
        match message:
            case HostPlaced(number):
                placed = self._placings.get(number)
                if placed is not None and not placed.done():
                    placed.set_result(None)
            case HostEnded(number):
                self._end(number, "its process ended as it started")
            case Unreachable(reason):
                log.warning("ray_unreachable", error=reason)
            case Refused(reason):
                raise ConfigurationError(f"RAY_ADDRESS: {reason}")
            case Connected():
                pass
            case _:
                assert_never(message)

    def _answer(self, error: ConfigurationError | None) -> None:
        """Tell `open` how the first try to connect ended."""
        if self._first is None or self._first.done():
            return
        if error is None:
            self._first.set_result(None)
        else:
            self._first.set_exception(error)

    def _lose_all(self) -> None:
        for number in [*self._placings, *self._running]:
            self._end(number, "the Ray cluster is lost")

    def _fail(self, number: int, reason: str) -> None:
        """End the start of a host that waits for its node."""
        placed = self._placings.get(number)
        if placed is not None and not placed.done():
            placed.set_exception(HostStartFailed(f"host {number} did not start: {reason}"))

    def _end(self, number: int, reason: str) -> None:
        self._fail(number, reason)
        if number in self._running:
            self._running.remove(number)
            self._on_lost(number)

    def _send(self, message: ToStarter) -> None:
        if self._connection is None:
            raise HostStartFailed("the Ray cluster is not connected")
        self._connection.write(frame(message))


def _read_token(path: Path) -> str:
    """Return the token in a file, which may have a new one each time. Raises ConfigurationError."""
    try:
        token = path.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise ConfigurationError(f"RAY_AUTH_TOKEN_PATH: cannot be read: {error.strerror}") from None
    if not token:
        raise ConfigurationError("RAY_AUTH_TOKEN_PATH: the file is empty")
    return token


def _starter_environment() -> dict[str, str]:
    """Return an environment without secrets, other settings of Ray, and a proxy, which gRPC would use."""
    kept = {
        name: value
        for name, value in hardening.clean_environment().items()
        if not name.startswith(("RAY_", "GRPC_")) and not name.lower().endswith("_proxy")
    }
    return {**kept, **_STARTER_ENVIRONMENT}


async def _end(process: Process) -> None:
    """Wait for a starter that has been hung up on, and kill it if it does not exit."""
    try:
        await asyncio.wait_for(process.wait(), STOP_SECONDS)
    except TimeoutError:
        process.kill()
        await process.wait()


def _ignore(_number: int) -> None:
    pass
