"""Queues, paused and resumed with both clients."""

import asyncpg
import pytest

from app.client import AsyncHeadrace, Forbidden, Invalid
from tests.client.conftest import Connect
from tests.client.running import Running


async def test_an_operator_pauses_and_resumes_a_queue(
    client: AsyncHeadrace, connect: Connect, system: Running
) -> None:
    user = system.sign_up()
    connection = await asyncpg.connect(system.settings.database_url)
    try:
        await connection.execute("UPDATE users SET role = 'operator' WHERE username = $1", user.name)
    finally:
        await connection.close()
    operator = connect(system.url, **user.credentials)
    job = await client.submit(["x"], queue="gpu")

    paused = await operator.pause_queue("gpu", "New drivers.")

    assert (paused.name, paused.is_paused, paused.paused_by) == ("gpu", True, user.name)
    assert (paused.reason, paused.workers, paused.slots) == ("New drivers.", 0, 0)
    assert paused.pending >= 1
    assert [queue.reason for queue in await operator.queues() if queue.name == "gpu"] == ["New drivers."]
    explained = await client.explain(job)
    assert (explained.code, explained.facts["name"]) == ("queue_paused", user.name)
    resumed = await operator.resume_queue(paused)
    assert (resumed.is_paused, resumed.reason) == (False, None)
    assert (await client.explain(job)).code == "no_worker"
    with pytest.raises(Forbidden):
        await client.pause_queue("gpu", "Mine.")
    with pytest.raises(Invalid):
        await operator.pause_queue("No such queue", "Mine.")
    await client.cancel(job)
