"""The deliverer: takes what is due, has the channels send it, and records the results.

It runs in every API process, or in a process of its own; any number of them share the work by leases. A
process that dies between sending and recording sends again after the lease: at least once, with the same id.
"""

import asyncio
import functools
from collections import Counter, OrderedDict
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from math import inf
from operator import attrgetter
from time import monotonic, time
from typing import Final, assert_never
from uuid import UUID

import asyncpg
import structlog
from pydantic import ValidationError

from app.core import background, failpoints, metrics
from app.core.backoff import delay_seconds as backoff_seconds
from app.core.database import Database
from app.core.errors import DatabaseUnavailable
from app.notifications import recording, resealing, retries, taking
from app.notifications.bodies import Notice
from app.notifications.channels.channel import Away, Channel, Delivered, Message, Outcome, Refused
from app.notifications.recording import Result, Verdict
from app.notifications.sealing import Sealing, SecretLost
from app.notifications.states import DisabledReason, NotificationType
from app.notifications.taking import TakenDelivery

LOOK_SECONDS: Final = 0.5
MAX_IN_FLIGHT: Final = 200
MAX_PER_SUBSCRIPTION: Final = 8
MAX_GATHERED: Final = 500
SEND_SECONDS: Final = 50.0
"""Less than the lease."""

DRAIN_SECONDS: Final = 2.0
RESULTS_AT_ONCE: Final = 500
DROPPED_AT_ONCE: Final = 1000
TIDY_SECONDS: Final = 60.0
HEALTHY_SECONDS: Final = 15.0
WINDOWS_KEPT: Final = 1000

_FIRST: Final = UUID(int=0)
_LOOP: Final = "deliver"

log = structlog.get_logger(__name__)


class Windows:
    """How many messages a subscription may have in flight in this process.

    One at first; twice as many after each success, up to `most`; one after a failure. An endpoint that does
    not answer thus holds one connection, however much waits for it.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._sizes: OrderedDict[UUID, int] = OrderedDict()
        self.in_flight: Counter[UUID] = Counter()

    def room(self, subscription_id: UUID) -> int:
        """Return how many more messages may be sent now."""
        return self._sizes.get(subscription_id, 1) - self.in_flight[subscription_id]

    def rooms(self) -> dict[UUID, int]:
        """Return the room of each subscription for which it is not one."""
        known = {*self._sizes, *self.in_flight}
        return {subscription: max(0, self.room(subscription)) for subscription in known}

    def started(self, subscription_id: UUID) -> None:
        """Count a message in flight."""
        self.in_flight[subscription_id] += 1

    def ended(self, subscription_id: UUID, *, is_success: bool) -> None:
        """Count a message that has ended."""
        self.in_flight[subscription_id] -= 1
        if not self.in_flight[subscription_id]:
            del self.in_flight[subscription_id]
        size = self._sizes.pop(subscription_id, 1)
        if is_success and self._most > 1:
            self._sizes[subscription_id] = min(self._most, 2 * size)
            if len(self._sizes) > WINDOWS_KEPT:
                self._sizes.popitem(last=False)


@dataclass(frozen=True)
class _Try:
    """A message in flight, with the deliveries that it consists of."""

    channel: Channel
    deliveries: tuple[TakenDelivery, ...]

    @property
    def subscription_id(self) -> UUID:
        return self.deliveries[0].subscription_id


class Deliverer:
    """Delivers to all channels while the body of `running()` runs.

    `clock` returns the moment that decides what is due; None means the database's own.
    """

    def __init__(
        self,
        database: Database,
        channels: Mapping[str, Channel],
        sealing: Sealing,
        *,
        public_url: str | None = None,
        clock: Callable[[], datetime | None] = lambda: None,
        look_seconds: float = LOOK_SECONDS,
        max_in_flight: int = MAX_IN_FLIGHT,
        send_seconds: float = SEND_SECONDS,
        away_seconds: float = retries.AWAY_SECONDS,
        drain_seconds: float = DRAIN_SECONDS,
    ) -> None:
        self._database = database
        self._channels = channels
        self._sealing = sealing
        self._public_url = public_url
        self._clock = clock
        self._look_seconds = look_seconds
        self._max_in_flight = max_in_flight
        self._send_seconds = send_seconds
        self._away_seconds = away_seconds
        self._drain_seconds = drain_seconds
        self._windows = {
            name: Windows(1 if channel.gather_seconds else MAX_PER_SUBSCRIPTION)
            for name, channel in channels.items()
        }
        self._counters = {
            name: {verdict: metrics.DELIVERIES.labels(name, verdict) for verdict in Verdict}
            for name in channels
        }
        for name in channels:
            metrics.DELIVERY_SECONDS.labels(name)
        self._after = dict.fromkeys(channels, _FIRST)
        self._away_until = dict.fromkeys(channels, -inf)
        self._has_more = dict.fromkeys(channels, False)
        self._tasks: set[asyncio.Task[None]] = set()
        self._results: list[tuple[_Try, list[Result]]] = []
        self._results_come = asyncio.Event()
        self._recording = asyncio.Lock()
        self._look_now = asyncio.Event()
        self._position = 0
        self._tidied_at = -inf
        self._succeeded_at = monotonic()
        self._is_failing = False

    @property
    def is_healthy(self) -> bool:
        """Whether it has looked recently."""
        return monotonic() - self._succeeded_at < HEALTHY_SECONDS

    def wake(self) -> None:
        """Look at once: something is due."""
        self._has_more = dict.fromkeys(self._has_more, True)
        self._look_now.set()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Deliver during the body. At its end, wait shortly for what is in flight and put back the rest."""
        async with background.running(self._record_forever()):
            try:
                async with background.running(self._look_forever()):
                    yield
            finally:
                await self._drain()

    async def deliver_due(self) -> None:
        """Deliver what is due, and what becomes due by that, without waiting for anything else."""
        while await self.look():
            await self.settle()

    async def look(self, channels: Sequence[str] | None = None) -> int:
        """Take what is due and start to send it. Return how many deliveries that are.

        With `channels`, only of these, which are known to have more. Raises DatabaseUnavailable.
        """
        now = self._clock()
        taken = 0
        async with self._database.connection() as connection:
            if channels is None:
                if not await taking.is_any_due(connection, now=now):
                    return 0
                await taking.drop_of_disabled(connection, limit=DROPPED_AT_ONCE, now=now)
            for name in self._channels if channels is None else channels:
                taken += await self._take(connection, name, now)
        return taken

    async def settle(self) -> None:
        """Wait for what is in flight, and record it."""
        while self._tasks or self._results:
            if self._tasks:
                await asyncio.wait(self._tasks)
            await self._record()

    async def _look_forever(self) -> None:
        while True:
            is_tick = not self._look_now.is_set()
            self._look_now.clear()
            try:
                if is_tick:
                    await self._tidy()
                    await self.look()
                else:
                    await self.look([name for name, has_more in self._has_more.items() if has_more])
            except DatabaseUnavailable as error:
                self._failed(error)
            except Exception as error:
                self._failed(error)
                log.exception("deliverer_raised")
            else:
                self._succeeded()
            with suppress(TimeoutError):
                async with asyncio.timeout(self._look_seconds):
                    await self._look_now.wait()

    async def _take(self, connection: asyncpg.Connection, name: str, now: datetime | None) -> int:
        channel, windows = self._channels[name], self._windows[name]
        each = MAX_GATHERED if channel.gather_seconds else 1
        limit = each * max(0, self._max_in_flight - len(self._tasks))
        self._has_more[name] = False
        if not limit or monotonic() < self._away_until[name]:
            return 0
        taken = await taking.take(
            connection,
            channel=name,
            rooms={subscription: room * each for subscription, room in windows.rooms().items()},
            room=each,
            limit=min(limit, MAX_GATHERED),
            after=self._after[name],
            key_names=self._sealing.key_names,
            public_url=self._public_url,
            now=now,
        )
        if taken:
            failpoints.reach("take_deliveries:after")
            self._after[name] = max(delivery.subscription_id for delivery in taken)
            self._has_more[name] = True
        for deliveries in _messages(taken, is_gathered=channel.gather_seconds > 0):
            self._start(_Try(channel, deliveries))
        return len(taken)

    def _start(self, attempt: _Try) -> None:
        self._windows[attempt.channel.name].started(attempt.subscription_id)
        self._position += 1
        task = asyncio.create_task(self._try(attempt, self._position))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _try(self, attempt: _Try, position: int) -> None:
        started = monotonic()
        live = [delivery for delivery in attempt.deliveries if delivery.notice is not None]
        gone = [delivery for delivery in attempt.deliveries if delivery.notice is None]
        results = [_result(delivery, position, Verdict.DROPPED) for delivery in gone]
        try:
            outcome = await self._outcome(attempt.channel, live) if live else None
        except asyncio.CancelledError:
            results += [_result(delivery, position, Verdict.PUT_BACK) for delivery in live]
            self._ended(attempt, results)
            raise
        seconds = monotonic() - started
        match outcome:
            case None:
                pass
            case Away(error):
                self._leave_alone(attempt.channel.name, error)
                results += [
                    _result(delivery, position, Verdict.PUT_BACK, delay=self._away_seconds)
                    for delivery in live
                ]
            case Delivered() | Refused():
                metrics.DELIVERY_SECONDS.labels(attempt.channel.name).observe(seconds)
                duration_ms = round(1000 * seconds)
                results += [_tried(delivery, position, outcome, duration_ms) for delivery in live]
            case _:
                assert_never(outcome)
        self._ended(attempt, results)

    async def _outcome(self, channel: Channel, live: Sequence[TakenDelivery]) -> Outcome:
        """Have the channel send a message. Whatever goes wrong in it is a failed try of this message only."""
        first = live[0]
        try:
            secrets = tuple(
                self._sealing.open(secret.sealed)
                for secret in first.secrets
                if secret.is_live(first.taken_at)
            )
            target = channel.target.model_validate(first.target)
        except SecretLost:
            return Refused(error="secret_lost", is_final=True, disables=DisabledReason.SECRET_LOST)
        except ValidationError:
            return Refused(error="target_not_valid", is_final=True)
        message = Message(
            subscription_id=first.subscription_id,
            subscription_name=first.subscription_name,
            target=target,
            secrets=secrets,
            notices=tuple(_notices(live)),
            now=first.taken_at,
        )
        try:
            async with asyncio.timeout(self._send_seconds):
                return await channel.send(message)
        except TimeoutError:
            return Refused(error="timed_out")
        except Exception:
            log.exception("channel_raised", channel=channel.name)
            return Refused(error="internal_error")

    def _ended(self, attempt: _Try, results: list[Result]) -> None:
        self._results.append((attempt, results))
        self._results_come.set()

    def _leave_alone(self, name: str, error: str) -> None:
        if monotonic() >= self._away_until[name]:
            log.warning("channel_away", channel=name, error=error)
        self._away_until[name] = monotonic() + self._away_seconds

    async def _record_forever(self) -> None:
        failures = 0
        while True:
            await self._results_come.wait()
            try:
                await self._record()
            except DatabaseUnavailable:
                failures += 1
                await asyncio.sleep(backoff_seconds(failures, base=0.1, maximum=2.0))
            else:
                failures = 0

    async def _record(self) -> None:
        """Record the results that have come. Raises DatabaseUnavailable, and then keeps them."""
        async with self._recording:
            ended = self._results[:RESULTS_AT_ONCE]
            if not ended:
                self._results_come.clear()
                return
            failpoints.reach("record_deliveries:before")
            recorded = await self._write([result for _, of_one in ended for result in of_one])
            failpoints.reach("record_deliveries:after")
            del self._results[: len(ended)]
        for attempt, of_one in ended:
            windows = self._windows[attempt.channel.name]
            is_success = any(result.verdict is Verdict.DELIVERED for result in of_one)
            windows.ended(attempt.subscription_id, is_success=is_success)
            for result in of_one:
                if result.delivery_id in recorded:
                    self._counters[attempt.channel.name][result.verdict].inc()
        if any(self._has_more.values()):
            self._look_now.set()

    async def _write(self, results: Sequence[Result]) -> set[UUID]:
        """Record results. Return the deliveries whose lease was still held. Raises DatabaseUnavailable."""
        try:
            async with self._database.connection() as connection:
                recorded = await recording.record(connection, results, now=self._clock())
        except asyncpg.PostgresError:
            if len(results) == 1:
                # It is tried again after the lease. Others must not wait for it.
                log.exception("result_not_recorded")
                return set()
            # One of them cannot be recorded, or another process locked the same rows in another order.
            return set().union(*[await self._write([result]) for result in results])
        return {found.delivery_id for found in recorded}

    async def _tidy(self) -> None:
        """Seal anew what the previous key sealed, and give up secrets that no process can open."""
        if monotonic() - self._tidied_at < TIDY_SECONDS:
            return
        self._tidied_at = monotonic()
        async with self._database.transaction() as connection:
            await resealing.reseal(connection, self._sealing)
            await resealing.disable_lost(connection, self._sealing)

    async def _drain(self) -> None:
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=self._drain_seconds)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        with suppress(DatabaseUnavailable):
            while self._results:
                await self._record()

    def _failed(self, error: Exception) -> None:
        if not self._is_failing:
            log.warning("deliverer_failed", error=repr(error.__cause__ or error))
        self._is_failing = True

    def _succeeded(self) -> None:
        if self._is_failing:
            self._is_failing = False
            log.info("deliverer_recovered")
        self._succeeded_at = monotonic()
        metrics.LOOP_LAST_SUCCESS.labels(_LOOP).set(time())


def _messages(taken: Sequence[TakenDelivery], *, is_gathered: bool) -> list[tuple[TakenDelivery, ...]]:
    """Return the deliveries of each message. The request for a confirmation is a message of its own."""
    if not is_gathered:
        return [(delivery,) for delivery in taken]
    messages: list[tuple[TakenDelivery, ...]] = []
    for _, group in groupby(taken, key=attrgetter("subscription_id")):
        deliveries = tuple(group)
        alone = [
            delivery
            for delivery in deliveries
            if delivery.type in (NotificationType.SUBSCRIPTION_CONFIRM, NotificationType.PING)
        ]
        together = tuple(delivery for delivery in deliveries if delivery not in alone)
        messages += [(delivery,) for delivery in alone]
        messages += [together] if together else []
    return messages


def _notices(live: Sequence[TakenDelivery]) -> list[Notice]:
    return [delivery.notice for delivery in live if delivery.notice is not None]


def _result(delivery: TakenDelivery, position: int, verdict: Verdict, *, delay: float = 0.0) -> Result:
    return Result(
        position=position,
        delivery_id=delivery.id,
        tries=delivery.tries,
        verdict=verdict,
        delay_seconds=delay,
        at=delivery.taken_at,
    )


def _tried(delivery: TakenDelivery, position: int, outcome: Delivered | Refused, duration_ms: int) -> Result:
    """Return the result of a try: delivered, failed for good, or to be tried again."""
    result = functools.partial(
        Result,
        position=position,
        delivery_id=delivery.id,
        tries=delivery.tries,
        at=delivery.taken_at,
        duration_ms=duration_ms,
        status=outcome.status,
        response=outcome.response,
    )
    if isinstance(outcome, Delivered):
        return result(verdict=Verdict.DELIVERED)
    delay = None if outcome.is_final or _is_test(delivery) else retries.delay_seconds(delivery.tries)
    return result(
        verdict=Verdict.FAILED if delay is None else Verdict.RETRY,
        delay_seconds=max(delay or 0.0, outcome.retry_after or 0.0),
        retry_after=outcome.retry_after,
        disables=outcome.disables,
        error=outcome.error,
    )


def _is_test(delivery: TakenDelivery) -> bool:
    return delivery.type == NotificationType.PING
