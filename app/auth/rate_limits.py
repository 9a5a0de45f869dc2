"""Rate limits for each client network: failed sign-ins, per account and in total, and sign-ups.

Attempts are stored in Postgres, so that the limits hold across processes and without Redis. They are counted
for each pair of account and network, so that a client cannot lock the account of another user.
"""

import asyncio
import hashlib
import math
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import asyncpg

from app.auth import usernames
from app.auth.errors import TooManyAttempts
from app.core.config import Settings
from app.core.sql import RowSet, Statement

SIGN_IN_WINDOW: Final = timedelta(minutes=15)
SIGN_UP_WINDOW: Final = timedelta(hours=1)
MAX_REMEMBERED: Final = 10_000

_RULES: Final = RowSet("rule", subject="bytea", allowed="int", lasts="interval")
_WINDOWS: Final = RowSet("rule", subject="bytea", lasts="interval")

# For each rule that is exceeded, how long until enough attempts have left its window to allow another one?
_WAITS: Final = Statement(f"""
    SELECT rule.subject, extract(epoch FROM recent.at[rule.allowed] + rule.lasts - now())::float8 AS seconds
    FROM {_RULES.sql}
    JOIN attempts USING (subject)
    CROSS JOIN LATERAL (
        SELECT array_agg(moment ORDER BY moment DESC) AS at
        FROM unnest(attempts.at) AS moment WHERE moment > now() - rule.lasts
    ) AS recent
    WHERE attempts.network = :network AND recent.at[rule.allowed] IS NOT NULL""")  # noqa: S608  # made of constants

# Record an attempt under each rule, drop those outside the window, and count the rest. The rows are locked in
# the order of their keys, so that two of these statements never deadlock.
_ADD: Final = Statement(f"""
    INSERT INTO attempts AS known (subject, network, at, expires_at)
    SELECT rule.subject, :network, ARRAY[now()], now() + rule.lasts
    FROM {_WINDOWS.sql} ORDER BY rule.subject
    ON CONFLICT (subject, network) DO UPDATE SET
        at = ARRAY(
            SELECT moment FROM unnest(known.at) AS moment
            WHERE moment > now() - (excluded.expires_at - now())
        ) || excluded.at,
        expires_at = excluded.expires_at
    RETURNING subject, cardinality(at) AS attempts""")  # noqa: S608  # made of constants

# Delete the attempts on a subject, and count those that were still in the window.
_CLEAR: Final = Statement("""
    DELETE FROM attempts WHERE subject = :subject AND network = :network
    RETURNING (SELECT count(*) FROM unnest(at) AS moment WHERE moment > now() - :lasts::interval)""")

# Delete the attempts that have left every window, without waiting for requests, which hold locks in another
# order.
_PRUNE: Final = Statement("""
    DELETE FROM attempts WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM attempts WHERE expires_at < now() FOR UPDATE SKIP LOCKED))""")


@dataclass(frozen=True)
class Rule:
    """A network may make `allowed` attempts on a subject, such as an account, within a window of `lasts`."""

    subject: bytes
    allowed: int
    lasts: timedelta


class RateLimits:
    """Counts attempts, and raises TooManyAttempts for those beyond a rule."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._blocked: OrderedDict[tuple[bytes, str], float] = OrderedDict()

    def sign_in_rules(self, username: str) -> tuple[Rule, Rule]:
        """Return the rules for signing in: one for this account, one for all accounts together."""
        settings = self._settings
        account = Rule(
            _subject("account", usernames.key(username)), settings.max_failed_sign_ins, SIGN_IN_WINDOW
        )
        all_accounts = Rule(_subject("sign-in", ""), settings.max_failed_sign_ins_per_address, SIGN_IN_WINDOW)
        return account, all_accounts

    def sign_up_rules(self) -> tuple[Rule]:
        """Return the rule for creating accounts."""
        return (Rule(_subject("sign-up", ""), self._settings.max_sign_ups_per_address, SIGN_UP_WINDOW),)

    def check_blocked(self, rules: Sequence[Rule], network: str) -> None:
        """Reject the attempt, without a query, if this process knows that the network still has to wait."""
        now = asyncio.get_running_loop().time()
        for rule in rules:
            until = self._blocked.get((rule.subject, network), -math.inf)
            if until > now:
                raise TooManyAttempts(retry_after=math.ceil(until - now))

    async def check(self, connection: asyncpg.Connection, rules: Sequence[Rule], network: str) -> None:
        """Reject the attempt if a limit has been reached."""
        rows = await _WAITS.fetch(
            connection,
            network=network,
            **_RULES.parameters(
                [{"subject": rule.subject, "allowed": rule.allowed, "lasts": rule.lasts} for rule in rules]
            ),
        )
        for row in rows:
            self._block(row["subject"], network, row["seconds"])
        if rows:
            raise TooManyAttempts(retry_after=max(1, math.ceil(max(row["seconds"] for row in rows))))

    async def record(self, connection: asyncpg.Connection, rules: Sequence[Rule], network: str) -> None:
        """Count an attempt, and reject it if concurrent attempts have reached a limit."""
        rows = await _ADD.fetch(
            connection,
            network=network,
            **_WINDOWS.parameters([{"subject": rule.subject, "lasts": rule.lasts} for rule in rules]),
        )
        counted = {row["subject"]: row["attempts"] for row in rows}
        for rule in rules:
            if counted[rule.subject] > rule.allowed:
                raise TooManyAttempts(retry_after=math.ceil(rule.lasts.total_seconds()))

    async def clear(self, connection: asyncpg.Connection, rule: Rule, network: str) -> None:
        """Delete the attempts on a subject, in the caller's transaction.

        Rejects the attempt if concurrent ones have reached the limit: guesses sent in parallel must not
        reveal more than guesses sent one after the other.
        """
        recent = await _CLEAR.fetchval(connection, subject=rule.subject, network=network, lasts=rule.lasts)
        if recent is not None and recent >= rule.allowed:
            raise TooManyAttempts(retry_after=math.ceil(rule.lasts.total_seconds()))

    def _block(self, subject: bytes, network: str, seconds: float) -> None:
        if len(self._blocked) >= MAX_REMEMBERED:
            self._blocked.popitem(last=False)
        self._blocked[subject, network] = asyncio.get_running_loop().time() + seconds


def _subject(purpose: str, name: str) -> bytes:
    """Return the key of a subject. Names are hashed: some users type their password there."""
    return hashlib.sha256(f"{purpose}:{name}".encode()).digest()


async def prune(connection: asyncpg.Connection) -> None:
    """Delete the attempts that no longer count."""
    await _PRUNE.execute(connection)
