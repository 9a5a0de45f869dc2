"""Identifies the caller behind a bearer token, with at most one query per token and second.

A bearer token is an access token or an API key.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final
from uuid import UUID
from weakref import WeakValueDictionary

import asyncpg

from app.auth import queries
from app.auth.api_keys import key_format
from app.auth.api_keys import queries as api_keys
from app.auth.permissions import Permission, Scope, permissions_of
from app.auth.roles import Role
from app.auth.tokens import AccessClaims, Tokens
from app.auth.values import Credential
from app.core.database import Database
from app.core.errors import PermissionDenied, Unauthorized

LIFETIME_SECONDS: Final = 1.0
"""Maximum time for which a demoted or disabled user, an ended session or a revoked key keeps its rights."""

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
    identity: Identity | None  # None: the token is rejected
    until: float  # by the loop's clock

    def is_current(self) -> bool:
        if self.until <= asyncio.get_running_loop().time():
            return False
        expires_at = None if self.identity is None else self.identity.token_expires_at
        return expires_at is None or expires_at >= time.time()


class Identities:
    """Identifies callers by token, and caches identities for `lifetime_seconds`.

    Rejected API keys are cached too, since a service may go on sending one for hours. `on_key_used` gets the
    id of each valid API key, once per query.
    """

    def __init__(
        self,
        tokens: Tokens,
        database: Database,
        *,
        on_key_used: Callable[[UUID], None] = lambda key_id: None,
        lifetime_seconds: float = LIFETIME_SECONDS,
        max_remembered: int = MAX_REMEMBERED,
    ) -> None:
        self._tokens = tokens
        self._database = database
        self._on_key_used = on_key_used
        self._lifetime_seconds = lifetime_seconds
        self._max_remembered = max_remembered
        self._accepted: dict[str, _Remembered] = {}
        # Apart, so that a flood of keys that do not exist displaces no valid identity.
        self._rejected: dict[str, _Remembered] = {}
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def identify(self, token: str) -> Identity:
        """Return the active user of an access token or an API key.

        Raises Unauthorized for an invalid token, and DatabaseUnavailable.
        """
        known = self._recall(token) or await self._load_once(token)
        if known.identity is None:
            raise Unauthorized
        return known.identity

    def forget(self) -> None:
        """Empty the cache."""
        self._accepted.clear()
        self._rejected.clear()

    def _recall(self, token: str) -> _Remembered | None:
        known = self._accepted.get(token) or self._rejected.get(token)
        return known if known is not None and known.is_current() else None

    async def _load_once(self, token: str) -> _Remembered:
        """Ask Postgres. Of concurrent requests with the same token, one asks, and the others wait for it."""
        subject = self._parse(token)
        # Held by this variable: the dictionary keeps only locks that are in use.
        lock = self._locks.setdefault(token, asyncio.Lock())
        async with lock:
            known = self._recall(token)
            if known is None:
                until = asyncio.get_running_loop().time() + self._lifetime_seconds
                identity: Identity | None
                if isinstance(subject, AccessClaims):
                    identity = await self._load_user(subject)
                else:
                    identity = await self._load_key(subject, token)
                known = _Remembered(identity, until)
                self._remember(token, known)
            return known

    def _parse(self, token: str) -> AccessClaims | UUID:
        """Return the claims of an access token, or the id of an API key. Raises Unauthorized."""
        if not token.startswith(key_format.PREFIX):
            return self._tokens.verify_access(token)
        key_id = key_format.id_of(token)
        if key_id is None:
            raise Unauthorized
        return key_id

    async def _load_user(self, claims: AccessClaims) -> Identity:
        credential = Credential(claims.user_id, claims.session_id)
        async with self._database.connection() as connection:
            role = await queries.active_role(connection, credential)
        if role is None:
            raise Unauthorized
        return Identity(claims.user_id, role, claims.expires_at, claims.session_id)

    async def _load_key(self, key_id: UUID, text: str) -> Identity | None:
        async with self._database.connection() as connection:
            key = await api_keys.valid_key(connection, key_id)
        if key is None or not key_format.is_key(text, key.key_hash):
            return None
        self._on_key_used(key_id)
        expires_at = None if key.expires_at is None else key.expires_at.timestamp()
        return Identity(key.user_id, key.role, expires_at, key_id=key_id, scopes=key.scopes)

    def _remember(self, token: str, known: _Remembered) -> None:
        # Removed and inserted again, so that the first entry is always the oldest.
        self._accepted.pop(token, None)
        self._rejected.pop(token, None)
        cache = self._rejected if known.identity is None else self._accepted
        if len(cache) >= self._max_remembered:
            del cache[next(iter(cache))]
        cache[token] = known
