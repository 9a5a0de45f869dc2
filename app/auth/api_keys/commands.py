"""Changes of API keys."""

from collections.abc import Collection
from datetime import timedelta
from typing import Final
from uuid import UUID

import asyncpg

from app.auth import identities
from app.auth.api_keys import key_format
from app.auth.api_keys.errors import ApiKeyNotFound, ScopeNotAllowed, TooManyApiKeys
from app.auth.api_keys.values import ApiKey
from app.auth.identities import Identity
from app.auth.permissions import SCOPE_PERMISSIONS, Permission, Scope
from app.core import ids
from app.core.sql import Statement

KEPT_AFTER_EXPIRY: Final = timedelta(days=30)
"""How long a key is still listed after it has expired."""

# Lock the owner of a new key: of creations at once, each counts the keys of those before. NO KEY: new jobs do
# not wait for it.
_LOCK_OWNER: Final = Statement("SELECT username FROM users WHERE id = :user_id FOR NO KEY UPDATE")

# How many keys does this user have?
_COUNT: Final = Statement("SELECT count(*) FROM api_keys WHERE user_id = :user_id")

# Store a new key.
_CREATE: Final = Statement("""
INSERT INTO api_keys (id, user_id, name, key_hash, scopes, expires_at)
VALUES (:id, :user_id, :name, :key_hash, :scopes, now() + :lifetime::interval)
RETURNING *, :owner::text AS owner""")

# Delete a key of this user, or of any user, and tell whether there was one.
_REVOKE: Final = Statement("""
DELETE FROM api_keys WHERE id = :key_id AND (:user_id::uuid IS NULL OR user_id = :user_id) RETURNING id""")

# Delete all keys of a user. Rows are locked in the order of their ids, as `usage` does.
_REVOKE_ALL: Final = Statement("""
DELETE FROM api_keys WHERE id = ANY (ARRAY(
    SELECT id FROM api_keys WHERE user_id = :user_id ORDER BY id FOR UPDATE))""")

# Delete the keys that expired long ago.
_PRUNE: Final = Statement("DELETE FROM api_keys WHERE expires_at < now() - :kept::interval")


async def create(
    connection: asyncpg.Connection,
    caller: Identity,
    *,
    name: str,
    scopes: Collection[Scope],
    lifetime: timedelta | None,
    max_keys: int,
) -> tuple[ApiKey, str]:
    """Create a key of the caller. Return it, and its text, which is not stored. Call it in a transaction.

    Raises ScopeNotAllowed, TooManyApiKeys, and Unauthorized if the caller may no longer act.
    """
    owner = await _LOCK_OWNER.fetchval(connection, user_id=caller.id)
    # Under the lock: the account may have been disabled or demoted since the request began.
    current = await identities.renew(connection, caller)
    current.ensure(Permission.ACCOUNT)
    for scope in sorted(set(scopes)):
        if not all(current.allows(permission) for permission in SCOPE_PERMISSIONS[scope]):
            raise ScopeNotAllowed(scope=str(scope), role=str(current.role))
    if await _COUNT.fetchval(connection, user_id=caller.id) >= max_keys:
        raise TooManyApiKeys(limit=max_keys)
    key_id = ids.new_id()
    text = key_format.new_key(key_id)
    row = await _CREATE.fetchrow(
        connection,
        id=key_id,
        user_id=caller.id,
        name=name,
        key_hash=key_format.hash_key(text),
        scopes=sorted(set(scopes)),
        lifetime=lifetime,
        owner=owner,
    )
    assert row is not None  # noqa: S101  # RETURNING
    return ApiKey.from_row(row), text


async def revoke(connection: asyncpg.Connection, key_id: UUID, *, user_id: UUID | None) -> None:
    """Revoke a key of a user, or of any user. Raises ApiKeyNotFound."""
    if await _REVOKE.fetchval(connection, key_id=key_id, user_id=user_id) is None:
        raise ApiKeyNotFound(key_id=str(key_id))


async def revoke_all(connection: asyncpg.Connection, user_id: UUID) -> None:
    """Revoke all keys of a user."""
    await _REVOKE_ALL.execute(connection, user_id=user_id)


async def prune(connection: asyncpg.Connection) -> None:
    """Delete the keys that expired longer ago than `KEPT_AFTER_EXPIRY`."""
    await _PRUNE.execute(connection, kept=KEPT_AFTER_EXPIRY)
