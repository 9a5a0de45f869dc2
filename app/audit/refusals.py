"""Records refused sign-ins, with few entries for many repetitions.

The first refusal of an account, a network and an outcome in a minute is recorded at once. Repetitions are
counted in memory, and recorded as one entry when the minute is over: two hundred thousand guesses leave two
entries a minute. A refusal that needs no query needs none for being recorded either.
"""

import asyncio
from collections import Counter, OrderedDict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Final

from app.audit import commands
from app.audit.actions import Action, AuditOutcome
from app.audit.values import Actor, Entry
from app.core import write_behind
from app.core.database import Database
from app.core.errors import DatabaseUnavailable

PERIOD_SECONDS: Final = 60.0
CHECK_SECONDS: Final = 5.0

MAX_NAMES: Final = 20
"""Number of names for each network, action and outcome that are counted separately within a period."""

MAX_COUNTED: Final = 10_000


@dataclass(frozen=True)
class _Subject:
    """What is counted together. Without a name: all names beyond MAX_NAMES; without a network: all others."""

    action: Action
    outcome: AuditOutcome
    network: str | None
    username_key: str | None


@dataclass
class _Count:
    repeats: int
    since: float  # by the loop's clock


class Refusals:
    """Counts refusals, and records them. Memory and entries are bounded, whatever clients send."""

    def __init__(
        self,
        database: Database,
        *,
        period_seconds: float = PERIOD_SECONDS,
        max_names: int = MAX_NAMES,
        max_counted: int = MAX_COUNTED,
    ) -> None:
        self._database = database
        self._period_seconds = period_seconds
        self._max_names = max_names
        self._max_counted = max_counted
        self._counts: OrderedDict[_Subject, _Count] = OrderedDict()
        self._names: Counter[_Subject] = Counter()

    async def record(self, actor: Actor, action: Action, outcome: AuditOutcome, username_key: str) -> None:
        """Record a refusal of an attempt on an account, unless it repeats one of this minute.

        `username_key` is stored nowhere: it finds the account, if there is one. Raises DatabaseUnavailable.
        """
        subject = self._counted_as(_Subject(action, outcome, actor.network, username_key))
        now = asyncio.get_running_loop().time()
        count = self._counts.get(subject)
        if count is not None and now - count.since < self._period_seconds:
            count.repeats += 1
            return
        # Counted before the first await: of concurrent refusals, only one is the first.
        earlier = self._take(subject)
        self._begin(subject, now)
        try:
            await self._write_repeats(subject, earlier)
            earlier = 0
            await self._write(subject, actor.request_id)
        except BaseException as error:
            if outcome is AuditOutcome.THROTTLED and isinstance(error, DatabaseUnavailable):
                # The attempt reveals nothing. It is recorded later, and does not ask Postgres each time.
                self._put_back(subject, earlier + 1)
                return
            self._put_back(subject, earlier + self._take(subject))
            raise

    async def write_due(self) -> None:
        """Record the repetitions of each period that is over. Raises DatabaseUnavailable, and keeps them."""
        now = asyncio.get_running_loop().time()
        for subject, count in list(self._counts.items()):  # in the order in which they began
            if now - count.since < self._period_seconds:
                return
            await self._write_taken(subject)

    async def write_all(self) -> None:
        """Record all repetitions so far. Raises DatabaseUnavailable, and keeps them."""
        for subject in list(self._counts):
            await self._write_taken(subject)

    async def _write_taken(self, subject: _Subject) -> None:
        repeats = self._take(subject)
        try:
            await self._write_repeats(subject, repeats)
        except BaseException:
            self._put_back(subject, repeats)
            raise

    def _begin(self, subject: _Subject, now: float) -> None:
        self._counts[subject] = _Count(0, now)
        if subject.username_key is not None:
            self._names[_of_network(subject)] += 1

    def _take(self, subject: _Subject) -> int:
        """Forget a subject. Return how often it was repeated."""
        count = self._counts.pop(subject, None)
        if count is None:
            return 0
        if subject.username_key is not None:
            network = _of_network(subject)
            self._names[network] -= 1
            if self._names[network] <= 0:
                del self._names[network]
        return count.repeats

    def _put_back(self, subject: _Subject, repeats: int) -> None:
        """Count repetitions that could not be recorded, in a period that begins now if none has begun."""
        if not repeats:
            return
        if subject not in self._counts:
            self._begin(subject, asyncio.get_running_loop().time())
        self._counts[subject].repeats += repeats

    async def _write_repeats(self, subject: _Subject, repeats: int) -> None:
        if repeats:
            await self._write(subject, None, repeats=repeats)

    async def _write(self, subject: _Subject, request_id: str | None, *, repeats: int | None = None) -> None:
        details = {} if repeats is None else {"repeats": repeats}
        async with self._database.connection() as connection:
            await commands.record_refusal(
                connection,
                Actor(network=subject.network, request_id=request_id),
                Entry(subject.action, outcome=subject.outcome, details=details),
                username_key=subject.username_key,
            )

    def _counted_as(self, subject: _Subject) -> _Subject:
        if subject in self._counts:
            return subject
        if self._names[_of_network(subject)] >= self._max_names:
            subject = _of_network(subject)
        if subject not in self._counts and len(self._counts) >= self._max_counted:
            return replace(subject, network=None, username_key=None)
        return subject


def _of_network(subject: _Subject) -> _Subject:
    return replace(subject, username_key=None)


@asynccontextmanager
async def open_refusals(database: Database) -> AsyncIterator[Refusals]:
    """Record refusals during the body, and the last repetitions at its end."""
    refusals = Refusals(database)
    async with write_behind.writing(
        "refusals", refusals.write_due, seconds=CHECK_SECONDS, write_all=refusals.write_all
    ):
        yield refusals
