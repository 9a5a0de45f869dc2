"""Thousands of guesses at the password of one account: five are checked, and nobody else notices."""

import asyncio
from collections import Counter
from contextlib import AsyncExitStack
from http import HTTPStatus
from typing import Final

import httpx
import pytest

from app.core.config import Settings
from app.http.rate_limits import Policy
from app.main import create_app
from tests.auth.support import create_user, passwords_computed, sign_in
from tests.support.waiting import until

GUESSES: Final = 3000
AT_ONCE: Final = 200
HASHED_AT_ONCE: Final = 3


@pytest.fixture
def settings(settings: Settings) -> Settings:
    # The limits under test are those of the account; the one of the network would hide them.
    assert Policy("network", settings.anonymous_requests_per_minute).limit < GUESSES
    many = {"anonymous_requests_per_minute": 1_000_000, "max_failed_sign_ins_per_address": 1_000_000}
    return settings.model_copy(update=many)


async def look_at_account(owner: httpx.AsyncClient, session: dict[str, str]) -> int:
    """Return the status, after repeating what a busy machine answered with 503, as clients do."""
    statuses: list[int] = []

    async def is_answered() -> bool:
        statuses.append((await owner.get("/users/me", headers=session)).status_code)
        return statuses[-1] != HTTPStatus.SERVICE_UNAVAILABLE

    await until(is_answered)
    return statuses[-1]


async def test_of_thousands_of_guesses_five_are_checked_and_nobody_else_is_locked_out(
    settings: Settings,
) -> None:
    app = create_app(settings)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(app.router.lifespan_context(app))
        attacker, owner, neighbour = [
            await stack.enter_async_context(
                httpx.AsyncClient(
                    transport=httpx.ASGITransport(app, client=(address, 1)), base_url="http://test"
                )
            )
            for address in ("198.51.100.7", "192.0.2.1", "198.51.100.8")
        ]
        await create_user(owner)
        await create_user(neighbour, "eve")
        signed_in = await sign_in(owner)
        session = {"Authorization": f"Bearer {signed_in.json()['access_token']}"}
        hashed = passwords_computed()
        answers: Counter[int] = Counter()
        numbers = iter(range(GUESSES))

        async def guess() -> None:
            for number in numbers:
                answers[(await sign_in(attacker, "ada", f"guess number {number}")).status_code] += 1

        async with asyncio.TaskGroup() as group:
            for _ in range(AT_ONCE):
                group.create_task(guess())
            others = [await look_at_account(owner, session) for _ in range(20)]
        checked = passwords_computed() - hashed

        assert answers[401] == 5
        assert answers.keys() <= {401, 429, 503}
        assert answers.total() == GUESSES
        assert checked < 5 + HASHED_AT_ONCE  # those that were being checked at that moment get 429
        assert others == [200] * 20
        assert (await sign_in(attacker, "ada")).status_code == 429
        assert (await sign_in(attacker, "eve")).status_code == 200
        assert (await sign_in(owner, "ada")).status_code == 200
        assert (await sign_in(neighbour, "eve")).status_code == 200
        refreshed = await owner.post(
            "/token/refresh", json={"refresh_token": signed_in.json()["refresh_token"]}
        )
        assert refreshed.status_code == 200
