"""The paths of fastscheduler: what its clients send becomes schedules, and its answers have their shape."""

from typing import Any
from uuid import UUID

import httpx
import pytest
from fastapi import FastAPI
from pydantic import TypeAdapter

from app.core.database import Database
from app.jobs.kinds import registry
from app.schedules.compatibility.schemas import SchedulerJobList, SchedulerState
from tests.support import rows
from tests.support import schedules as stored
from tests.support.accounts import Account
from tests.support.app_state import replace_state

API = "/scheduler/api"
JOB: dict[str, Any] = {
    "func_name": "batch-predict",
    "func_module": "tasks",
    "job_name": "scoring",
    "schedule_type": "interval",
    "schedule_config": {"interval": 5, "unit": "minutes"},
    "kwargs": {"texts": ["What a lovely day"]},
}


async def post(client: httpx.AsyncClient, who: Account, path: str, body: Any = None) -> httpx.Response:
    return await client.post(f"{API}{path}", json=body, headers=who.headers)


async def create(client: httpx.AsyncClient, who: Account, **changes: Any) -> str:
    answer = await post(client, who, "/jobs", JOB | changes)
    assert answer.status_code == 201, answer.text
    body = answer.json()
    assert (body["success"], body["message"]) == (True, "Job created successfully")
    job_id: str = body["job_id"]
    return job_id


async def schedule(client: httpx.AsyncClient, who: Account, schedule_id: str) -> dict[str, Any]:
    answer = await client.get(f"/schedules/{schedule_id}", headers=who.headers)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


@pytest.mark.parametrize(
    ("schedule_type", "config", "trigger"),
    [
        ("interval", {"interval": 5, "unit": "minutes"}, {"every": {"minutes": 5}}),
        ("interval", {"interval": 30}, {"every": {"seconds": 30}}),
        ("daily", {"time": "09:00"}, {"daily": {"at": "09:00"}}),
        ("daily", {"at": "09:00"}, {"daily": {"at": "09:00"}}),
        ("weekly", {"days": [0, 6], "time": "08:00"}, {"weekly": {"on": ["mon", "sun"], "at": "08:00"}}),
        ("hourly", {"minute": 15}, {"hourly": {"minute": 15}}),
        ("cron", {"expression": "*/15 * * * *"}, {"cron": "*/15 * * * *"}),
        ("cron", {"cron": "0 0 1 * *"}, {"cron": "0 0 1 * *"}),
        ("once", {"delay": 2, "unit": "hours"}, {"once": {"in_seconds": 7200}}),
        ("once", {"at": "2030-03-01 09:00:00"}, {"once": {"at": "2030-03-01T09:00:00"}}),
    ],
    ids=str,
)
async def test_each_type_of_schedule_becomes_a_trigger(
    client: httpx.AsyncClient,
    alice: Account,
    schedule_type: str,
    config: dict[str, Any],
    trigger: dict[str, Any],
) -> None:
    schedule_id = await create(client, alice, schedule_type=schedule_type, schedule_config=config)

    assert (await schedule(client, alice, schedule_id))["trigger"] == trigger


async def test_the_options_become_those_of_the_schedule_and_of_its_jobs(
    client: httpx.AsyncClient, alice: Account
) -> None:
    schedule_id = await create(
        client,
        alice,
        func_name="batch_predict",
        timezone="Asia/Shanghai",
        group="reports",
        enabled=False,
        max_retries=2,
        timeout=60,
        args=[],
    )

    found = await schedule(client, alice, schedule_id)
    assert (found["name"], found["group"], found["status"]) == ("scoring", "reports", "paused")
    assert (found["kind"], found["timezone"]) == ("batch_predict", "Asia/Shanghai")
    assert found["job"] == {
        "kind": "batch_predict",
        "texts": ["What a lovely day"],
        "max_attempts": 3,
        "time_limit_seconds": 60,
    }


async def test_a_job_without_a_name_is_named_after_its_function(
    client: httpx.AsyncClient, alice: Account
) -> None:
    found = [await schedule(client, alice, await create(client, alice, job_name=None)) for _ in range(2)]

    names = [one["name"] for one in found]
    assert len(set(names)) == 2
    assert all(name.startswith("batch-predict-") and len(name) == len("batch-predict-") + 8 for name in names)
    assert {one["group"] for one in found} == {"default"}


@pytest.mark.parametrize(
    ("changes", "error", "loc"),
    [
        ({"func_name": "train"}, "function_not_registered", None),
        ({"func_name": "inspect_model"}, "function_not_registered", None),
        ({"args": [1]}, "arguments_by_position", None),
        ({"kwargs": {"texts": []}}, "validation_error", ["body", "kwargs", "texts"]),
        ({"kwargs": {"colour": "red", "texts": ["a"]}}, "validation_error", ["body", "kwargs", "colour"]),
        ({"kwargs": {"texts": ["a"], "delay_seconds": 3}}, "start_in_template", None),
        ({"schedule_config": {"interval": 0}}, "validation_error", ["body", "schedule_config", "interval"]),
        (
            {"schedule_config": {"interval": 400, "unit": "days"}},
            "validation_error",
            ["body", "schedule_config"],
        ),
        (
            {"schedule_type": "daily", "schedule_config": {}},
            "validation_error",
            ["body", "schedule_config"],
        ),
        (
            {"schedule_type": "once", "schedule_config": {"delay": 5, "at": "2030-01-01 00:00:00"}},
            "validation_error",
            ["body", "schedule_config"],
        ),
        (
            {"schedule_type": "weekly", "schedule_config": {"days": [7], "at": "08:00"}},
            "validation_error",
            None,
        ),
        ({"schedule_type": "cron", "schedule_config": {"expression": "60 * * * *"}}, "bad_cron", None),
        ({"timezone": "Mars/Olympus"}, "unknown_timezone", None),
        ({"job_name": "a/b"}, "validation_error", ["body", "job_name"]),
        ({"max_retries": 200}, "validation_error", ["body", "max_retries"]),
    ],
    ids=str,
)
async def test_what_cannot_be_scheduled_is_refused_in_the_terms_of_the_request(
    client: httpx.AsyncClient, alice: Account, changes: dict[str, Any], error: str, loc: list[Any] | None
) -> None:
    answer = await post(client, alice, "/jobs", JOB | changes)

    assert (answer.status_code, answer.json()["code"]) == (422, error), answer.text
    if loc is not None:
        assert answer.json()["errors"][0]["loc"] == loc
    if error == "function_not_registered":
        assert answer.json()["detail"].startswith(f"Function not registered: {changes['func_name']}.")
        assert answer.json()["functions"] == sorted(
            name for name, kind in registry.BUILT_IN.items() if not kind.is_internal
        )


async def test_jobs_are_listed_read_paused_resumed_run_and_deleted(
    client: httpx.AsyncClient, store: Database, alice: Account
) -> None:
    job_id = await create(client, alice)
    await create(client, alice, job_name="another", group="reports")

    listed = await client.get(f"{API}/jobs", headers=alice.headers)
    TypeAdapter(SchedulerJobList).validate_json(listed.content)
    one = (await client.get(f"{API}/jobs/{job_id}", headers=alice.headers)).json()["job"]
    of_group = await client.get(f"{API}/jobs", params={"group": "reports"}, headers=alice.headers)

    assert [job["job_name"] for job in listed.json()["jobs"]] == ["scoring", "another"]
    assert [job["job_name"] for job in of_group.json()["jobs"]] == ["another"]
    assert one == listed.json()["jobs"][0]
    assert (one["job_id"], one["func_name"], one["group"]) == (job_id, "batch_predict", "default")
    assert (one["status"], one["last_run"], one["run_count"]) == ("active", None, 0)
    assert one["next_run"] is not None

    for action, message, status in (
        ("pause", "Job scoring paused", "paused"),
        ("resume", "Job scoring resumed", "active"),
    ):
        answer = await post(client, alice, f"/jobs/{job_id}/{action}")
        assert answer.json() == {"success": True, "message": message}
        assert (await stored.read(store, UUID(job_id))).status == status
    ran = (await post(client, alice, f"/jobs/{job_id}/run")).json()
    assert ran["success"]
    assert (await rows.job(store, UUID(ran["run_job_id"])))["schedule_id"] == UUID(job_id)
    busy = await post(client, alice, f"/jobs/{job_id}/run")
    assert (busy.status_code, busy.json()["code"]) == (409, "schedule_busy")
    deleted = await client.delete(f"{API}/jobs/{job_id}", headers=alice.headers)
    assert (deleted.status_code, deleted.json()["cancelled"]) == (200, 1)
    gone = await client.get(f"{API}/jobs/{job_id}", headers=alice.headers)
    assert (gone.status_code, gone.json()["code"]) == (404, "schedule_not_found")
    assert (await rows.job(store, UUID(ran["run_job_id"])))["status"] == "pending"


async def test_groups_are_listed_paused_resumed_and_deleted(
    client: httpx.AsyncClient, alice: Account, mallory: Account
) -> None:
    for n in range(2):
        await create(client, alice, job_name=f"number {n}", group="reports")
    await create(client, alice)
    await create(client, mallory, group="reports")

    async def counted(method: str, path: str) -> dict[str, Any]:
        answer = await client.request(method, f"{API}/groups/{path}", headers=alice.headers)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        assert found.pop("success")
        del found["message"]
        return found

    groups = await client.get(f"{API}/groups", headers=alice.headers)
    assert groups.json() == {"groups": ["default", "reports"]}
    assert await counted("POST", "reports/pause") == {"paused": 2}
    assert await counted("POST", "reports/resume") == {"resumed": 2}
    assert await counted("DELETE", "reports") == {"cancelled": 2}
    unknown = await client.delete(f"{API}/groups/reports", headers=alice.headers)
    assert (unknown.status_code, unknown.json()["code"]) == (404, "schedule_group_not_found")
    left = await client.get(f"{API}/jobs", headers=mallory.headers)
    assert [job["status"] for job in left.json()["jobs"]] == ["active"]


async def test_the_status_says_whether_schedules_are_fired(
    app: FastAPI, client: httpx.AsyncClient, store: Database, alice: Account, mallory: Account
) -> None:
    for n in range(3):
        await create(client, alice, job_name=f"number {n}")
    await create(client, mallory)
    await post(client, alice, "/jobs/number 0/pause")
    await rows.execute(store, "UPDATE schedules SET fired = 7 WHERE name = 'number 1'")

    answer = await client.get(f"{API}/status", headers=alice.headers)
    TypeAdapter(SchedulerState).validate_json(answer.content)
    replace_state(app, is_firing=lambda: False)
    stopped = await client.get(f"{API}/status", headers=alice.headers)

    assert answer.json() == {
        "running": True,
        "statistics": {"schedules": 3, "active": 2, "paused": 1, "fired": 7},
    }
    assert stopped.json()["running"] is False
