"""Attempts to sign in are counted by what became of them."""

from collections import Counter

import httpx
import pytest
from prometheus_client import REGISTRY

from app.auth import sign_ins
from app.core.config import Settings
from app.core.errors import DatabaseUnavailable
from tests.auth.support import PASSWORD, create_user, sign_in


def counted() -> Counter[str]:
    results = ("ok", "refused", "throttled")
    return Counter(
        {
            result: int(REGISTRY.get_sample_value("headrace_sign_ins_total", {"result": result}) or 0)
            for result in results
        }
    )


async def test_each_attempt_is_counted_once_by_its_result(
    client: httpx.AsyncClient, settings: Settings
) -> None:
    await create_user(client)
    before = counted()

    failures = settings.max_failed_sign_ins
    passwords = [PASSWORD, *["wrong horse battery"] * failures, PASSWORD]
    statuses = [(await sign_in(client, "ada", password)).status_code for password in passwords]

    assert statuses == [200, *[401] * failures, 429]
    assert counted() - before == Counter(ok=1, refused=failures, throttled=1)


async def test_a_form_that_is_no_attempt_and_a_lost_postgres_are_not_counted(
    client: httpx.AsyncClient,
) -> None:
    before = counted()

    @sign_ins.counted
    async def sign_in_without_postgres() -> None:
        raise DatabaseUnavailable

    with pytest.raises(DatabaseUnavailable):
        await sign_in_without_postgres()
    assert (await client.post("/token", data={"username": "ada"})).status_code == 422

    assert counted() == before
