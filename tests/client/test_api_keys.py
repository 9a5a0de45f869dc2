"""API keys, created, used and revoked with both clients."""

from typing import get_args

import pytest

from app.auth import permissions
from app.client import AsyncHeadrace, Forbidden, NotFound, Unauthorized, Unavailable, api_keys
from tests.client.conftest import Connect
from tests.client.running import Running
from tests.client.scripted import answer, answering
from tests.support.waiting import until


async def test_a_key_is_created_used_and_revoked(
    client: AsyncHeadrace, connect: Connect, system: Running
) -> None:
    created = await client.create_api_key("import", ["jobs:read", "jobs:write"], expires_in_seconds=3600)
    service = connect(system.url, api_key=created.key)
    job = await service.wait(await service.submit(["What a lovely day"]), timeout=30)
    [listed] = [key async for key in client.api_keys() if key.id == created.id]

    assert job.status == "completed"
    assert [event.type async for event in service.follow(job)][-1] == "completed"
    assert (listed.name, list(listed.scopes), listed.key) == ("import", ["jobs:read", "jobs:write"], None)
    assert listed.created_at is not None
    assert listed.expires_at is not None
    assert listed.expires_at > listed.created_at
    with pytest.raises(Forbidden) as denied:
        await service.predict(["good"])
    assert denied.value.facts["permission"] == "predict"
    with pytest.raises(Forbidden):
        await service.create_api_key("another", ["jobs:read"])

    await client.revoke_api_key(listed)

    async def is_rejected() -> bool:
        try:
            await service.job(job)
        except Unauthorized:
            return True
        return False

    assert await until(is_rejected)
    with pytest.raises(NotFound):
        await client.revoke_api_key(created.id)
    assert created.id not in [key.id async for key in client.api_keys(page_size=1)]


async def test_a_key_is_accepted_as_a_token(client: AsyncHeadrace, connect: Connect, system: Running) -> None:
    created = await client.create_api_key("import", ["predict"])
    service = connect(system.url, token=created.key)

    assert (await service.predict(["What a lovely day"])).predictions[0]["label"] == "positive"


async def test_only_an_administrator_lists_the_keys_of_others(client: AsyncHeadrace) -> None:
    with pytest.raises(Forbidden):
        [key async for key in client.api_keys(owner="*")]


async def test_a_revocation_whose_response_was_lost_is_no_error(connect: Connect) -> None:
    lost = answer(502, "<h1>Bad gateway</h1>")
    gone = answer(404, {"code": "api_key_not_found", "detail": "There is no such key."})

    async with answering(lost, gone) as server:
        await connect(server.url, token="t").revoke_api_key("1")

    assert len(server.asked) == 2


async def test_a_key_is_never_created_twice(connect: Connect) -> None:
    away = answer(503, {"code": "database_unavailable", "detail": "Away."})

    async with answering(away) as server:
        with pytest.raises(Unavailable):
            await connect(server.url, token="t").create_api_key("import", ["predict"])

    assert len(server.asked) == 1


def test_the_scopes_are_those_of_the_server() -> None:
    assert set(get_args(api_keys.Scope)) == set(permissions.Scope)
