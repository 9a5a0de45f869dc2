"""Limits on the rate of requests: for each signed-in user, and for each client network of anonymous ones.

Every process counts the requests of a client in memory, so that a limit holds without Redis. With Redis, all
processes share one count: a process takes requests from it in small leases and serves them from memory, so
that few requests wait for Redis. Windows are fixed: they start with the first request of a client.
"""

import asyncio
import math
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from time import monotonic
from typing import Final, NoReturn
from uuid import UUID

import structlog
from limits import RateLimitItem, RateLimitItemPerMinute
from limits.aio.storage import RedisStorage
from redis.asyncio import ConnectionPool, Redis
from starlette.types import Scope

from app.core import keys
from app.core.config import Settings
from app.core.redis import UNREACHABLE
from app.http.addresses import client_network, parse_networks
from app.http.errors import RateLimited

WINDOW_SECONDS: Final = 60
LEASES_PER_WINDOW: Final = 200
"""A lease is this part of a limit: as much as a process may take from the count without using it."""

REDIS_SECONDS: Final = 0.25
"""Time that a request waits for Redis before this process counts alone."""

RETRY_SECONDS: Final = 1.0
MAX_REMEMBERED: Final = 10_000
"""Number of clients that a process counts; beyond it, those that were idle longest are forgotten."""

_STANDING: Final = "headrace.rate"

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Policy:
    """Each client may send `limit` requests in a window; 0 means no limit."""

    name: str
    limit: int

    @property
    def lease(self) -> int:
        """Number of requests that a process takes from the shared count at once."""
        return max(1, self.limit // LEASES_PER_WINDOW)

    @property
    def item(self) -> RateLimitItemPerMinute:
        """The policy as the `limits` package takes it."""
        return RateLimitItemPerMinute(self.limit, namespace=self.name)


@dataclass(frozen=True, slots=True)
class Standing:
    """How many more requests a client may send, and in how many seconds its window ends."""

    policy: Policy
    remaining: int
    reset_seconds: int

    def headers(self) -> list[tuple[bytes, bytes]]:
        """The `RateLimit` headers (draft-ietf-httpapi-ratelimit-headers)."""
        name = self.policy.name
        return [
            (b"ratelimit-policy", f'"{name}";q={self.policy.limit};w={WINDOW_SECONDS}'.encode()),
            (b"ratelimit", f'"{name}";r={self.remaining};t={self.reset_seconds}'.encode()),
        ]


@dataclass(slots=True)
class _Window:
    """The requests of one client: those served by this process, and those leased from the shared count."""

    ends_at: float
    served: int = 0
    leased: int = 0
    lease_ends_at: float = -math.inf
    shared_remaining: int | None = None  # None: unknown, because Redis is away
    full_until: float = -math.inf
    leasing: asyncio.Lock = field(default_factory=asyncio.Lock)

    def start_anew(self, now: float) -> None:
        """Begin the next window if this one is over."""
        if now >= self.ends_at:
            self.ends_at = now + WINDOW_SECONDS
            self.served = 0

    def take(self, now: float) -> bool:
        """Use one request of the lease, if any is left."""
        if now >= self.lease_ends_at:
            self.leased = 0
        if not self.leased:
            return False
        self.leased -= 1
        return True

    def standing(self, policy: Policy, now: float) -> Standing:
        """What the client has left."""
        remaining = policy.limit - self.served
        if self.shared_remaining is not None and now < self.lease_ends_at:
            remaining = min(remaining, self.leased + self.shared_remaining)
        return Standing(policy, max(0, remaining), _whole_seconds(self.ends_at - now))


@dataclass(frozen=True, slots=True)
class _Lease:
    requests: int
    remaining: int
    seconds: float


class _SharedCounts(RedisStorage):
    """The Redis storage of the `limits` package, without its scripts: our Redis user may not run any."""

    def __init__(self, pool: ConnectionPool) -> None:
        super().__init__(
            "async+redis://",
            implementation="redispy",
            key_prefix=keys.RATES,
            connection_pool=pool,  # type: ignore[arg-type]  # passed on to redis-py
        )
        self._client = Redis(connection_pool=pool)

    async def lease(self, item: RateLimitItem, client: str, requests: int) -> _Lease:
        """Take up to this number of requests of a client, as many as are left.

        The count lasts from the first request of a client to the end of its window.
        """
        key = self.bridge.prefixed_key(item.key_for(client))
        async with self._client.pipeline(transaction=True) as pipe:
            pipe.set(key, 0, ex=item.get_expiry(), nx=True)
            pipe.incrby(key, requests)
            pipe.pttl(key)
            _, count, milliseconds = await pipe.execute()
        granted = min(requests, max(0, item.amount - (count - requests)))
        return _Lease(granted, max(0, item.amount - count), milliseconds / 1000)


class RequestRates:
    """Counts the requests of each client, and raises RateLimited for those beyond a limit."""

    def __init__(
        self,
        settings: Settings,
        pool: ConnectionPool,
        *,
        redis_seconds: float = REDIS_SECONDS,
        clock: Callable[[], float] = monotonic,
        max_remembered: int = MAX_REMEMBERED,
    ) -> None:
        self._user = Policy("user", settings.requests_per_minute)
        self._network = Policy("network", settings.anonymous_requests_per_minute)
        self._trusted = parse_networks(settings.trusted_proxies)
        self._counts = _SharedCounts(pool)
        self._redis_seconds = redis_seconds
        self._clock = clock
        self._max_remembered = max_remembered
        self._windows: OrderedDict[tuple[str, str], _Window] = OrderedDict()
        self._is_alone = False
        self._retry_at = -math.inf

    @property
    def is_shared(self) -> bool:
        """Whether the count in Redis could be reached, as far as this process knows."""
        return not self._is_alone

    async def admit(self, scope: Scope, user_id: UUID | None) -> None:
        """Count a request of a user, or of the network that it comes from.

        The response gets the headers that `headers_of` returns. Raises RateLimited.
        """
        policy = self._network if user_id is None else self._user
        if not policy.limit:
            return
        client = client_network(scope, self._trusted) if user_id is None else str(user_id)
        now = self._clock()
        window = self._window(policy, client, now)
        if window.served >= policy.limit:
            self._refuse(scope, policy, window.ends_at - now)
        window.served += 1  # before anything is awaited: concurrent requests must not pass together
        if not window.take(now):
            try:
                await self._lease(scope, policy, client, window)
            except RateLimited:
                window.served -= 1
                raise
        scope[_STANDING] = window.standing(policy, now)

    def _window(self, policy: Policy, client: str, now: float) -> _Window:
        key = (policy.name, client)
        window = self._windows.get(key)
        if window is None:
            if len(self._windows) >= self._max_remembered:
                self._windows.popitem(last=False)
            window = self._windows[key] = _Window(ends_at=now + WINDOW_SECONDS)
        else:
            self._windows.move_to_end(key)
            window.start_anew(now)
        return window

    def _refuse(self, scope: Scope, policy: Policy, seconds: float) -> NoReturn:
        wait = max(1, _whole_seconds(seconds))
        scope[_STANDING] = Standing(policy, 0, wait)
        raise RateLimited(limit=policy.limit, retry_after=wait)

    async def _lease(self, scope: Scope, policy: Policy, client: str, window: _Window) -> None:
        """Take requests from the shared count. Does nothing while Redis is away. Raises RateLimited."""
        async with window.leasing:
            now = self._clock()
            if window.take(now):  # another request has leased some meanwhile
                return
            if now < window.full_until:
                self._refuse(scope, policy, window.lease_ends_at - now)
            if now < self._retry_at:
                return
            if self._is_alone:
                self._retry_at = now + RETRY_SECONDS  # one request tries; the others do not wait
            try:
                async with asyncio.timeout(self._redis_seconds):
                    lease = await self._counts.lease(policy.item, client, policy.lease)
            except UNREACHABLE as error:
                self._count_alone(error, window)
                return
            self._count_together()
            window.lease_ends_at = now + lease.seconds
            window.shared_remaining = lease.remaining
            if not lease.requests:
                window.full_until = now + min(lease.seconds, RETRY_SECONDS)
                self._refuse(scope, policy, lease.seconds)
            window.leased = lease.requests - 1

    def _count_alone(self, error: BaseException, window: _Window) -> None:
        window.shared_remaining = None
        self._retry_at = self._clock() + RETRY_SECONDS
        if not self._is_alone:
            self._is_alone = True
            log.warning("rate_limits_per_process", error=f"{type(error).__name__}: {error}")

    def _count_together(self) -> None:
        if self._is_alone:
            self._is_alone = False
            self._retry_at = -math.inf
            log.info("rate_limits_shared")


def _whole_seconds(seconds: float) -> int:
    """Round up, but not what is only the error of a float: 60 seconds after now are often 60.00000000001."""
    return math.ceil(round(seconds, 6))


def headers_of(scope: Scope) -> list[tuple[bytes, bytes]]:
    """The headers that tell a client how many requests it has left; none if the request was not counted."""
    standing: Standing | None = scope.get(_STANDING)
    return [] if standing is None else standing.headers()
