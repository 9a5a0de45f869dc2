"""Identifies the user behind a bearer token, with at most one query per token and second."""

import asyncio
import time
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from app.auth import queries
from app.auth.roles import Role
from app.auth.tokens import AccessClaims, Tokens
from app.core.database import Database
from app.core.errors import Unauthorized

LIFETIME_SECONDS: Final = 1.0
"""Maximum time for which a demoted, deactivated or deleted user keeps their former rights."""

MAX_REMEMBERED: Final = 10_000


@dataclass(frozen=True, slots=True)
class Identity:
    """A signed-in user, with what routes need to know."""

    id: UUID
    role: Role
    token_expires_at: int  # seconds since 1970

    @property
    def is_admin(self) -> bool:
        """Whether the user is an administrator."""
        return self.role is Role.ADMIN


@dataclass(frozen=True, slots=True)
class _Remembered:
    identity: Identity
    until: float  # by the loop's clock
    expires_at: int  # of the token, by the wall clock


class Identities:
    """Identifies users by access token. Caches valid identities for `LIFETIME_SECONDS`, rejections never."""

    def __init__(self, tokens: Tokens, database: Database, *, max_remembered: int = MAX_REMEMBERED) -> None:
        self._tokens = tokens
        self._database = database
        self._max_remembered = max_remembered
        self._remembered: dict[str, _Remembered] = {}

    async def identify(self, token: str) -> Identity:
        """Return the active user of an access token.

        Raises Unauthorized for an invalid token, and DatabaseUnavailable.
        """
        remembered = self._remembered.get(token)
        now = asyncio.get_running_loop().time()
        if remembered is not None and remembered.until > now and remembered.expires_at >= time.time():
            return remembered.identity
        claims = self._tokens.verify_access(token)
        identity = await self._load(claims)
        self._remember(token, _Remembered(identity, now + LIFETIME_SECONDS, claims.expires_at))
        return identity

    def forget(self) -> None:
        """Empty the cache."""
        self._remembered.clear()

    async def _load(self, claims: AccessClaims) -> Identity:
        async with self._database.connection() as connection:
            role = await queries.active_role(connection, claims.user_id)
        if role is None:
            raise Unauthorized
        return Identity(claims.user_id, role, claims.expires_at)

    def _remember(self, token: str, remembered: _Remembered) -> None:
        # Removed and inserted again, so that the first entry is always the oldest.
        self._remembered.pop(token, None)
        if len(self._remembered) >= self._max_remembered:
            del self._remembered[next(iter(self._remembered))]
        self._remembered[token] = remembered
