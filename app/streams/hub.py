"""The hub of an API process: receives events over Redis, and delivers them to the followers of jobs.

Redis only carries hints. The hub accepts only those that a Headrace process has signed, and a follower only
the one with the next number. A follower that sees a gap, that fell behind, or whose Redis connection broke
reads the missing events from the log in Postgres, by number. Every few seconds the hub compares the positions
of its followers with Postgres, in two queries, which also recovers hints that were lost without an error. A
follower therefore yields exactly the log: no event is lost or repeated.
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from math import inf
from time import monotonic
from typing import Any, Final, Generic, TypeVar
from uuid import UUID

import msgspec
import structlog
from redis.asyncio import ConnectionPool, Redis
from redis.asyncio.client import PubSub

from app.core import background, keys, metrics
from app.core.database import Database
from app.core.errors import DatabaseUnavailable
from app.core.redis import UNREACHABLE, Availability
from app.core.signing import HintSigner
from app.jobs import events, queries
from app.jobs.events import Event
from app.jobs.queries import EventPage
from app.streams import owner_log
from app.streams.followers import Follower, HubClosed, JobFollower, OwnerFollower
from app.streams.owner_log import EVERYTHING, EventFilter, OwnerPosition, Page
from app.streams.rounds import LogRounds
from app.streams.stream_database import StreamDatabase
from app.streams.times import StreamTimes

LINGER_SECONDS: Final = 30.0
SUBSCRIBE_SECONDS: Final = 1.0
PING_SECONDS: Final = 2.0
SILENT_SECONDS: Final = 6.0
REFUSAL_LOG_SECONDS: Final = 60.0

# A channel to which nothing is ever published.
_NO_OWNER: Final = keys.PREFIX + "nobody"

log = structlog.get_logger(__name__)

AnyFollower = TypeVar("AnyFollower", JobFollower, OwnerFollower)


class Hub:
    """Delivers events to the followers in one process."""

    def __init__(
        self,
        database: Database,
        stream_database: StreamDatabase,
        pool: ConnectionPool,
        availability: Availability,
        signer: HintSigner,
        times: StreamTimes = StreamTimes(),  # noqa: B008  # frozen
    ) -> None:
        self._times = times
        self._database = database
        self.stream_database = stream_database
        self._signer = signer
        self._refused_at = -inf
        self._pool = pool
        self._availability = availability
        self._job_followers: defaultdict[UUID, set[JobFollower]] = defaultdict(set)
        self._owner_followers: defaultdict[UUID, set[OwnerFollower]] = defaultdict(set)
        self._everyone_followers: set[OwnerFollower] = set()
        self._has_job_followers = asyncio.Event()
        self._owners: dict[UUID, _Owner] = {}
        self._pubsub: PubSub | None = None
        self._rounds = LogRounds(database, times.round_seconds)
        self._is_closed = False
        self._last_success = metrics.LOOP_LAST_SUCCESS.labels("hub")

    async def run_forever(self) -> None:
        """Listen, compare and read, until cancelled."""
        async with background.running(self._compare_forever(), self._rounds.run_forever()):
            await self._listen_forever()

    def close(self) -> None:
        """End every stream: each follower raises HubClosed."""
        self._is_closed = True
        self.stream_database.close()
        for follower in self._all_followers():
            follower.end(HubClosed())

    @property
    def is_closed(self) -> bool:
        """Whether the process is shutting down."""
        return self._is_closed

    def ensure_open(self) -> None:
        """Raise HubClosed once the process is shutting down."""
        if self._is_closed:
            raise HubClosed

    def job_follower(
        self, owner_id: UUID, job_id: UUID, *, after: int
    ) -> AbstractAsyncContextManager[JobFollower]:
        """Yield a follower of one job, starting after event number `after`. Raises HubClosed."""
        follower = JobFollower(self, job_id, after)
        return _Following(self, owner_id, self._job_followers, job_id, follower)

    def owner_follower(
        self, owner_id: UUID, *, after: OwnerPosition, wanted: EventFilter
    ) -> AbstractAsyncContextManager[OwnerFollower]:
        """Yield a follower of an owner's jobs that match the filter. Raises HubClosed."""
        follower = OwnerFollower(self, owner_id, after, wanted)
        return _Following(self, owner_id, self._owner_followers, owner_id, follower)

    @asynccontextmanager
    async def everyone_follower(
        self, *, after: OwnerPosition, wanted: EventFilter, poll_seconds: float
    ) -> AsyncIterator[OwnerFollower]:
        """Yield a follower of the jobs of all users that match the filter. Raises HubClosed."""
        self.ensure_open()
        follower = OwnerFollower(self, None, after, wanted, poll_seconds)
        self._everyone_followers.add(follower)
        try:
            yield follower
        finally:
            self._everyone_followers.discard(follower)

    async def follow(self, owner_id: UUID, job_id: UUID, *, after: int) -> AsyncIterator[Event]:
        """Yield the events of a job after a number, as they happen, until the last. Raises StreamEnded."""
        async with self.job_follower(owner_id, job_id, after=after) as follower:
            async for event in follower.events():
                yield event

    async def wait_for_end(self, owner_id: UUID, job_id: UUID, *, after: int, timeout_seconds: float) -> None:
        """Return when the job has ended, the timeout has passed or the process shuts down."""
        with suppress(TimeoutError, HubClosed):
            async with asyncio.timeout(timeout_seconds):
                async for _ in self.follow(owner_id, job_id, after=after):
                    pass

    async def read_job(self, job_id: UUID, after: int) -> EventPage:
        """Return a part of a job's log. Raises DatabaseUnavailable."""
        async with self.stream_database.connection() as connection:
            return await queries.events(connection, job_id, after=after)

    async def read_owner(self, owner_id: UUID | None, after: OwnerPosition, wanted: EventFilter) -> Page:
        """Return a part of an owner's log, None: of that of all users.

        Raises DatabaseUnavailable and HubClosed.
        """
        if owner_id is not None and wanted == EVERYTHING:
            return await self._rounds.read(owner_id, after)
        async with self.stream_database.connection() as connection:
            return await owner_log.read(connection, owner_id, after, wanted)

    async def begin(self, following: "_Following[AnyFollower]") -> None:
        """Deliver hints to a follower from here on; earlier events are in the log. Raises HubClosed."""
        self.ensure_open()
        self._owners.setdefault(following.owner_id, _Owner()).followers += 1
        following.followers[following.key].add(following.follower)
        self._note_job_followers()
        try:
            await self._subscribe(following.owner_id)
        except BaseException:
            self.end(following)
            raise

    def end(self, following: "_Following[AnyFollower]") -> None:
        """Deliver no more to a follower."""
        owner = self._owners[following.owner_id]
        owner.followers -= 1
        owner.left_at = monotonic()
        followers = following.followers
        followers[following.key].discard(following.follower)
        if not followers[following.key]:
            del followers[following.key]
        self._note_job_followers()

    def _note_job_followers(self) -> None:
        if self._job_followers:
            self._has_job_followers.set()
        else:
            self._has_job_followers.clear()

    def _all_followers(self) -> list[Follower]:
        groups: list[Iterable[Follower]] = [
            *self._job_followers.values(),
            *self._owner_followers.values(),
            self._everyone_followers,
        ]
        return [follower for group in groups for follower in group]

    async def _subscribe(self, owner_id: UUID) -> None:
        """Subscribe to the hints about this owner's jobs, if Redis is available."""
        owner = self._owners[owner_id]
        if not owner.is_requested and self._pubsub is not None:
            owner.is_requested = True
            with suppress(*UNREACHABLE):
                await self._pubsub.subscribe(keys.events(owner_id))
        if not owner.is_subscribed.is_set() and self._availability.is_up:
            with suppress(TimeoutError):
                async with asyncio.timeout(SUBSCRIBE_SECONDS):
                    await owner.is_subscribed.wait()

    async def _listen_forever(self) -> None:
        while True:
            try:
                await self._signer.load()
                async with Redis(connection_pool=self._pool).pubsub() as pubsub:
                    await self._listen(pubsub)
            except DatabaseUnavailable:
                pass  # without the key, signed hints cannot be told from others
            except UNREACHABLE as error:
                self._availability.failed(error)
            finally:
                self._pubsub = None
                for owner in self._owners.values():
                    owner.forget()
            self._resync_all()
            await asyncio.sleep(self._times.retry_seconds)

    async def _listen(self, pubsub: PubSub) -> None:
        # A connection without a subscription cannot be read from.
        await pubsub.subscribe(_NO_OWNER)
        self._pubsub = pubsub
        if self._owners:
            await pubsub.subscribe(*(keys.events(owner_id) for owner_id in self._owners))
            for owner in self._owners.values():
                owner.is_requested = True
        self._availability.succeeded()
        self._resync_all()
        heard_at = monotonic()
        while True:
            message = await pubsub.get_message(timeout=PING_SECONDS)
            if message is not None:
                heard_at = monotonic()
                self._handle(message)
                await self._handle_waiting(pubsub)
                continue
            if monotonic() - heard_at > SILENT_SECONDS:
                raise TimeoutError("Redis does not answer on the hub's connection")
            await self._unsubscribe_idle_owners(pubsub)
            await pubsub.ping()

    async def _handle_waiting(self, pubsub: PubSub) -> None:
        """Handle the messages that have arrived, and give more of them time to arrive if none is urgent."""
        while (message := await pubsub.get_message(timeout=0)) is not None:
            self._handle(message)
        # Logs of owners are read in rounds anyway, so one wake-up is enough for the hints of a round.
        with suppress(TimeoutError):
            async with asyncio.timeout(self._times.round_seconds / 2):
                await self._has_job_followers.wait()

    def _handle(self, message: dict[str, Any]) -> None:
        if message["type"] == "message":
            hint = self._signer.verify(message["channel"], message["data"])
            if hint is None:
                self._refuse(message["data"])
            else:
                self._deliver(keys.events_owner(message["channel"]), hint)
        elif message["type"] == "subscribe" and message["channel"] != _NO_OWNER.encode():
            owner = self._owners.get(keys.events_owner(message["channel"]))
            if owner is not None:
                owner.is_subscribed.set()

    def _refuse(self, data: bytes) -> None:
        """Count a hint without a valid signature: a forged one, or one of a process of an older version."""
        metrics.HINTS_REFUSED.inc()
        if monotonic() - self._refused_at > REFUSAL_LOG_SECONDS:
            self._refused_at = monotonic()
            log.warning("hint_refused", size_bytes=len(data))

    def _deliver(self, owner_id: UUID, data: bytes) -> None:
        try:
            event = events.decode(data)
        except msgspec.DecodeError:
            log.warning("event_hint_unreadable", size_bytes=len(data))
            return
        for follower in self._job_followers.get(event.job_id, ()):
            follower.offer(event)
        for owner_follower in self._owner_followers.get(owner_id, ()):
            owner_follower.offer(event)

    async def _unsubscribe_idle_owners(self, pubsub: PubSub) -> None:
        now = monotonic()
        idle = [
            owner_id
            for owner_id, owner in self._owners.items()
            if not owner.followers and now - owner.left_at > LINGER_SECONDS
        ]
        for owner_id in idle:
            del self._owners[owner_id]
        if idle:
            await pubsub.unsubscribe(*(keys.events(owner_id) for owner_id in idle))

    async def _compare_forever(self) -> None:
        """Find the followers that are behind the log although no hint has told them."""
        while True:
            is_away = self._pubsub is None
            await asyncio.sleep(self._times.compare_away_seconds if is_away else self._times.compare_seconds)
            with suppress(DatabaseUnavailable):
                if self._job_followers or self._owner_followers:
                    await self._resync_lagging()
                self._last_success.set_to_current_time()

    async def _resync_lagging(self) -> None:
        async with self._database.connection() as connection:
            last_seqs = await queries.last_seqs(connection, list(self._job_followers))
            last_xacts = await owner_log.last_transactions(connection, list(self._owner_followers))
        for job_id, followers in list(self._job_followers.items()):
            for follower in followers:
                if follower.position < last_seqs.get(job_id, 0):
                    follower.resync()
        for owner_id, owner_followers in list(self._owner_followers.items()):
            for owner_follower in owner_followers:
                if owner_follower.position.xact_id < last_xacts.get(owner_id, 0):
                    owner_follower.resync()

    def _resync_all(self) -> None:
        for follower in self._all_followers():
            follower.resync()


class _Following(Generic[AnyFollower]):
    """Context manager during which a follower gets hints.

    Not a generator, because an open stream keeps it: the frames of generators take five times the memory.
    """

    __slots__ = ("_hub", "follower", "followers", "key", "owner_id")

    follower: AnyFollower
    followers: defaultdict[UUID, set[AnyFollower]]

    def __init__(
        self,
        hub: Hub,
        owner_id: UUID,
        followers: defaultdict[UUID, set[AnyFollower]],
        key: UUID,
        follower: AnyFollower,
    ) -> None:
        self._hub = hub
        self.owner_id = owner_id
        self.followers = followers
        self.key = key
        self.follower = follower

    async def __aenter__(self) -> AnyFollower:
        await self._hub.begin(self)
        return self.follower

    async def __aexit__(self, *_: object) -> None:
        self._hub.end(self)


class _Owner:
    """One owner: how many followers there are, and whether hints about the jobs are received."""

    def __init__(self) -> None:
        self.followers = 0
        self.left_at = monotonic()
        self.is_requested = False
        self.is_subscribed = asyncio.Event()

    def forget(self) -> None:
        """Reset the subscription after the connection was lost."""
        self.is_requested = False
        self.is_subscribed.clear()
