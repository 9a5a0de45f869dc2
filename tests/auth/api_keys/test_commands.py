"""API keys in the database: their limit, what their owner may grant, and when they are pruned."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from app.auth.api_keys import commands
from app.auth.api_keys.errors import ScopeNotAllowed, TooManyApiKeys
from app.auth.identities import Identity
from app.auth.permissions import Scope
from app.auth.roles import Role
from app.core.database import Database
from app.core.errors import PermissionDenied, Unauthorized
from tests.support import api_keys, jobs, rows
from tests.support.accounts import set_role
from tests.support.api_keys import Key

LIMIT = 10


async def signed_in(database: Database, role: Role = Role.USER) -> Identity:
    user_id = await jobs.user(database)
    await set_role(database, user_id, role)
    return Identity(user_id, role, None)


async def create(database: Database, owner: Identity, *scopes: Scope, **changes: Any) -> Key:
    async with database.transaction() as connection:
        created, text = await commands.create(
            connection,
            owner,
            **{"name": "test", "scopes": scopes, "lifetime": None, "max_keys": LIMIT, **changes},
        )
    return Key(created.id, text)


async def count(database: Database) -> int:
    found: int = await rows.value(database, "SELECT count(*) FROM api_keys")
    return found


async def test_of_fifty_creations_at_once_as_many_succeed_as_the_limit_allows(database: Database) -> None:
    owner = await signed_in(database)

    outcomes = await asyncio.gather(
        *(create(database, owner, Scope.PREDICT) for _ in range(50)), return_exceptions=True
    )

    assert sum(isinstance(outcome, Key) for outcome in outcomes) == LIMIT
    assert sum(isinstance(outcome, TooManyApiKeys) for outcome in outcomes) == 50 - LIMIT
    assert await count(database) == LIMIT


@pytest.mark.parametrize(
    ("role", "granted"),
    [
        (Role.VIEWER, {Scope.JOBS_READ}),
        (Role.USER, set(Scope) - {Scope.ADMIN}),
        (Role.OPERATOR, set(Scope) - {Scope.ADMIN}),
        (Role.ADMIN, set(Scope)),
    ],
)
async def test_an_owner_grants_no_scope_that_their_role_does_not_include(
    database: Database, role: Role, granted: set[Scope]
) -> None:
    owner = await signed_in(database, role)

    for scope in Scope:
        if scope in granted:
            await create(database, owner, scope)
        else:
            with pytest.raises(ScopeNotAllowed):
                await create(database, owner, Scope.JOBS_READ, scope)

    assert await count(database) == len(granted)


async def test_the_role_at_the_time_of_creation_counts(database: Database) -> None:
    """The identity of a request may be a second old."""
    owner = await signed_in(database, Role.ADMIN)
    await set_role(database, owner.id, Role.USER)

    with pytest.raises(ScopeNotAllowed):
        await create(database, owner, Scope.ADMIN)


async def test_of_a_creation_and_a_disabling_at_once_no_key_is_left(database: Database) -> None:
    owner = await signed_in(database)
    async with rows.transaction(database) as connection:
        await connection.execute("UPDATE users SET is_active = false WHERE id = $1", owner.id)
        creating = asyncio.create_task(create(database, owner, Scope.PREDICT))
        await rows.wait_until_blocked(database)
        await commands.revoke_all(connection, owner.id)

    with pytest.raises(Unauthorized):
        await creating
    assert await count(database) == 0


async def test_keys_that_are_revoked_while_they_are_used_are_locked_in_the_same_order(
    database: Database,
) -> None:
    owner = await signed_in(database)
    first, second = [await create(database, owner, Scope.PREDICT) for _ in range(2)]
    # A new version of the row, behind the second key.
    await rows.execute(database, "UPDATE api_keys SET last_used_at = now() WHERE id = $1", first.id)

    async def revoke() -> None:
        async with database.transaction() as connection:
            # As Postgres reads a small table: in the order in which its rows are stored.
            await connection.execute("SET LOCAL enable_indexscan = off; SET LOCAL enable_bitmapscan = off")
            await commands.revoke_all(connection, owner.id)

    lock = "SELECT FROM api_keys WHERE id = $1 FOR NO KEY UPDATE"
    async with rows.transaction(database) as connection:
        await connection.execute(lock, first.id)
        revoking = asyncio.create_task(revoke())
        await rows.wait_until_blocked(database)
        await connection.execute(lock, second.id)
    await revoking

    assert await count(database) == 0


async def test_a_key_creates_no_key(database: Database) -> None:
    owner = await signed_in(database, Role.ADMIN)
    key = await api_keys.create(database, owner.id, *Scope)
    by_key = Identity(owner.id, Role.ADMIN, None, key_id=key.id, scopes=frozenset(Scope))

    with pytest.raises(PermissionDenied):
        await create(database, by_key, Scope.PREDICT)


async def test_a_key_is_deleted_a_month_after_it_has_expired(database: Database) -> None:
    owner = await signed_in(database)
    month = timedelta(days=30).total_seconds()
    hour = 3600.0
    await api_keys.create(database, owner.id, Scope.PREDICT, expires_in=-month - hour)
    kept = [
        (await api_keys.create(database, owner.id, Scope.PREDICT, expires_in=expires_in)).id
        for expires_in in (-month + hour, -hour, hour, None)
    ]

    async with database.connection() as connection:
        await commands.prune(connection)

    assert {row["id"] for row in await rows.fetch(database, "SELECT id FROM api_keys")} == set(kept)


@pytest.mark.parametrize("scopes", [[], ["everything"], ["jobs:read", "jobs:*"]])
async def test_the_database_refuses_unknown_scopes(database: Database, scopes: list[str]) -> None:
    owner = await signed_in(database)

    with pytest.raises(Exception, match="ck_api_keys_scopes"):
        await rows.execute(
            database,
            "INSERT INTO api_keys (id, user_id, name, key_hash, scopes)"
            " VALUES (gen_random_uuid(), $1, 'test', '', $2)",
            owner.id,
            scopes,
        )
