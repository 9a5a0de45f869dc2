"""Changes of accounts by administrators. Call each in a transaction.

The last administrator cannot be demoted, disabled or deleted. Every change that could do so locks all
administrators first, in the order of their ids, so that two changes at once cannot do it together either.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final
from uuid import UUID

import asyncpg

from app.audit import commands as audit
from app.audit.actions import Action, ObjectType
from app.audit.values import Actor, Entry
from app.auth.api_keys import commands as api_keys
from app.auth.errors import LastAdministrator, UserNotFound
from app.auth.roles import Role
from app.auth.sessions import commands as sessions
from app.auth.values import Account
from app.core.sql import Statement

# Lock this account and all administrators who may sign in. NO KEY: new jobs do not wait for it.
_LOCK: Final = Statement("""
SELECT id, username, role, is_active, share FROM users
WHERE deleted_at IS NULL AND (id = :user_id OR (role = 'admin' AND is_active))
ORDER BY id FOR NO KEY UPDATE""")

# Change an account that is locked.
_CHANGE: Final = Statement("""
UPDATE users SET role = coalesce(:role, role), is_active = coalesce(:is_active, is_active),
    share = coalesce(:share, share)
WHERE id = :user_id RETURNING *""")

# Close an account for good, remove what identifies the user, and retire its name.
_CLOSE: Final = Statement("""
WITH retired AS (
    INSERT INTO retired_usernames (key_hash)
    SELECT sha256(convert_to(username_key, 'UTF8')) FROM users WHERE id = :user_id ON CONFLICT DO NOTHING
), resets AS (
    DELETE FROM password_resets WHERE user_id = :user_id
)
UPDATE users SET deleted_at = now(), is_active = false, email = NULL, password_hash = ''
WHERE id = :user_id""")


@dataclass(frozen=True)
class _Before:
    """An account as it was before a change."""

    username: str
    role: Role
    is_active: bool
    share: float


async def change(
    connection: asyncpg.Connection,
    user_id: UUID,
    *,
    role: Role | None = None,
    is_active: bool | None = None,
    share: float | None = None,
    by: Actor,
) -> Account:
    """Change the role or the share of an account, disable or enable it.

    Disabling ends its sessions and API keys.

    Raises UserNotFound and LastAdministrator.
    """
    before = await _lock(
        connection, user_id, stays_admin=role in (None, Role.ADMIN) and is_active is not False
    )
    row = await _CHANGE.fetchrow(
        connection,
        user_id=user_id,
        role=None if role is None else str(role),
        is_active=is_active,
        share=share,
    )
    assert row is not None  # noqa: S101  # locked
    if is_active is False:
        await sessions.end_all(connection, user_id)
        await api_keys.revoke_all(connection, user_id)
    changed = Account.from_row(row)
    await audit.record_all(connection, by, _changes(before, changed))
    return changed


def _changes(before: _Before, after: Account) -> Iterator[Entry]:
    """Yield an entry for each change; none if the account was like this before."""
    object_id, username = str(after.id), after.username
    if after.role is not before.role:
        details = {"username": username, "from": str(before.role), "to": str(after.role)}
        yield Entry(Action.ROLE_CHANGED, ObjectType.USER, object_id, details=details)
    if after.is_active is not before.is_active:
        action = Action.USER_ENABLED if after.is_active else Action.USER_DISABLED
        yield Entry(action, ObjectType.USER, object_id, details={"username": username})
    if after.share != before.share:
        details = {"username": username, "from": f"{before.share:.15g}", "to": f"{after.share:.15g}"}
        yield Entry(Action.SHARE_CHANGED, ObjectType.USER, object_id, details=details)


async def close(connection: asyncpg.Connection, user_id: UUID, *, by: Actor) -> None:
    """Delete an account: nobody can use it any more. The maintenance loops remove its data afterwards.

    Raises UserNotFound and LastAdministrator.
    """
    before = await _lock(connection, user_id, stays_admin=False)
    await _CLOSE.execute(connection, user_id=user_id)
    await sessions.end_all(connection, user_id)
    await api_keys.revoke_all(connection, user_id)
    deleted = Entry(Action.USER_DELETED, ObjectType.USER, str(user_id), details={"username": before.username})
    await audit.record(connection, by, deleted)


async def _lock(connection: asyncpg.Connection, user_id: UUID, *, stays_admin: bool) -> _Before:
    rows = await _LOCK.fetch(connection, user_id=user_id)
    locked = {row["id"]: row for row in rows}
    if user_id not in locked:
        raise UserNotFound(user=str(user_id))
    admins = {row["id"] for row in rows if row["role"] == Role.ADMIN and row["is_active"]}
    if admins == {user_id} and not stays_admin:
        raise LastAdministrator
    row = locked[user_id]
    return _Before(row["username"], Role(row["role"]), row["is_active"], row["share"])
