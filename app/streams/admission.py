"""Admission control for streams: limits per user and per process, and periodic reauthorisation.

The token is checked when a stream opens, but a stream may outlive it. Open streams are therefore rechecked
periodically and ended once their token has expired, their session has ended, their account is closed, or the
role of the user no longer permits them.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

from app.auth import queries
from app.auth.identities import Identity
from app.auth.permissions import Permission, permissions_of
from app.auth.roles import Role
from app.core import metrics
from app.core.errors import DatabaseUnavailable
from app.quotas import queries as quotas
from app.streams import tickets
from app.streams.errors import TooManyStreams
from app.streams.meter import TRANSPORTS
from app.streams.stream_database import StreamDatabase
from app.streams.tickets import Resumable

RECHECK_SECONDS: Final = 30.0


@dataclass(frozen=True, slots=True)
class StreamUser:
    """The caller who opened a stream, with a token or with a ticket that was issued for one.

    `only_job` is the job that a ticket is restricted to. `needs` are the permissions without which the stream
    may not stay open.
    """

    identity: Identity
    only_job: UUID | None = None
    resumable: Resumable | None = None
    needs: set[Permission] = field(default_factory=lambda: {Permission.JOBS_READ}, compare=False)

    @property
    def id(self) -> UUID:
        """The id of the user."""
        return self.identity.id

    def require(self, permission: Permission) -> None:
        """Make the stream depend on a permission, from now on. Raises PermissionDenied."""
        self.identity.ensure(permission)
        self.needs.add(permission)

    def is_authorized(self, role: Role | None, now: float) -> bool:
        """Whether the stream may stay open, given the user's current role; None if they may not sign in."""
        expires_at = self.identity.token_expires_at
        if role is None or (expires_at is not None and expires_at < now):
            return False
        return self.needs <= permissions_of(role, self.identity.scopes)


class _OpenStream:
    """Context manager during which a stream counts as open."""

    __slots__ = ("_admission", "end", "transport", "user")

    def __init__(
        self, admission: "Admission", user: StreamUser, transport: str, end: Callable[[], None]
    ) -> None:
        self._admission = admission
        self.user = user
        self.transport = transport
        self.end = end

    def __enter__(self) -> None:
        self._admission.opened(self)

    def __exit__(self, *_: object) -> None:
        self._admission.closed(self)


class Admission:
    """Limits the open streams of this process and ends those that are no longer authorised."""

    def __init__(
        self,
        database: StreamDatabase,
        *,
        per_user: int,
        per_process: int,
        recheck_seconds: float = RECHECK_SECONDS,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._database = database
        self._recheck_seconds = recheck_seconds
        self._wall = wall
        self._per_user = per_user
        self._per_process = per_process
        self._open: set[_OpenStream] = set()
        self._streams_by_user: Counter[UUID] = Counter()
        self._gauges = {transport: metrics.STREAMS_OPEN.labels(transport) for transport in TRANSPORTS}
        self._last_success = metrics.LOOP_LAST_SUCCESS.labels("recheck")
        self._own_limits: dict[UUID, int] = {}

    async def load_limit(self, user_id: UUID) -> None:
        """Read how many streams the user may open. Call it before `admit`. Raises DatabaseUnavailable."""
        async with self._database.connection() as connection:
            own = await quotas.get(connection, user_id)
        if own is None or own.max_streams is None:
            self._own_limits.pop(user_id, None)
        else:
            self._own_limits[user_id] = own.max_streams

    def count(self, user_id: UUID) -> int:
        """Number of open streams of a user on this process."""
        return self._streams_by_user[user_id]

    def admit(
        self, user: StreamUser, transport: str, end: Callable[[], None]
    ) -> AbstractContextManager[None]:
        """Count a stream as open during the body. `end` is called if its authorisation ends earlier.

        Raises TooManyStreams.
        """
        return _OpenStream(self, user, transport, end)

    def opened(self, stream: _OpenStream) -> None:
        """Count a stream as open. Raises TooManyStreams."""
        self.ensure_capacity(stream.user.id)
        self._open.add(stream)
        self._streams_by_user[stream.user.id] += 1
        self._gauges[stream.transport].inc()

    def closed(self, stream: _OpenStream) -> None:
        """Count a stream as closed."""
        self._gauges[stream.transport].dec()
        self._open.discard(stream)
        user_id = stream.user.id
        self._streams_by_user[user_id] -= 1
        if not self._streams_by_user[user_id]:
            del self._streams_by_user[user_id]

    @property
    def is_empty(self) -> bool:
        """Whether no stream is open."""
        return not self._open

    def ensure_capacity(self, user_id: UUID) -> None:
        """Raise TooManyStreams if the user or the process has reached its limit."""
        for streams, limit in (
            (self._streams_by_user[user_id], self._own_limits.get(user_id, self._per_user)),
            (len(self._open), self._per_process),
        ):
            if streams >= limit:
                raise TooManyStreams(streams=streams, limit=limit)

    async def recheck_forever(self) -> None:
        """Recheck all open streams at intervals, until cancelled."""
        while True:
            await asyncio.sleep(self._recheck_seconds)
            with suppress(DatabaseUnavailable):
                await self.recheck()
                self._last_success.set_to_current_time()

    async def recheck(self) -> None:
        """End streams that are no longer authorized, and renew the resume tokens of the others.

        Raises DatabaseUnavailable.
        """
        streams = tuple(self._open)  # not those that are opened meanwhile: nothing is known about them
        if not streams:
            return
        resumable = [stream.user.resumable.ticket_hash for stream in streams if stream.user.resumable]
        credentials = {stream.user.identity.credential for stream in streams}
        async with self._database.connection() as connection:
            roles = await queries.active_roles(connection, credentials)
            if resumable:
                await tickets.renew(connection, resumable)
        now = self._wall()
        for stream in streams:
            if not stream.user.is_authorized(roles.get(stream.user.identity.credential), now):
                stream.end()
