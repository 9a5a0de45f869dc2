"""How often a network has tried: sign-ins that failed, by account and in all, and sign-ups.

Kept in Postgres, so that the limits hold across processes and whatever becomes of Redis. An account is not
locked for others: what counts is the pair of account and network.
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

SIGN_IN_WINDOW: Final = timedelta(minutes=15)
SIGN_UP_WINDOW: Final = timedelta(hours=1)
MAX_REMEMBERED: Final = 10_000

# For each rule that is exceeded: how long until its oldest attempt that counts is outside of the window.
_WAITS: Final = """
    SELECT rule.subject, extract(epoch FROM recent.at[rule.allowed] + rule.lasts - now())::float8 AS seconds
    FROM unnest($1::bytea[], $2::int[], $3::interval[]) AS rule (subject, allowed, lasts)
    JOIN attempts USING (subject)
    CROSS JOIN LATERAL (
        SELECT array_agg(moment ORDER BY moment DESC) AS at
        FROM unnest(attempts.at) AS moment WHERE moment > now() - rule.lasts
    ) AS recent
    WHERE attempts.network = $4 AND recent.at[rule.allowed] IS NOT NULL"""

# Rows are locked in the order of their keys. What is outside of the window is left out.
_ADD: Final = """
    INSERT INTO attempts AS known (subject, network, at, expires_at)
    SELECT rule.subject, $3, ARRAY[now()], now() + rule.lasts
    FROM unnest($1::bytea[], $2::interval[]) AS rule (subject, lasts) ORDER BY rule.subject
    ON CONFLICT (subject, network) DO UPDATE SET
        at = ARRAY(
            SELECT moment FROM unnest(known.at) AS moment
            WHERE moment > now() - (excluded.expires_at - now())
        ) || excluded.at,
        expires_at = excluded.expires_at
    RETURNING subject, cardinality(at) AS attempts"""

# Tells how many there were, and forgets them.
_CLEAR: Final = """
    DELETE FROM attempts WHERE subject = $1 AND network = $2
    RETURNING (SELECT count(*) FROM unnest(at) AS moment WHERE moment > now() - $3::interval)"""


@dataclass(frozen=True)
class Rule:
    """So many attempts at a subject are allowed to one network in so long a time."""

    subject: bytes
    allowed: int
    lasts: timedelta


class Attempts:
    """Counts attempts, and refuses those beyond a rule. Its methods raise TooManyAttempts."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._blocked: OrderedDict[tuple[bytes, str], float] = OrderedDict()

    def sign_in(self, username: str) -> tuple[Rule, Rule]:
        """The rules for signing in to an account: one for the account, one for all of them."""
        settings = self._settings
        account = Rule(
            _subject("account", usernames.key(username)), settings.max_failed_sign_ins, SIGN_IN_WINDOW
        )
        anybody = Rule(_subject("sign-in", ""), settings.max_failed_sign_ins_per_address, SIGN_IN_WINDOW)
        return account, anybody

    def sign_up(self) -> Rule:
        """The rule for creating accounts."""
        return Rule(_subject("sign-up", ""), self._settings.max_sign_ups_per_address, SIGN_UP_WINDOW)

    def refuse_known(self, rules: Sequence[Rule], network: str) -> None:
        """Refuse what was refused before and still has to wait, without asking the database."""
        now = asyncio.get_running_loop().time()
        for rule in rules:
            until = self._blocked.get((rule.subject, network), -math.inf)
            if until > now:
                raise TooManyAttempts(retry_after=math.ceil(until - now))

    async def refuse(self, connection: asyncpg.Connection, rules: Sequence[Rule], network: str) -> None:
        """Refuse an attempt if there were as many as are allowed."""
        rows = await connection.fetch(
            _WAITS,
            [rule.subject for rule in rules],
            [rule.allowed for rule in rules],
            [rule.lasts for rule in rules],
            network,
        )
        for row in rows:
            self._block(row["subject"], network, row["seconds"])
        if rows:
            raise TooManyAttempts(retry_after=max(1, math.ceil(max(row["seconds"] for row in rows))))

    async def add(self, connection: asyncpg.Connection, rules: Sequence[Rule], network: str) -> None:
        """Count an attempt. Refuses if others at the same time have used up what is allowed."""
        rows = await connection.fetch(
            _ADD, [rule.subject for rule in rules], [rule.lasts for rule in rules], network
        )
        counted = {row["subject"]: row["attempts"] for row in rows}
        for rule in rules:
            if counted[rule.subject] > rule.allowed:
                raise TooManyAttempts(retry_after=math.ceil(rule.lasts.total_seconds()))

    async def clear(self, connection: asyncpg.Connection, rule: Rule, network: str) -> None:
        """Forget the attempts at a subject, in the caller's transaction.

        Refuses if others at the same time have used up what is allowed: guesses that were begun together tell
        no more than guesses one after the other.
        """
        recent = await connection.fetchval(_CLEAR, rule.subject, network, rule.lasts)
        if recent is not None and recent >= rule.allowed:
            raise TooManyAttempts(retry_after=math.ceil(rule.lasts.total_seconds()))

    def _block(self, subject: bytes, network: str, seconds: float) -> None:
        if len(self._blocked) >= MAX_REMEMBERED:
            self._blocked.popitem(last=False)
        self._blocked[subject, network] = asyncio.get_running_loop().time() + seconds


def _subject(purpose: str, name: str) -> bytes:
    """Names are hashed: they may be of any length, and some that are typed are passwords."""
    return hashlib.sha256(f"{purpose}:{name}".encode()).digest()


async def prune(connection: asyncpg.Connection) -> None:
    """Forget the attempts that do not count any more."""
    await connection.execute("DELETE FROM attempts WHERE expires_at < now()")
