"""What needs attention, over HTTP."""

import shutil
from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import Any, NamedTuple

import httpx
import pytest
from fastapi import FastAPI

from app.analytics.deps import ThisProcess
from app.auth.roles import Role
from app.core import ids
from app.core.database import Database
from app.core.loops import LoopState
from app.core.machine import Machine
from app.jobs import transitions
from app.jobs.unit_of_work import UnitOfWork
from tests.jobs.test_http import assert_problem
from tests.support import jobs, rows
from tests.support.accounts import Account, sign_in
from tests.support.app_state import state_of

Items = list[dict[str, Any]]


class Usage(NamedTuple):
    """What `shutil.disk_usage` returns."""

    total: int
    used: int
    free: int


async def attention(client: httpx.AsyncClient, who: Account, **params: str) -> Items:
    answer = await client.get("/attention", params=params, headers=who.headers)
    assert answer.status_code == 200, answer.text
    assert answer.headers["cache-control"] == "private, max-age=1"
    found: Items = answer.json()["items"]
    return found


async def failed(store: Database, who: Account, code: str = "boom") -> str:
    job = await jobs.running(store, who.id)
    async with store.connection() as connection:
        await transitions.fail(
            UnitOfWork(connection),
            job_id=job.id,
            attempt=job.attempt,
            error={**jobs.ERROR, "code": code},
            traceback="",
            is_retryable=False,
            delay_seconds=0,
        )
    return str(job.id)


async def test_nothing_needs_attention_in_a_healthy_system(
    client: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    await jobs.complete(store, await jobs.running(store, alice.id))

    assert await attention(client, alice) == []


async def test_dead_letters_are_told_by_what_they_have_in_common(
    client: httpx.AsyncClient, alice: Account, mallory: Account, store: Database
) -> None:
    await failed(store, alice)
    last = await failed(store, alice)
    other = await failed(store, alice, "time_limit")
    await failed(store, mallory)
    dismissed = await failed(store, alice, "dismissed")
    await client.delete(f"/dead-letters/{dismissed}", headers=alice.headers)

    found = await attention(client, alice)

    assert [(item["code"], item["severity"], item["count"], item["facts"]) for item in found] == [
        ("dead_letters", "bad", 2, {"error": "boom", "model": "sentiment@1", "job_id": last}),
        ("dead_letters", "bad", 1, {"error": "time_limit", "model": "sentiment@1", "job_id": other}),
    ]


async def test_a_queue_needs_attention_when_jobs_are_due_and_no_live_worker_serves_it(
    client: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    await jobs.create(store, alice.id, queue="gpu")
    await jobs.create(store, alice.id, queue="gpu")
    await jobs.create(store, alice.id, queue="gpu", delay=timedelta(hours=1))
    await jobs.create(store, alice.id)
    worker_id = await jobs.worker(store)

    [item] = await attention(client, alice)

    assert (item["code"], item["count"], item["facts"]) == ("queue_without_worker", 2, {"queue": "gpu"})
    await rows.execute(store, "UPDATE workers SET queues = '{default,gpu}' WHERE id = $1", worker_id)
    assert await attention(client, alice) == []
    await rows.execute(store, "UPDATE workers SET stopping_at = now() WHERE id = $1", worker_id)
    codes = [(item["code"], item["facts"].get("queue")) for item in await attention(client, alice)]
    assert sorted(codes[:2]) == [("queue_without_worker", "default"), ("queue_without_worker", "gpu")]
    assert codes[2:] == [("worker_draining", None)]


async def test_a_paused_queue_needs_the_attention_of_those_whose_jobs_wait_in_it(
    app: FastAPI, client: httpx.AsyncClient, alice: Account, mallory: Account, store: Database
) -> None:
    olga = await sign_in(app, "olga", Role.OPERATOR)
    await jobs.create(store, alice.id, queue="gpu")
    await jobs.create(store, alice.id, queue="gpu", delay=timedelta(hours=1))
    for queue in ("gpu", "empty"):
        body = {"reason": "New drivers."}
        answer = await client.post(f"/queues/{queue}/pause", json=body, headers=olga.headers)
        assert answer.status_code == 200

    [item] = await attention(client, alice)

    assert (item["code"], item["severity"], item["count"]) == ("queue_paused", "warn", 2)
    assert item["facts"] == {"queue": "gpu", "name": "olga", "reason": "New drivers."}
    assert await attention(client, mallory) == await attention(client, olga) == []
    assert await attention(client, olga, scope="all") == [item]


async def test_administrators_hear_of_late_loops_and_of_a_full_volume(
    app: FastAPI, client: httpx.AsyncClient, alice: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = await sign_in(app, "root", Role.ADMIN)
    state = state_of(app)
    # The loops of this process are those of other tests, too, and its volume may be full.
    in_time = LoopState("sweep", is_healthy=True, last_success_at=None)
    object.__setattr__(state, "process", ThisProcess(monotonic() - 90, lambda _: [in_time], Machine()))
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(total=1050, used=80, free=920))
    assert await attention(client, root) == []
    late_at = datetime.now(UTC) - timedelta(minutes=5)
    loops = [
        in_time,
        LoopState("rescue", is_healthy=False, last_success_at=late_at),
        LoopState("prune", is_healthy=False, last_success_at=None),
    ]
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(total=1050, used=920, free=80))

    for seconds, names in ((30, ["rescue"]), (90, ["rescue", "prune"])):
        process = ThisProcess(monotonic() - seconds, lambda _: loops, Machine())
        object.__setattr__(state, "process", process)
        found = await attention(client, root)
        assert [(item["code"], item["severity"], item["facts"]) for item in found] == [
            ("storage_full", "bad", {"used_percent": 92.0, "free_bytes": 80}),
            *(("loop_late", "warn", {"loop": name}) for name in names),
        ]
        assert found[1]["since"] == late_at.isoformat().replace("+00:00", "Z")
    assert await attention(client, alice) == []


async def test_everybody_hears_of_lost_and_draining_workers(
    client: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    draining, lost = await jobs.worker(store), await jobs.worker(store)
    await rows.execute(store, "UPDATE workers SET stopping_at = now() WHERE id = $1", draining)
    await jobs.expire_lease(store, lost)

    found = await attention(client, alice)

    assert [(item["code"], item["severity"], item["facts"]) for item in found] == [
        ("worker_lost", "warn", {"worker": f"test-{lost.hex}"}),
        ("worker_draining", "warn", {"worker": f"test-{draining.hex}"}),
    ]


async def schedule(client: httpx.AsyncClient, who: Account, name: str) -> str:
    body = {
        "name": name,
        "trigger": {"every": {"hours": 1}},
        "job": {"kind": "batch_predict", "texts": ["fine"]},
    }
    answer = await client.post("/schedules", json=body, headers=who.headers)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["schedule_id"])


async def test_a_schedule_needs_attention_when_its_last_jobs_failed_or_ticks_were_skipped(
    client: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    failing, skipping, once = [
        await schedule(client, alice, name) for name in ("failing", "skipping", "once")
    ]
    for schedule_id, outcomes in ((failing, (True, False, False)), (once, (True, False))):
        for is_success in outcomes:
            job = await jobs.running(store, alice.id)
            await rows.execute(
                store, "UPDATE jobs SET schedule_id = $2::uuid WHERE id = $1", job.id, schedule_id
            )
            await (jobs.complete(store, job) if is_success else jobs.fail(store, job, is_retryable=False))
    await rows.execute(store, "UPDATE jobs SET dismissed_at = now() WHERE status = 'failed'")
    await rows.execute(
        store,
        """INSERT INTO schedule_firings (schedule_id, fire_at, outcome)
        SELECT $1::uuid, now() - make_interval(hours => n), 'skipped' FROM generate_series(1, 30) n""",
        skipping,
    )

    found = await attention(client, alice)

    assert [(item["code"], item["severity"], item["count"], item["facts"]["name"]) for item in found] == [
        ("schedule_failing", "bad", 2, "failing"),
        ("schedule_skipped", "warn", 23, "skipping"),
    ]


async def test_a_subscription_needs_attention_while_its_deliveries_fail(
    client: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    await rows.execute(
        store,
        """INSERT INTO subscriptions (id, owner_id, name, channel, target, events, gather_seconds, status,
            failures, failing_since)
        VALUES ($1, $2, 'pager', 'webhook', '{}', '{job.failed}', 0, 'active', 4, now())""",
        ids.new_id(),
        alice.id,
    )

    [item] = await attention(client, alice)

    assert (item["code"], item["count"], item["facts"]["name"]) == ("delivery_failing", 4, "pager")


@pytest.mark.parametrize("role", [Role.USER, Role.OPERATOR])
async def test_operators_may_ask_for_all_users(
    client: httpx.AsyncClient, app: FastAPI, alice: Account, store: Database, role: Role
) -> None:
    await failed(store, alice)
    somebody = await sign_in(app, "somebody", role)

    assert await attention(client, somebody) == []
    if role is Role.USER:
        answer = await client.get("/attention?scope=all", headers=somebody.headers)
        assert_problem(answer, 403, "forbidden")
    else:
        [item] = await attention(client, somebody, scope="all")
        assert item["code"] == "dead_letters"
