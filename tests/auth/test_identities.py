"""Bearer tokens and their callers: at most one query for each token and second, however many requests.

`test_current_user.py` has what holds for access tokens.
"""

import asyncio
from uuid import UUID

import asyncpg
import pytest

from app.auth.api_keys import key_format
from app.auth.identities import Identities, Identity
from app.auth.permissions import Scope
from app.auth.roles import Role
from app.auth.tokens import Tokens
from app.core.config import Settings
from app.core.database import Database
from app.core.errors import Unauthorized
from app.core.resources import Resources
from tests.support import api_keys, jobs, rows
from tests.support.waiting import until

LONG = 3600.0
"""A lifetime of the cache that no test outlasts, on any machine."""


class Queries:
    """The keys that were used: an entry for each query that found a valid one."""

    def __init__(self) -> None:
        self.key_ids: list[UUID] = []


@pytest.fixture
def queries() -> Queries:
    return Queries()


@pytest.fixture
def known(resources: Resources, settings: Settings, queries: Queries) -> Identities:
    return Identities(
        Tokens(settings), resources.database, on_key_used=queries.key_ids.append, lifetime_seconds=LONG
    )


@pytest.fixture
async def owner_id(database: Database) -> UUID:
    return await jobs.user(database)


async def is_rejected(known: Identities, text: str) -> bool:
    try:
        await known.identify(text)
    except Unauthorized:
        return True
    return False


async def test_a_key_identifies_its_owner(known: Identities, database: Database, owner_id: UUID) -> None:
    key = await api_keys.create(database, owner_id, Scope.PREDICT, Scope.JOBS_READ, expires_in=LONG)

    identity = await known.identify(key.text)

    assert identity == Identity(
        owner_id,
        Role.USER,
        identity.token_expires_at,
        key_id=key.id,
        scopes=frozenset({Scope.PREDICT, Scope.JOBS_READ}),
    )
    assert identity.token_expires_at is not None


async def test_many_requests_at_once_ask_once(
    known: Identities, database: Database, owner_id: UUID, queries: Queries
) -> None:
    key = await api_keys.create(database, owner_id, Scope.PREDICT)

    found = await asyncio.gather(*(known.identify(key.text) for _ in range(50)))

    assert len(set(found)) == 1
    assert queries.key_ids == [key.id]


async def test_a_request_that_is_cancelled_while_it_asks_fails_no_other(
    known: Identities, database: Database, owner_id: UUID
) -> None:
    key = await api_keys.create(database, owner_id, Scope.PREDICT)
    async with rows.transaction(database) as connection:
        await connection.execute("LOCK TABLE api_keys")
        first, second = (asyncio.create_task(known.identify(key.text)) for _ in range(2))
        await rows.wait_until_blocked(database)
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)

    assert first.cancelled()
    assert (await second).key_id == key.id


async def test_a_rejected_key_is_not_asked_about_again_within_the_second(
    known: Identities, database: Database, owner_id: UUID
) -> None:
    key = api_keys.new()
    assert await is_rejected(known, key.text)

    await api_keys.insert(database, owner_id, key)

    assert await is_rejected(known, key.text)
    known.forget()
    assert (await known.identify(key.text)).key_id == key.id


async def test_a_flood_of_unknown_keys_displaces_no_caller(
    resources: Resources, settings: Settings, owner_id: UUID
) -> None:
    known = Identities(Tokens(settings), resources.database, lifetime_seconds=LONG, max_remembered=2)
    key = await api_keys.create(resources.database, owner_id, Scope.PREDICT)
    await known.identify(key.text)
    for _ in range(5):
        assert await is_rejected(known, api_keys.new().text)
    await rows.execute(resources.database, "DELETE FROM api_keys")

    assert (await known.identify(key.text)).key_id == key.id


async def test_the_secret_of_another_key_is_rejected(
    known: Identities, database: Database, owner_id: UUID
) -> None:
    key = await api_keys.create(database, owner_id, Scope.PREDICT)
    with_other_secret = key_format.new_key(key.id)

    assert await is_rejected(known, with_other_secret)
    assert (await known.identify(key.text)).key_id == key.id


async def test_a_key_of_an_inactive_user_is_rejected(
    known: Identities, database: Database, owner_id: UUID
) -> None:
    key = await api_keys.create(database, owner_id, Scope.PREDICT)
    await rows.execute(database, "UPDATE users SET is_active = false")

    assert await is_rejected(known, key.text)


async def test_a_remembered_key_still_expires(known: Identities, database: Database, owner_id: UUID) -> None:
    key = await api_keys.create(database, owner_id, Scope.PREDICT, expires_in=2)
    if not await is_rejected(known, key.text):  # on a slow machine, it may have expired already
        await until(lambda: is_rejected(known, key.text))

    assert await is_rejected(known, key.text)


async def test_a_query_that_fails_rejects_no_key(
    known: Identities, database: Database, owner_id: UUID
) -> None:
    key = await api_keys.create(database, owner_id, Scope.PREDICT)
    await rows.execute(database, "ALTER TABLE api_keys RENAME TO moved")
    with pytest.raises(asyncpg.UndefinedTableError):
        await known.identify(key.text)
    await rows.execute(database, "ALTER TABLE moved RENAME TO api_keys")

    assert (await known.identify(key.text)).key_id == key.id
