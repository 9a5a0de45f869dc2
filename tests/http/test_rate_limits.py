"""How many requests a client may send in a minute: over all processes, and in each while Redis is away."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any, Final
from uuid import UUID

import httpx
import pytest
from fastapi import FastAPI
from redis.asyncio import Redis
from starlette.types import Message, Scope

from app.core import ids, keys
from app.core.config import Settings
from app.core.redis import open_pool
from app.dashboard import assets
from app.http import rate_limits
from app.http.errors import RateLimited
from app.http.rate_limits import RequestRates, headers_of
from app.main import create_app
from tests.conftest import Servers
from tests.support import proxy
from tests.support.accounts import sign_in
from tests.support.app_state import replace_state, state_of
from tests.support.clocks import Clock
from tests.support.waiting import until

LIMIT: Final = 60
ADDRESS: Final = "198.51.100.7"
PAGE: Final = "/shutdown-status"
ABSENT: Final = "/nowhere"
PATIENT: Final = 60.0
"""Time that a request waits for Redis, where a test is about its counts: longer than any machine takes."""


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(
        update={"requests_per_minute": LIMIT, "anonymous_requests_per_minute": LIMIT, "database_pool_size": 2}
    )


@asynccontextmanager
async def api(
    settings: Settings, address: str = ADDRESS, redis_seconds: float = PATIENT
) -> AsyncIterator[httpx.AsyncClient]:
    """A client of an API of its own, as another process would be, that connects from this address."""
    async with api_and_client(settings, address, redis_seconds) as (_, client):
        yield client


@asynccontextmanager
async def api_and_client(
    settings: Settings, address: str = ADDRESS, redis_seconds: float = PATIENT
) -> AsyncIterator[tuple[FastAPI, httpx.AsyncClient]]:
    """The same, with the API, in which tests sign in without counted requests."""
    app = create_app(settings)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(app.router.lifespan_context(app))
        pool = state_of(app).resources.redis_pool
        replace_state(app, request_rates=RequestRates(settings, pool, redis_seconds=redis_seconds))
        transport = httpx.ASGITransport(app, client=(address, 1), raise_app_exceptions=False)
        client = await stack.enter_async_context(
            httpx.AsyncClient(transport=transport, base_url="http://test")
        )
        yield app, client


async def statuses(client: httpx.AsyncClient, count: int, **more: Any) -> Counter[int]:
    answers = await asyncio.gather(*(client.get(PAGE, **more) for _ in range(count)))
    return Counter(answer.status_code for answer in answers)


@pytest.mark.parametrize("is_signed_in", [True, False], ids=["a user", "a network"])
async def test_the_sixty_first_request_is_refused(settings: Settings, is_signed_in: bool) -> None:
    async with api_and_client(settings) as (app, client):
        headers = (await sign_in(app, "ada")).headers if is_signed_in else {}
        answers = [await client.get(PAGE, headers=headers) for _ in range(LIMIT + 1)]

    assert [answer.status_code for answer in answers] == [200] * LIMIT + [429]
    refused = answers[-1]
    assert (refused.json()["code"], refused.json()["limit"]) == ("rate_limited", LIMIT)
    assert 1 <= int(refused.headers["retry-after"]) <= 60
    name = "user" if is_signed_in else "network"
    assert {answer.headers["ratelimit-policy"] for answer in answers} == {f'"{name}";q={LIMIT};w=60'}
    left = [answer.headers["ratelimit"].split(";")[:2] for answer in answers]
    assert left == [[f'"{name}"', f"r={count}"] for count in (*range(LIMIT - 1, -1, -1), 0)]
    resets = [int(answer.headers["ratelimit"].rpartition("t=")[2]) for answer in answers]
    assert all(1 <= seconds <= 60 for seconds in resets)


async def test_of_many_requests_at_once_exactly_as_many_pass(settings: Settings) -> None:
    async with api(settings) as client:
        assert await statuses(client, 2 * LIMIT) == {200: LIMIT, 429: LIMIT}


async def test_processes_share_the_limit(settings: Settings) -> None:
    async with api(settings) as one, api(settings) as other:
        found = await asyncio.gather(*(statuses(client, LIMIT) for client in (one, other)))

    assert sum(found, Counter[int]()) == {200: LIMIT, 429: LIMIT}


async def test_a_user_has_one_limit_wherever_the_requests_come_from_and_nobody_else_shares_it(
    settings: Settings,
) -> None:
    async with api_and_client(settings) as (app, client), api(settings, "203.0.113.9") as elsewhere:
        ada, eve = [(await sign_in(app, name)).headers for name in ("ada", "eve")]
        assert await statuses(client, LIMIT, headers=ada) == {200: LIMIT}

        assert await statuses(elsewhere, 1, headers=ada) == {429: 1}
        assert await statuses(client, 1, headers=eve) == {200: 1}
        assert await statuses(client, 1) == {200: 1}


@pytest.mark.parametrize("authorization", ["Bearer x.y.z", "Bearer ", "Basic eDp5", "bearer é"])
async def test_an_invalid_token_is_no_way_around_the_limit_of_the_network(
    settings: Settings, authorization: str
) -> None:
    async with api(settings) as client:
        for number in range(LIMIT):
            header = (b"Authorization", f"{authorization}{number or ''}".encode())
            assert (await client.get(PAGE, headers=[header])).status_code == 200

        assert await statuses(client, 1) == {429: 1}
        assert await statuses(client, 1, headers={"Authorization": "Bearer other"}) == {429: 1}


@pytest.mark.parametrize(
    ("trusted", "peer", "forwarded", "other"),
    [
        ((), "10.0.0.1", "192.0.2.1", "192.0.2.2"),
        (("10.0.0.0/8",), "172.16.0.1", "192.0.2.1", "192.0.2.2"),
        (("10.0.0.0/8",), "10.0.0.1", "1.1.1.1, 192.0.2.1", "2.2.2.2, 192.0.2.1"),
    ],
    ids=["nobody is trusted", "another is trusted", "only the end is believed"],
)
async def test_a_forged_address_is_no_new_client(
    settings: Settings, trusted: tuple[str, ...], peer: str, forwarded: str, other: str
) -> None:
    async with api(settings.model_copy(update={"trusted_proxies": trusted}), peer) as client:
        assert await statuses(client, LIMIT, headers={"X-Forwarded-For": forwarded}) == {200: LIMIT}

        assert await statuses(client, 1, headers={"X-Forwarded-For": other}) == {429: 1}


async def test_behind_a_trusted_proxy_each_client_has_its_own_limit(settings: Settings) -> None:
    async with api(settings.model_copy(update={"trusted_proxies": ("10.0.0.0/8",)}), "10.0.0.1") as client:
        assert await statuses(client, LIMIT, headers={"X-Forwarded-For": "192.0.2.1"}) == {200: LIMIT}

        assert await statuses(client, 1, headers={"X-Forwarded-For": "192.0.2.2"}) == {200: 1}


async def test_probes_and_metrics_always_get_an_answer(settings: Settings) -> None:
    async with api(settings) as client:
        await statuses(client, LIMIT + 1)
        for path in ("/health/live", "/health/ready", "/health", "/metrics", "/api/v1/health/live"):
            answer = await client.get(path)
            assert answer.status_code == 200, path
            assert "ratelimit" not in answer.headers
        for path in (ABSENT, "/", "/docs", "/health/live/", "/api/v1/shutdown-status"):
            assert (await client.get(path)).status_code == 429, path


async def test_the_files_of_the_dashboard_are_not_counted(settings: Settings) -> None:
    digest = assets.load().digest
    async with api(settings) as client:
        for _ in range(LIMIT + 1):  # one page needs more of them than a minute has requests here
            answer = await client.get(f"/dashboard/assets/{digest}/core/h.js")
            assert answer.status_code == 200
            assert "ratelimit" not in answer.headers
        assert (await client.get(f"/api/v1/dashboard/assets/{digest}/core/h.js")).status_code == 200

        assert await statuses(client, LIMIT + 1) == {200: LIMIT, 429: 1}
        for path in ("/dashboard/", "/dashboard/assets"):
            assert (await client.get(path)).status_code == 429, path


async def test_without_a_limit_nothing_is_counted(settings: Settings) -> None:
    unlimited = {"requests_per_minute": 0, "anonymous_requests_per_minute": 0}
    async with api(settings.model_copy(update=unlimited)) as client:
        answer = await client.get(PAGE)
        assert "ratelimit" not in answer.headers
        assert await statuses(client, LIMIT + 1) == {200: LIMIT + 1}


async def test_pages_of_other_origins_can_read_the_refusal_and_preflights_are_not_counted(
    settings: Settings,
) -> None:
    origin = {"Origin": "https://front.example"}
    allowed = settings.model_copy(update={"allowed_origins": tuple(origin.values())})
    async with api(allowed) as client:
        for _ in range(LIMIT):
            preflight = await client.options(PAGE, headers={**origin, "Access-Control-Request-Method": "GET"})
            assert preflight.status_code == 204
        await statuses(client, LIMIT)
        refused = await client.get(PAGE, headers=origin)

    assert refused.status_code == 429
    assert refused.headers["access-control-allow-origin"] == "https://front.example"
    assert "RateLimit" in refused.headers["access-control-expose-headers"]


async def test_the_handshake_of_a_websocket_is_counted_and_refused_with_a_response(
    settings: Settings,
) -> None:
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "websocket.connect"}

    async def send(message: Message) -> None:
        sent.append(message)

    async with api_and_client(settings) as (app, client):
        await statuses(client, LIMIT)
        scope = {
            "type": "websocket",
            "scheme": "ws",
            "path": "/ws",
            "raw_path": b"/ws",
            "query_string": b"",
            "headers": [],
            "client": (ADDRESS, 1),
            "server": ("test", 80),
            "subprotocols": [],
            "extensions": {"websocket.http.response": {}},
        }
        await app(scope, receive, send)

    start, body = sent
    assert start["type"] == "websocket.http.response.start"
    assert start["status"] == 429
    names = {name for name, _ in start["headers"]}
    assert {b"retry-after", b"ratelimit", b"ratelimit-policy"} <= names
    assert json.loads(body["body"])["code"] == "rate_limited"


# While Redis is away


async def test_without_redis_each_process_holds_the_limit_alone(settings: Settings) -> None:
    gone = settings.model_copy(update={"redis_url": "redis://127.0.0.1:1"})
    async with api(gone) as client:
        assert await statuses(client, LIMIT + 5) == {200: LIMIT, 429: 5}


async def test_a_process_goes_on_counting_when_redis_goes_away_and_when_it_is_back(
    settings: Settings, servers: Servers
) -> None:
    clock, user = Clock(1000.0), ids.new_id()
    async with (
        proxy.proxy_valkey(servers.embedded.valkey) as valkey,
        open_pool(proxy.redis_url(valkey), max_connections=2) as pool,
    ):
        one, other = [RequestRates(settings, pool, redis_seconds=PATIENT, clock=clock) for _ in range(2)]
        assert await served(one, 30, user) == 30
        assert await served(other, 10, user) == 10
        await valkey.refuse()
        assert await served(one, 10, user) == 10
        assert not one.is_shared

        await valkey.accept()
        await until(lambda: is_shared(one, clock))
        await until(lambda: is_shared(other, clock))

        # Redis knows of 40 requests, the first process of 40 of its own.
        assert await served(one, LIMIT, user) == 20
        assert await served(other, LIMIT, user) == 0


async def test_a_process_alone_lets_no_more_pass_than_the_limit_in_all(
    settings: Settings, servers: Servers
) -> None:
    clock, user = Clock(1000.0), ids.new_id()
    async with (
        proxy.proxy_valkey(servers.embedded.valkey) as valkey,
        open_pool(proxy.redis_url(valkey), max_connections=2) as pool,
    ):
        rates = RequestRates(settings, pool, redis_seconds=PATIENT, clock=clock)
        await served(rates, LIMIT - 5, user)
        await valkey.refuse()

        assert await served(rates, LIMIT, user) == 5


async def is_shared(rates: RequestRates, clock: Clock) -> bool:
    """Let a second pass, and tell whether a request of another user was counted in Redis."""
    clock.now += rate_limits.RETRY_SECONDS
    await admit(rates, ids.new_id())
    return rates.is_shared


async def test_a_redis_that_answers_nothing_delays_a_few_requests_and_loses_none(
    settings: Settings, servers: Servers
) -> None:
    async with proxy.proxy_valkey(servers.embedded.valkey) as valkey:
        behind = settings.model_copy(update={"redis_url": proxy.redis_url(valkey)})
        async with api(behind, redis_seconds=0.1) as client:
            await statuses(client, 1)
            valkey.blackhole()

            assert await statuses(client, LIMIT) == {200: LIMIT - 1, 429: 1}
            valkey.resume()


async def test_a_redis_user_who_may_run_no_scripts_is_enough(settings: Settings) -> None:
    async with Redis.from_url(settings.redis_url) as redis:
        await redis.acl_setuser(
            "hints", enabled=True, nopass=True, keys=["headrace:*"], commands=["+@all", "-@scripting"]
        )
        try:
            async with open_pool(settings.redis_url, max_connections=2) as pool:
                pool.connection_kwargs |= {"username": "hints", "password": "any"}
                await admit(RequestRates(settings, pool, redis_seconds=PATIENT))
            [key] = [name async for name in redis.scan_iter(f"{keys.RATES}*")]
            assert 0 < await redis.ttl(key) <= 60
        finally:
            await redis.acl_deluser("hints")


# Windows


async def test_a_window_ends_after_a_minute(settings: Settings) -> None:
    clock = Clock(1000.0)
    async with open_pool("redis://127.0.0.1:1", max_connections=2) as pool:
        rates = RequestRates(settings, pool, clock=clock)
        for _ in range(LIMIT):
            await admit(rates)
        clock.now += 59.0
        with pytest.raises(RateLimited) as refused:
            await admit(rates)
        clock.now += 1.0

        assert refused.value.headers["Retry-After"] == "1"
        assert left(await admit(rates)) == LIMIT - 1


async def test_no_window_ends_later_than_in_a_minute(settings: Settings) -> None:
    now = 4.001
    assert (now + 60) - now > 60  # the error of a float
    async with open_pool("redis://127.0.0.1:1", max_connections=2) as pool:
        rates = RequestRates(settings, pool, clock=Clock(now))

        assert resets(await admit(rates)) == 60


async def test_the_clients_that_were_idle_longest_are_forgotten_first(settings: Settings) -> None:
    async with open_pool("redis://127.0.0.1:1", max_connections=2) as pool:
        rates = RequestRates(settings, pool, clock=Clock(0.0), max_remembered=2)
        one, two, three = (ids.new_id() for _ in range(3))
        for user in (one, two, one, three):
            await admit(rates, user)

        assert left(await admit(rates, one)) == LIMIT - 3
        assert left(await admit(rates, two)) == LIMIT - 1


async def test_a_high_limit_asks_redis_for_many_requests_at_once(settings: Settings) -> None:
    many = settings.model_copy(update={"requests_per_minute": 60_000})
    user = ids.new_id()
    async with (
        Redis.from_url(settings.redis_url) as redis,
        open_pool(settings.redis_url, max_connections=2) as pool,
    ):
        rates = RequestRates(many, pool, redis_seconds=PATIENT)
        assert await served(rates, 299, user) == 299
        scope = await admit(rates, user)
        [key] = [name async for name in redis.scan_iter(f"{keys.RATES}*{user}*")]
        assert int(await redis.get(key)) == 300
        assert left(scope) == 60_000 - 300
        await admit(rates, user)
        assert int(await redis.get(key)) == 600

        # Another process took almost all: the last ones are given out, and no more.
        await redis.set(key, 60_000 - 2, keepttl=True)
        assert await served(rates, 1000, user) == 299 + 2


async def served(rates: RequestRates, count: int, user_id: UUID) -> int:
    """Send requests one after the other, and return how many are admitted."""
    passed = 0
    for _ in range(count):
        with suppress(RateLimited):
            await admit(rates, user_id)
            passed += 1
    return passed


async def admit(rates: RequestRates, user_id: UUID | None = None) -> Scope:
    scope: Scope = {"client": (ADDRESS, 1), "headers": []}
    await rates.admit(scope, user_id)
    return scope


def left(scope: Scope) -> int:
    return _standing(scope, "r")


def resets(scope: Scope) -> int:
    return _standing(scope, "t")


def _standing(scope: Scope, name: str) -> int:
    value = dict(headers_of(scope))[b"ratelimit"].decode()
    return int(value.partition(f"{name}=")[2].partition(";")[0])
