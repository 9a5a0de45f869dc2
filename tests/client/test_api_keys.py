"""API keys, created, used and revoked with both clients."""

import pytest

from app.client import AsyncHeadrace, Forbidden, NotFound, Unauthorized
from tests.client.conftest import Connect
from tests.client.running import Running
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
