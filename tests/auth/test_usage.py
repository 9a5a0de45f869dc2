"""How often and when a user asked is counted, and nothing waits for it."""

import asyncio
from collections.abc import AsyncIterator
from uuid import UUID, uuid4

import asyncpg
import httpx
import pytest

from app.auth.usage import Usage, open_usage
from app.core.database import open_database
from app.core.errors import DatabaseUnavailable
from app.core.resources import Resources
from tests.conftest import Servers, SignUp
from tests.support.waiting import until


@pytest.fixture
async def connection(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    opened = await asyncpg.connect(database_url)
    yield opened
    await opened.close()


async def add_user(connection: asyncpg.Connection, name: str) -> UUID:
    user_id: UUID = await connection.fetchval(
        "INSERT INTO users (id, username, username_key, password_hash)"
        " VALUES (gen_random_uuid(), $1, $1, '') RETURNING id",
        name,
    )
    return user_id


async def count_of(connection: asyncpg.Connection, user_id: UUID) -> int:
    count: int = await connection.fetchval("SELECT request_count FROM users WHERE id = $1", user_id)
    return count


async def test_a_user_sees_every_request_counted_this_one_included(
    client: httpx.AsyncClient, sign_up: SignUp
) -> None:
    ada, bob = await sign_up("ada"), await sign_up("bob")
    for _ in range(4):
        await client.get("/users/me", headers=bob)

    first = (await client.get("/users/me", headers=ada)).json()
    second = (await client.get("/users/me", headers=ada)).json()

    assert (first["request_count"], second["request_count"]) == (1, 2)
    assert first["created_at"] < first["last_request_at"] < second["last_request_at"]


async def test_counts_are_written_by_themselves(resources: Resources, connection: asyncpg.Connection) -> None:
    ada, bob = await add_user(connection, "ada"), await add_user(connection, "bob")
    async with open_usage(resources.database) as usage:
        usage.count(ada)
        usage.count(bob)
        usage.count(ada)

        await until(lambda: count_of(connection, bob))
        assert await count_of(connection, ada) == 2


async def test_the_last_ones_are_written_at_shutdown(
    resources: Resources, connection: asyncpg.Connection
) -> None:
    ada = await add_user(connection, "ada")
    async with open_usage(resources.database) as usage:
        usage.count(ada, requests=3)

    assert await count_of(connection, ada) == 3


async def test_while_postgres_is_away_nothing_is_lost(resources: Resources, servers: Servers) -> None:
    async with resources.database.connection() as inside:
        ada = await add_user(inside, "ada")
    usage = Usage(resources.database)
    usage.count(ada)
    await usage.write()

    servers.embedded.postgres.stop()
    try:
        for _ in range(2):
            usage.count(ada)
            with pytest.raises(DatabaseUnavailable):
                await usage.write()
    finally:
        servers.embedded.postgres.start()
    await usage.write()

    async with resources.database.connection() as inside:
        assert await count_of(inside, ada) == 3


async def test_a_postgres_that_was_never_there_does_not_end_the_loop() -> None:
    async with (
        open_database("postgresql://nobody@127.0.0.1:1/none", pool_size=2) as nowhere,
        open_usage(nowhere) as usage,
    ):
        usage.count(uuid4())
        with pytest.raises(DatabaseUnavailable):
            await usage.write()


async def test_a_user_who_is_gone_holds_nothing_up(
    resources: Resources, connection: asyncpg.Connection
) -> None:
    ada = await add_user(connection, "ada")
    usage = Usage(resources.database)
    usage.count(uuid4())
    usage.count(ada)

    await usage.write()

    assert await count_of(connection, ada) == 1


async def test_many_processes_may_write_the_same_users_at_once(
    resources: Resources, connection: asyncpg.Connection
) -> None:
    users = [await add_user(connection, f"user-{number}") for number in range(50)]
    processes = [Usage(resources.database) for _ in range(4)]

    async def write(usage: Usage, order: list[UUID]) -> None:
        for _ in range(10):
            for user_id in order:
                usage.count(user_id)
            await usage.write()

    await asyncio.gather(
        *(write(usage, users if number % 2 else users[::-1]) for number, usage in enumerate(processes))
    )

    assert {await count_of(connection, user_id) for user_id in users} == {40}
