"""Guesses are counted by account and network, in Postgres, before anything is hashed."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import httpx
import pytest
from redis.asyncio import Redis

from app.core.config import Settings
from app.core.database import Database, open_database
from app.main import create_app
from tests.auth.support import PASSWORD, create_user, passwords_computed, sign_in
from tests.support import rows

WRONG = "not the password"
FORWARDED = "X-Forwarded-For"


@asynccontextmanager
async def client_from(settings: Settings, address: str) -> AsyncIterator[httpx.AsyncClient]:
    """A client of an API of its own, as another process would be, that connects from this address."""
    app = create_app(settings)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(app.router.lifespan_context(app))
        transport = httpx.ASGITransport(app, client=(address, 1), raise_app_exceptions=False)
        yield await stack.enter_async_context(httpx.AsyncClient(transport=transport, base_url="http://test"))


@pytest.fixture
async def database(settings: Settings) -> AsyncIterator[Database]:
    async with open_database(settings.database_url, pool_size=2) as opened:
        yield opened


async def fail(client: httpx.AsyncClient, times: int, username: str = "ada") -> list[int]:
    return [(await sign_in(client, username, WRONG)).status_code for _ in range(times)]


async def test_the_sixth_guess_is_refused_and_so_is_the_right_password(client: httpx.AsyncClient) -> None:
    await create_user(client)
    assert await fail(client, 5) == [401] * 5
    hashed = passwords_computed()

    refused = await sign_in(client)

    assert refused.status_code == 429
    assert refused.json()["code"] == "too_many_attempts"
    assert 800 < int(refused.headers["retry-after"]) <= 900
    assert passwords_computed() == hashed  # nothing was hashed for it


async def test_the_limit_holds_in_other_processes_and_when_redis_forgets(
    client: httpx.AsyncClient, settings: Settings
) -> None:
    await create_user(client)
    await fail(client, 5)
    async with Redis.from_url(settings.redis_url) as redis:
        await redis.flushall()

    async with client_from(settings, "127.0.0.1") as other:
        assert (await sign_in(other)).status_code == 429


async def test_strangers_cannot_lock_an_account(client: httpx.AsyncClient, settings: Settings) -> None:
    await create_user(client)
    async with client_from(settings, "198.51.100.7") as stranger:
        assert await fail(stranger, 6) == [401] * 5 + [429]

    assert (await sign_in(client)).status_code == 200


@pytest.mark.parametrize("spelling", ["ADA", "ａｄａ", " ada "])
async def test_another_spelling_is_the_same_account(client: httpx.AsyncClient, spelling: str) -> None:
    await create_user(client)
    await fail(client, 5, spelling)

    assert (await sign_in(client)).status_code == 429


async def test_an_account_that_does_not_exist_is_limited_alike(client: httpx.AsyncClient) -> None:
    assert await fail(client, 6, "nobody") == [401] * 5 + [429]


async def test_a_success_clears_the_failures(client: httpx.AsyncClient) -> None:
    await create_user(client)
    for _ in range(3):
        assert await fail(client, 4) == [401] * 4
        assert (await sign_in(client)).status_code == 200


async def test_failures_count_for_a_quarter_of_an_hour(client: httpx.AsyncClient, database: Database) -> None:
    await create_user(client)
    await fail(client, 4)
    await rows.execute(
        database, "UPDATE attempts SET at = ARRAY(SELECT m - interval '901 s' FROM unnest(at) m)"
    )

    assert await fail(client, 5) == [401] * 5
    assert (await sign_in(client)).status_code == 429


async def test_guesses_at_the_same_time_are_no_more_guesses(
    client: httpx.AsyncClient, settings: Settings
) -> None:
    await create_user(client)
    async with client_from(settings, "127.0.0.1") as other:
        answers = await asyncio.gather(
            *(sign_in(one, "ada", WRONG) for one in (client, other) for _ in range(15))
        )
    statuses = [answer.status_code for answer in answers]

    assert statuses.count(401) == 5
    assert set(statuses) <= {401, 429, 503}


async def test_guesses_at_many_accounts_count_together(client: httpx.AsyncClient, settings: Settings) -> None:
    few = settings.model_copy(update={"max_failed_sign_ins_per_address": 7})
    await create_user(client)
    async with client_from(few, "198.51.100.7") as sprayer:
        statuses = [(await sign_in(sprayer, f"user{number}", WRONG)).status_code for number in range(8)]

    assert statuses == [401] * 7 + [429]
    assert (await sign_in(client)).status_code == 200


async def test_accounts_are_created_a_few_at_a_time(settings: Settings) -> None:
    few = settings.model_copy(update={"max_sign_ups_per_address": 3})
    async with client_from(few, "198.51.100.7") as client:
        statuses = [
            (await client.post("/users", json={"username": f"u{number}", "password": PASSWORD})).status_code
            for number in range(5)
        ]
        unfit = await client.post("/users", json={"username": "x", "password": "short"})

    assert statuses == [201, 201, 201, 429, 429]
    assert unfit.status_code == 422  # what is not tried does not count


@pytest.mark.parametrize(
    ("trusted", "peer", "forwarded", "other"),
    [
        ((), "10.0.0.1", "192.0.2.1", "192.0.2.2"),
        (("10.0.0.0/8",), "172.16.0.1", "192.0.2.1", "192.0.2.2"),
        (("10.0.0.0/8",), "10.0.0.1", "1.1.1.1, 192.0.2.1", "2.2.2.2, 192.0.2.1"),
    ],
    ids=["nobody is trusted", "another is trusted", "only the end is believed"],
)
async def test_a_forged_address_is_no_new_network(
    settings: Settings, trusted: tuple[str, ...], peer: str, forwarded: str, other: str
) -> None:
    async with client_from(settings.model_copy(update={"trusted_proxies": trusted}), peer) as client:
        client.headers[FORWARDED] = forwarded
        await fail(client, 5)
        client.headers[FORWARDED] = other

        assert (await sign_in(client, "ada", WRONG)).status_code == 429


async def test_behind_a_trusted_proxy_each_client_is_a_network(settings: Settings) -> None:
    async with client_from(
        settings.model_copy(update={"trusted_proxies": ("10.0.0.0/8",)}), "10.0.0.1"
    ) as client:
        client.headers[FORWARDED] = "192.0.2.1, 10.0.0.2"
        await fail(client, 5)
        client.headers[FORWARDED] = "192.0.2.2, 10.0.0.2"

        assert await fail(client, 1) == [401]


async def test_all_addresses_of_a_subscriber_of_ipv6_are_one_network(settings: Settings) -> None:
    async with client_from(settings, "2001:db8:0:1::1") as first:
        await fail(first, 5)
    async with (
        client_from(settings, "2001:db8:0:1:ffff::2") as second,
        client_from(settings, "2001:db8:0:2::1") as other,
    ):
        assert await fail(second, 1) == [429]
        assert await fail(other, 1) == [401]


async def test_no_name_that_was_typed_is_kept(client: httpx.AsyncClient, database: Database) -> None:
    await fail(client, 1, "my password by mistake")

    assert "mistake" not in str(await rows.fetch(database, "SELECT * FROM attempts"))


async def test_a_flood_of_wrong_passwords_keeps_nobody_out(settings: Settings) -> None:
    app = create_app(settings.model_copy(update={"max_failed_sign_ins_per_address": 100_000}))
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(
            transport=httpx.ASGITransport(app, client=("198.51.100.7", 1)), base_url="http://test"
        ) as attacker,
        httpx.AsyncClient(
            transport=httpx.ASGITransport(app, client=("127.0.0.1", 1)), base_url="http://test"
        ) as client,
    ):
        await create_user(client)
        is_over = asyncio.Event()  # a cancellation may be lost in asyncpg

        async def guess(number: int) -> None:
            for attempt in itertools.count():
                if is_over.is_set():
                    return
                await sign_in(attacker, f"user{number}-{attempt}", WRONG)
                await asyncio.sleep(0.2)  # the attacker computes in this loop, too

        async with asyncio.TaskGroup() as group:
            for number in range(40):
                group.create_task(guess(number))
            await asyncio.sleep(0)
            statuses = [(await sign_in(client)).status_code for _ in range(12)]
            is_over.set()

    assert statuses == [200] * 12
