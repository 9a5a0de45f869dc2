"""Identifies the caller behind a bearer token, with at most one query per token and second."""

import asyncio
import time
from dataclasses import dataclass, replace
from typing import Final
from uuid import UUID

import asyncpg

from app.auth import queries
from app.auth.permissions import Permission, Scope, permissions_of
from app.auth.roles import Role
from app.auth.tokens import AccessClaims, Tokens
from app.auth.values import Credential
from app.core.database import Database
from app.core.errors import PermissionDenied, Unauthorized

LIFETIME_SECONDS: Final = 1.0
"""Maximum time for which a demoted, deactivated or deleted user, or an ended session, keeps former rights."""

MAX_REMEMBERED: Final = 10_000


@dataclass(frozen=True, slots=True)
class Identity:
    """An authenticated caller, with what routes need to know.

    `session_id` is the session of the sign-in; None for an API key, and for a token that an earlier version
    issued. `key_id` and `scopes` are those of an API key, None for an interactive sign-in.
    """

    id: UUID
    role: Role
    token_expires_at: float | None  # seconds since 1970; None: never
    session_id: UUID | None = None
    key_id: UUID | None = None
    scopes: frozenset[Scope] | None = None

    @property
    def credential(self) -> Credential:
        """What has to remain valid for the caller to stay authenticated."""
        return Credential(self.id, self.session_id, self.key_id)

    @property
    def is_admin(self) -> bool:
        """Whether the caller may administer the system."""
        return self.allows(Permission.ADMIN)

    @property
    def sees_everything(self) -> bool:
        """Whether the caller may see and control the jobs of other users."""
        return self.allows(Permission.OPERATE)

    @property
    def reach(self) -> UUID | None:
        """The owner whose jobs the caller may see and control; None means all owners."""
        return None if self.sees_everything else self.id

    def allows(self, permission: Permission) -> bool:
        """Whether the caller has a permission."""
        return permission in permissions_of(self.role, self.scopes)

    def ensure(self, permission: Permission) -> None:
        """Raise PermissionDenied unless the caller has a permission."""
        if not self.allows(permission):
            raise PermissionDenied(permission=str(permission))


async def renew(connection: asyncpg.Connection, identity: Identity) -> Identity:
    """Return a caller with their current role. Raises Unauthorized if they may no longer act."""
    role = await queries.active_role(connection, identity.credential)
    if role is None:
        raise Unauthorized
    return replace(identity, role=role)


@dataclass(frozen=True, slots=True)
class _Remembered:
    identity: Identity
    until: float  # by the loop's clock
    expires_at: float  # of the token, by the wall clock


class Identities:
    """Identifies callers by token. Caches valid identities for `LIFETIME_SECONDS`, rejections never."""

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
        credential = Credential(claims.user_id, claims.session_id)
        async with self._database.connection() as connection:
            role = await queries.active_role(connection, credential)
        if role is None:
            raise Unauthorized
        return Identity(claims.user_id, role, claims.expires_at, claims.session_id)

    def _remember(self, token: str, remembered: _Remembered) -> None:
        # Removed and inserted again, so that the first entry is always the oldest.
        self._remembered.pop(token, None)
        if len(self._remembered) >= self._max_remembered:
            del self._remembered[next(iter(self._remembered))]
        self._remembered[token] = remembered
