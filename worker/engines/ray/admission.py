"""Admits connections of hosts and their children: each shows a secret that is valid once, for a minute."""

import asyncio
import hmac
import math
import secrets
from collections.abc import Callable
from time import monotonic
from typing import Final, cast

import msgspec
import structlog

from app.core.version import VERSION
from worker.engines.ray import control
from worker.engines.ray.control import MAX_HELLO_BYTES, SECRET_SECONDS
from worker.framing import LENGTH

HELLO_SECONDS: Final = 10.0
"""How long a connection may take to show its secret."""

MAX_STRANGERS: Final = 256
"""Connections that have not shown a secret yet. Further ones are closed."""

SECRET_BYTES: Final = 32

Admit = Callable[[], asyncio.Protocol | None]
"""Returns what speaks on a connection that has shown the secret; None if it is not wanted any more."""

log = structlog.get_logger(__name__)


class Secrets:
    """Secrets that each admit one connection."""

    def __init__(self, *, seconds: float = SECRET_SECONDS, clock: Callable[[], float] = monotonic) -> None:
        self._seconds = seconds
        self._clock = clock
        self._issued: dict[str, tuple[float, Admit]] = {}

    def issue(self, admit: Admit) -> str:
        """Return a new secret."""
        self._forget_old()
        secret = secrets.token_hex(SECRET_BYTES)
        self._issued[secret] = self._clock() + self._seconds, admit
        return secret

    def revoke(self, secret: str) -> None:
        """Make a secret invalid, if it still is valid."""
        self._issued.pop(secret, None)

    def redeem(self, shown: str) -> Admit | None:
        """Return what the secret was issued for, and make it invalid. None if it is not valid."""
        self._forget_old()
        matching = None
        for secret in self._issued:  # all of them, so that the time tells nothing about any
            if hmac.compare_digest(secret.encode(), shown.encode()):
                matching = secret
        return None if matching is None else self._issued.pop(matching)[1]

    def _forget_old(self) -> None:
        now = self._clock()
        self._issued = {secret: issued for secret, issued in self._issued.items() if issued[0] > now}


class Strangers:
    """The connections that have not shown a secret yet."""

    def __init__(
        self,
        secrets: Secrets,
        *,
        hello_seconds: float = HELLO_SECONDS,
        max_strangers: int = MAX_STRANGERS,
    ) -> None:
        self.secrets = secrets
        self.hello_seconds = hello_seconds
        self._max_strangers = max_strangers
        self._waiting: set[Stranger] = set()
        self._logged_at = -math.inf
        self._unlogged = 0

    def __call__(self) -> "Stranger":
        """Return the protocol of a new connection."""
        return Stranger(self)

    def enter(self, stranger: "Stranger") -> bool:
        """Count a connection in; False if there are too many."""
        if len(self._waiting) >= self._max_strangers:
            return False
        self._waiting.add(stranger)
        return True

    def leave(self, stranger: "Stranger") -> None:
        """Count a connection out."""
        self._waiting.discard(stranger)

    def record_refusal(self, peer: object, reason: str) -> None:
        """Log that a connection was refused, at most once a second."""
        now = asyncio.get_running_loop().time()
        self._unlogged += 1
        if now - self._logged_at >= 1.0:
            log.warning("host_refused", peer=str(peer), reason=reason, refused=self._unlogged)
            self._logged_at, self._unlogged = now, 0

    def close(self) -> None:
        """Close all."""
        for stranger in tuple(self._waiting):
            stranger.refuse("the worker stops")


class Stranger(asyncio.Protocol):
    """One connection until it has shown its secret."""

    def __init__(self, others: Strangers) -> None:
        self._others = others
        self._received = bytearray()
        self._transport: asyncio.Transport
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Wait for the secret, but not for long."""
        self._transport = cast(asyncio.Transport, transport)  # true of every stream socket
        if not self._others.enter(self):
            self.refuse("too many connections wait")
            return
        control.keep_alive(transport.get_extra_info("socket"))
        self._timer = asyncio.get_running_loop().call_later(
            self._others.hello_seconds, self.refuse, "it did not show a secret in time"
        )

    def data_received(self, data: bytes) -> None:
        """Hand the connection over once the secret is there."""
        self._received += data
        if len(self._received) < LENGTH.size:
            return
        (size,) = LENGTH.unpack_from(self._received)
        if size > MAX_HELLO_BYTES:
            self.refuse(f"its first message has {size} bytes")
            return
        end = LENGTH.size + size
        if len(self._received) < end:
            return
        try:
            hello = control.decode_hello(bytes(self._received[LENGTH.size : end]))
        except (msgspec.MsgspecError, UnicodeDecodeError):
            self.refuse("its first message is not a Hello")
            return
        self._admit(hello, bytes(self._received[end:]))

    def connection_lost(self, _error: Exception | None) -> None:
        """Forget the connection."""
        self._leave()

    def refuse(self, reason: str) -> None:
        """Close the connection."""
        self._others.record_refusal(self._transport.get_extra_info("peername"), reason)
        self._leave()
        self._transport.abort()

    def _admit(self, hello: control.Hello, rest: bytes) -> None:
        admit = self._others.secrets.redeem(hello.secret)
        if admit is None:
            self.refuse("its secret is not valid")
            return
        if hello.version != VERSION:
            self.refuse(f"it runs version {hello.version!r}, this worker {VERSION}")
            return
        protocol = admit()
        if protocol is None:
            self.refuse("it is not wanted any more")
            return
        self._leave()
        self._transport.set_protocol(protocol)
        protocol.connection_made(self._transport)
        if rest:
            protocol.data_received(rest)

    def _leave(self) -> None:
        self._others.leave(self)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
