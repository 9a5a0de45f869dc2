"""Schedules over HTTP: created, previewed, changed, paused, resumed, run and deleted."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx
import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute
from pydantic import TypeAdapter

from app.auth.roles import Role
from app.core.config import Settings
from app.core.database import Database
from app.jobs.states import Status
from app.jobs.unit_of_work import UnitOfWork
from app.schedules.schemas import FiringPage, Preview, ScheduleGroupList, SchedulePage, ScheduleView
from tests.models import versions
from tests.support import jobs, rows
from tests.support import schedules as stored
from tests.support.accounts import Account, sign_in
from tests.support.schedules import NOON, VirtualTime

ELSEWHERE = "019aa7c1-f3e2-7bd0-8c5d-3f1e2a4b6c8d"
JOB: dict[str, Any] = {"kind": "batch_predict", "texts": ["What a lovely day"]}
NIGHTLY: dict[str, Any] = {
    "name": "nightly scoring",
    "trigger": {"daily": {"at": "02:30"}},
    "timezone": "Europe/Berlin",
    "job": JOB,
}


async def post(client: httpx.AsyncClient, who: Account, path: str, body: Any = None) -> httpx.Response:
    return await client.post(path, json=body, headers=who.headers)


async def create(client: httpx.AsyncClient, who: Account, **changes: Any) -> dict[str, Any]:
    answer = await post(client, who, "/schedules", NIGHTLY | changes)
    assert answer.status_code == 201, answer.text
    return schedule_of(answer)


async def put(client: httpx.AsyncClient, who: Account, body: Any, **headers: str) -> httpx.Response:
    return await client.put(
        "/schedules/nightly scoring", json=body, headers={**who.headers, **headers}, timeout=30
    )


async def patch(
    client: httpx.AsyncClient, who: Account, reference: str, change: Any, **headers: str
) -> httpx.Response:
    return await client.patch(
        f"/schedules/{reference}", json=change, headers={**who.headers, **headers}, timeout=30
    )


async def read(client: httpx.AsyncClient, who: Account, reference: object) -> dict[str, Any]:
    answer = await client.get(f"/schedules/{reference}", headers=who.headers)
    assert answer.status_code == 200, answer.text
    return schedule_of(answer)


async def firings(
    client: httpx.AsyncClient, who: Account, reference: object, **params: Any
) -> dict[str, Any]:
    answer = await client.get(f"/schedules/{reference}/firings", params=params, headers=who.headers)
    assert answer.status_code == 200, answer.text
    TypeAdapter(FiringPage).validate_json(answer.content)
    found: dict[str, Any] = answer.json()
    return found


def schedule_of(answer: httpx.Response) -> dict[str, Any]:
    assert answer.is_success, answer.text
    TypeAdapter(ScheduleView).validate_json(answer.content)
    found: dict[str, Any] = answer.json()
    return found


def code(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json().get("code", "")


def instant(text: str) -> datetime:
    return datetime.fromisoformat(text)


async def make_finished(store: Database, schedule_id: str, **columns: Any) -> None:
    """Finish a schedule, as its last tick does."""
    await rows.execute(
        store,
        "UPDATE schedules SET status = 'finished', next_fire_at = NULL, fired = $2 WHERE id = $1",
        UUID(schedule_id),
        columns.get("fired", 0),
    )


# Creation


async def test_a_schedule_is_created_and_found_by_its_id_and_by_its_name(
    client: httpx.AsyncClient, alice: Account
) -> None:
    answer = await post(client, alice, "/schedules", {**NIGHTLY, "group": "reports"})

    created = schedule_of(answer)
    assert answer.status_code == 201
    assert answer.headers["Location"] == created["links"]["self"] == f"/schedules/{created['schedule_id']}"
    assert answer.headers["ETag"] == '"1"'
    assert (created["name"], created["group"], created["kind"]) == (
        "nightly scoring",
        "reports",
        "batch_predict",
    )
    assert (created["trigger"], created["cron"]) == ({"daily": {"at": "02:30"}}, "30 2 * * *")
    assert (created["status"], created["revision"], created["fired"]) == ("active", 1, 0)
    for reference in (created["schedule_id"], "nightly scoring"):
        found = await read(client, alice, reference)
        assert {name: found[name] for name in created} == created
        assert found["next_fires"][0] == created["next_fire_at"]
        assert len(found["next_fires"]) == 5
        assert (found["active_job_ids"], found["last_firing"], found["failures"]) == ([], None, 0)


async def test_what_is_stored_of_a_job_is_what_was_given(client: httpx.AsyncClient, alice: Account) -> None:
    created = await create(client, alice, job={**JOB, "priority": "high", "metadata": {"team": "a"}})

    assert created["job"] == {**JOB, "priority": "high", "metadata": {"team": "a"}}


@pytest.mark.parametrize(
    ("change", "status", "error"),
    [
        *(
            ({"trigger": {"cron": cron}}, 422, "bad_cron")
            for cron in ("60 * * * *", "* * * *", "1-0 * * * *", "０ 0 * * *", "0 0 15W * *", "@reboot")
        ),
        ({"trigger": {"cron": "0 0 30 2 *"}}, 422, "bad_cron"),
        ({"trigger": {"cron": "0" * 257}}, 422, "validation_error"),
        ({"timezone": "Mars/Olympus"}, 422, "unknown_timezone"),
        ({"timezone": "../../etc/passwd"}, 422, "unknown_timezone"),
        ({"timezone": "localtime", "trigger": {"every": {"hours": 1}}}, 422, "unknown_timezone"),
        ({"ends_at": "2026-01-01T00:00:00Z"}, 422, "never_fires"),
        ({"ends_at": "9999-12-31T23:59:59.999999Z"}, 422, "validation_error"),
        ({"trigger": {"once": {"at": "9999-12-31T23:59:59.999999Z"}}}, 422, "never_fires"),
        (
            {
                "trigger": {"every": {"hours": 1}},
                "starts_at": "9999-12-31T18:00:00Z",
                "timezone": "Asia/Tokyo",
            },
            422,
            "never_fires",
        ),
        ({"trigger": {"every": {"hours": 2}}, "duration_seconds": 3600}, 422, "never_fires"),
        ({"trigger": {"once": {"at": "2026-01-01T00:00:00Z"}}}, 422, "in_the_past"),
        (
            {"trigger": {"once": {"at": "2027-03-14T02:30"}}, "timezone": "America/New_York"},
            422,
            "nonexistent_time",
        ),
        ({"trigger": {"daily": {"at": "02:30"}, "cron": "0 0 * * *"}}, 422, "validation_error"),
        ({"trigger": {"every": {"seconds": 0}}}, 422, "validation_error"),
        ({"trigger": {"every": {"seconds": 10}}, "jitter_seconds": 6}, 422, "validation_error"),
        ({"ends_at": "2030-01-01T00:00:00Z", "duration_seconds": 60}, 422, "validation_error"),
        ({"tick": "tock"}, 422, "validation_error"),
        ({"job": {"kind": "unknown", "texts": ["a"]}}, 422, "validation_error"),
        ({"job": {"kind": "inspect_model", "name": "a"}}, 422, "validation_error"),
        ({"job": {**JOB, "run_at": "2030-01-01T00:00:00Z"}}, 422, "start_in_template"),
        ({"job": {**JOB, "delay_seconds": 0}}, 422, "start_in_template"),
        ({"job": {**JOB, "priority": "critical"}}, 422, "job_limit_exceeded"),
        ({"job": {**JOB, "texts": ["x" * 33_000, "y" * 33_000]}}, 413, "template_too_large"),
        ({"job": {"kind": "batch_predict", "dataset_id": ELSEWHERE}}, 404, "dataset_not_found"),
        ({"job": {**JOB, "model": "unknown"}}, 404, "model_not_found"),
        (
            {
                "job": {
                    "kind": "train_model",
                    "rows": [{"a": 1, "b": 2}],
                    "target": "b",
                    "algorithm": "logistic_regression",
                    "search": {"params": {"alpha": [0.1, 0.01]}, "trials": 2},
                }
            },
            422,
            "not_one_job",
        ),
    ],
    ids=str,
)
async def test_what_cannot_be_scheduled_is_refused_at_once(
    client: httpx.AsyncClient, alice: Account, change: dict[str, Any], status: int, error: str
) -> None:
    answer = await post(client, alice, "/schedules", NIGHTLY | change)

    assert code(answer) == (status, error), answer.text
    listed = await client.get("/schedules", headers=alice.headers)
    assert listed.json()["items"] == []


@pytest.mark.parametrize(
    "name", ["", "a/b", "preview", ".", "..", "tab\t", ELSEWHERE, ELSEWHERE.replace("-", ""), "x" * 101, " "]
)
async def test_a_name_that_is_no_path_or_looks_like_an_id_is_refused(
    client: httpx.AsyncClient, alice: Account, name: str
) -> None:
    answer = await post(client, alice, "/schedules", {**NIGHTLY, "name": name})

    assert code(answer) == (422, "validation_error")
    assert answer.json()["errors"][0]["loc"] == ["body", "name"]


async def test_a_window_up_to_the_ends_of_the_calendar_is_read_as_it_was_given(
    client: httpx.AsyncClient, alice: Account
) -> None:
    window = {"starts_at": "0001-01-01T00:00:00.000001Z", "ends_at": "9999-12-31T23:59:59.999998Z"}

    created = await create(client, alice, **window)

    found = await client.get(f"/schedules/{created['schedule_id']}", headers=alice.headers)
    assert found.status_code == 200, found.text
    assert {name: found.json()[name] for name in window} == window
    assert found.json()["next_fires"][0] == created["next_fire_at"]


async def test_a_window_since_ever_begins_at_the_first_instant_that_can_be_stored(
    client: httpx.AsyncClient, alice: Account
) -> None:
    created = await create(client, alice, starts_at="0001-01-01T00:00:00Z")

    found = await client.get(f"/schedules/{created['schedule_id']}", headers=alice.headers)
    assert (found.status_code, found.json()["status"]) == (200, "active")
    assert found.json()["starts_at"] == "0001-01-01T00:00:00.000001Z"


async def test_a_schedule_cannot_use_the_dataset_of_another_user(
    client: httpx.AsyncClient, store: Database, alice: Account, mallory: Account
) -> None:
    dataset_id = await add_dataset(store, alice.id)
    job = {"kind": "batch_predict", "dataset_id": str(dataset_id)}

    answer = await post(client, mallory, "/schedules", {**NIGHTLY, "job": job})

    assert code(answer) == (404, "dataset_not_found")


async def add_dataset(store: Database, owner_id: UUID) -> UUID:
    found: UUID = await rows.value(
        store,
        """INSERT INTO datasets (id, owner_id, name, format, bytes, sha256, rows, columns, rows_bytes,
            rows_sha256)
        VALUES (gen_random_uuid(), $1, 'a', 'csv', 1, '0', 1, '[{"name": "text", "type": "text"}]', 1, '0')
        RETURNING id""",
        owner_id,
    )
    return found


async def test_a_name_is_unique_for_its_owner_only(
    client: httpx.AsyncClient, alice: Account, mallory: Account
) -> None:
    await create(client, alice)

    assert code(await post(client, alice, "/schedules", NIGHTLY)) == (409, "schedule_name_taken")
    await create(client, mallory)


async def test_the_same_request_with_the_same_key_gives_the_same_schedule(
    client: httpx.AsyncClient, alice: Account
) -> None:
    headers = {**alice.headers, "Idempotency-Key": "k"}

    answers = await asyncio.gather(
        *(client.post("/schedules", json=NIGHTLY, headers=headers) for _ in range(3))
    )
    other = await client.post("/schedules", json={**NIGHTLY, "group": "b"}, headers=headers)

    assert sorted(answer.status_code for answer in answers) == [200, 200, 201]
    assert len({answer.json()["schedule_id"] for answer in answers}) == 1
    assert sum("Idempotent-Replayed" in answer.headers for answer in answers) == 2
    assert code(other) == (422, "idempotency_key_reused")


async def test_parallel_requests_create_as_many_schedules_as_a_user_may_have(
    app: FastAPI, client: httpx.AsyncClient, store: Database, alice: Account, mallory: Account
) -> None:
    await rows.execute(store, "INSERT INTO user_quotas (user_id, max_schedules) VALUES ($1, 2)", alice.id)

    answers = await asyncio.gather(
        *(post(client, alice, "/schedules", {**NIGHTLY, "name": f"number {n}"}) for n in range(5))
    )

    assert sorted(answer.status_code for answer in answers) == [201, 201, 409, 409, 409]
    refused = next(answer for answer in answers if answer.status_code == 409)
    assert (refused.json()["code"], refused.json()["limit"]) == ("too_many_schedules", 2)
    assert code(await put(client, alice, NIGHTLY)) == (409, "too_many_schedules")
    for who, expected in (
        (alice, {"used": 2, "limit": 2, "is_default": False}),
        (mallory, {"used": 0, "limit": 1000, "is_default": True}),
    ):
        quotas = await client.get("/users/me/quotas", headers=who.headers)
        assert quotas.json()["schedules"] == expected
    admin = await sign_in(app, "root", Role.ADMIN)
    await client.put(f"/users/{alice.id}/quotas", json={"max_schedules": 3}, headers=admin.headers)
    assert (await put(client, alice, NIGHTLY)).status_code == 201


# Declaration


async def test_a_declared_schedule_is_created_once_and_then_stays_as_it_is(
    client: httpx.AsyncClient, alice: Account
) -> None:
    first, second = await asyncio.gather(*(put(client, alice, NIGHTLY) for _ in range(2)))
    third = await put(client, alice, {key: value for key, value in NIGHTLY.items() if key != "name"})

    assert sorted([first.status_code, second.status_code]) == [200, 201]
    assert third.status_code == 200
    assert schedule_of(first) == schedule_of(second) == schedule_of(third)


async def test_a_declaration_replaces_every_field_and_moves_the_next_tick_only_with_the_trigger(
    client: httpx.AsyncClient, store: Database, alice: Account
) -> None:
    before = await create(client, alice, group="reports", max_runs=7)
    due = NOON.replace(second=30)
    await rows.execute(store, "UPDATE schedules SET next_fire_at = $1", due)

    replaced = schedule_of(await put(client, alice, {**NIGHTLY, "overlap": "queue"}))
    moved = schedule_of(await put(client, alice, {**NIGHTLY, "trigger": {"daily": {"at": "04:00"}}}))

    assert replaced["schedule_id"] == before["schedule_id"]
    assert (replaced["group"], replaced["max_runs"], replaced["overlap"]) == (None, None, "queue")
    assert (replaced["revision"], instant(replaced["next_fire_at"])) == (2, due)
    assert (moved["revision"], moved["cron"], moved["overlap"]) == (3, "0 4 * * *", "skip")
    assert instant(moved["next_fire_at"]) < due


async def test_a_declaration_leaves_a_paused_schedule_paused_unless_it_says_otherwise(
    client: httpx.AsyncClient, alice: Account
) -> None:
    await put(client, alice, NIGHTLY)
    await post(client, alice, "/schedules/nightly scoring/pause")

    for body, status in (
        (NIGHTLY, "paused"),
        ({**NIGHTLY, "trigger": {"daily": {"at": "03:00"}}}, "paused"),
        ({**NIGHTLY, "enabled": True}, "active"),
        (NIGHTLY, "active"),
        ({**NIGHTLY, "enabled": False}, "paused"),
    ):
        answer = schedule_of(await put(client, alice, body))
        assert (answer["status"], answer["next_fire_at"] is not None) == (status, status == "active")


async def test_a_declaration_has_the_name_of_its_path(client: httpx.AsyncClient, alice: Account) -> None:
    answer = await put(client, alice, {**NIGHTLY, "name": "another"})

    assert code(answer) == (422, "validation_error")


@pytest.mark.parametrize(("method", "answer"), [("POST", 409), ("PUT", 200)])
async def test_a_name_that_another_schedule_is_just_getting_is_taken(
    client: httpx.AsyncClient, store: Database, alice: Account, method: str, answer: int
) -> None:
    created = await create(client, alice, name="another")
    path = "/schedules" if method == "POST" else "/schedules/nightly scoring"

    async with rows.transaction(store) as connection:
        await connection.execute("UPDATE schedules SET name = 'nightly scoring'")
        creating = asyncio.create_task(client.request(method, path, json=NIGHTLY, headers=alice.headers))
        await rows.wait_until_blocked(store)
    created_anew = await creating

    assert created_anew.status_code == answer, created_anew.text
    if method == "POST":
        assert created_anew.json()["code"] == "schedule_name_taken"
    else:
        assert created_anew.json()["schedule_id"] == created["schedule_id"]


# Changes


async def test_a_change_of_the_template_alone_moves_no_tick(
    client: httpx.AsyncClient, store: Database, alice: Account
) -> None:
    created = await create(client, alice)
    await rows.execute(store, "UPDATE schedules SET next_fire_at = $1", NOON)

    changed = schedule_of(await patch(client, alice, "nightly scoring", {"job": {**JOB, "texts": ["b"]}}))

    assert (changed["job"]["texts"], changed["revision"]) == (["b"], 2)
    assert instant(changed["next_fire_at"]) == NOON
    assert changed["trigger"] == created["trigger"]


@pytest.mark.parametrize(
    "change",
    [
        {"trigger": {"daily": {"at": "04:00"}}},
        {"timezone": "America/New_York"},
        {"starts_at": "2028-01-01T00:00:00Z"},
        {"ends_at": "2040-01-01T00:00:00Z"},
    ],
    ids=str,
)
async def test_a_change_of_trigger_zone_or_window_makes_the_next_tick_the_first_one_after_now(
    client: httpx.AsyncClient, store: Database, alice: Account, change: dict[str, Any]
) -> None:
    created = await create(client, alice)
    expected = await post(
        client,
        alice,
        "/schedules/preview",
        {"trigger": created["trigger"], "timezone": created["timezone"], "count": 1} | change,
    )
    await rows.execute(store, "UPDATE schedules SET next_fire_at = $1", NOON)

    changed = schedule_of(await patch(client, alice, created["schedule_id"], change))

    assert changed["next_fire_at"] == expected.json()["fires"][0]["fire_at"]
    assert changed["status"] == "active"


async def test_a_change_changes_what_it_has_and_null_removes(
    client: httpx.AsyncClient, alice: Account
) -> None:
    await create(client, alice, group="a", max_runs=7, ends_at="2040-01-01T00:00:00Z")

    renamed = schedule_of(
        await patch(client, alice, "nightly scoring", {"name": "hourly", "catch_up": "all", "group": "b"})
    )
    removed = schedule_of(
        await patch(client, alice, "hourly", {"group": None, "max_runs": None, "ends_at": None})
    )
    unchanged = schedule_of(await patch(client, alice, "hourly", {}))
    timed = schedule_of(
        await patch(
            client, alice, "hourly", {"starts_at": "2030-01-01T00:00:00Z", "duration_seconds": 86_400}
        )
    )

    assert (renamed["name"], renamed["catch_up"], renamed["group"], renamed["max_runs"]) == (
        "hourly",
        "all",
        "b",
        7,
    )
    assert (removed["group"], removed["max_runs"], removed["ends_at"]) == (None, None, None)
    assert unchanged == removed
    assert (timed["starts_at"], timed["ends_at"]) == ("2030-01-01T00:00:00Z", "2030-01-02T00:00:00Z")


async def test_a_change_that_cannot_be_is_refused_and_changes_nothing(
    client: httpx.AsyncClient, alice: Account
) -> None:
    before = await create(client, alice)
    await create(client, alice, name="another", trigger={"every": {"seconds": 10}})

    answers = [
        await patch(client, alice, reference, change)
        for reference, change in (
            ("nightly scoring", {"name": "another"}),
            ("nightly scoring", {"name": None}),
            ("nightly scoring", {"trigger": {"cron": "60 * * * *"}}),
            ("nightly scoring", {"ends_at": "2026-01-01T00:00:00Z"}),
            ("nightly scoring", {"job": {**JOB, "delay_seconds": 1}}),
            ("another", {"jitter_seconds": 6}),
            ("unknown", {"overlap": "queue"}),
        )
    ]

    assert [code(answer) for answer in answers] == [
        (409, "schedule_name_taken"),
        (422, "validation_error"),
        (422, "bad_cron"),
        (422, "never_fires"),
        (422, "start_in_template"),
        (422, "validation_error"),
        (404, "schedule_not_found"),
    ]
    found = await read(client, alice, "nightly scoring")
    assert {name: found[name] for name in before} == before


async def test_a_change_for_another_revision_is_refused(client: httpx.AsyncClient, alice: Account) -> None:
    created = await create(client, alice)
    answer = await client.get("/schedules/nightly scoring", headers=alice.headers)
    etag = answer.headers["ETag"]

    first = await patch(client, alice, created["schedule_id"], {"group": "a"}, **{"If-Match": etag})
    second = await patch(client, alice, created["schedule_id"], {"group": "b"}, **{"If-Match": etag})
    declared = await put(client, alice, NIGHTLY, **{"If-Match": etag})
    unknown = await client.put(
        "/schedules/none", json=NIGHTLY | {"name": "none"}, headers={**alice.headers, "If-Match": etag}
    )

    assert first.headers["ETag"] == '"2"'
    assert code(second) == code(declared) == (412, "revision_mismatch")
    assert second.headers["ETag"] == '"2"'
    assert code(unknown) == (404, "schedule_not_found")
    assert (await read(client, alice, created["schedule_id"]))["group"] == "a"


async def test_a_finished_schedule_is_active_again_if_a_change_gives_it_ticks(
    client: httpx.AsyncClient, store: Database, alice: Account
) -> None:
    created = await create(client, alice, max_runs=3)
    schedule_id = created["schedule_id"]
    await make_finished(store, schedule_id, fired=3)

    renamed = schedule_of(await patch(client, alice, schedule_id, {"group": "a"}))
    fewer = schedule_of(await patch(client, alice, schedule_id, {"max_runs": 2}))
    more = schedule_of(await patch(client, alice, schedule_id, {"max_runs": 4}))

    assert [one["status"] for one in (renamed, fewer, more)] == ["finished", "finished", "active"]
    assert more["next_fire_at"] == created["next_fire_at"]
    lowered = schedule_of(await patch(client, alice, schedule_id, {"max_runs": 3}))
    assert (lowered["status"], lowered["next_fire_at"]) == ("finished", None)


async def test_a_broken_schedule_is_mended_by_a_change_and_by_resuming_it(
    client: httpx.AsyncClient, store: Database, alice: Account
) -> None:
    created = await create(client, alice)
    schedule_id = created["schedule_id"]

    async def break_it() -> None:
        await rows.execute(
            store,
            "UPDATE schedules SET status = 'broken', next_fire_at = NULL, reason = $1",
            {"code": "cannot_compute", "message": "It cannot."},
        )

    await break_it()
    broken = await read(client, alice, schedule_id)
    resumed = schedule_of(await post(client, alice, f"/schedules/{schedule_id}/resume"))
    await break_it()
    changed = schedule_of(await patch(client, alice, schedule_id, {"overlap": "queue"}))

    assert broken["reason"]["code"] == "cannot_compute"
    for mended in (resumed, changed):
        assert (mended["status"], mended["reason"]) == ("active", None)
        assert mended["next_fire_at"] == created["next_fire_at"]


async def test_a_schedule_whose_zone_is_gone_says_why_it_cannot_be_resumed(
    client: httpx.AsyncClient, store: Database, alice: Account
) -> None:
    created = await create(client, alice)
    await rows.execute(
        store,
        """UPDATE schedules SET status = 'paused', next_fire_at = NULL, timezone = 'Mars/Olympus',
        rule = jsonb_set(rule, '{zone}', '"Mars/Olympus"')""",
    )

    answer = await post(client, alice, f"/schedules/{created['schedule_id']}/resume")
    found = await read(client, alice, created["schedule_id"])
    mended = await patch(client, alice, created["schedule_id"], {"timezone": "UTC", "enabled": True})

    assert code(answer) == (409, "schedule_broken")
    assert "Mars/Olympus" in answer.json()["detail"]
    assert found["timezone"] == "Mars/Olympus"
    assert schedule_of(mended)["status"] == "active"


# A change and a firing at the same time


async def test_a_change_waits_for_a_firing_and_comes_after_it(
    client: httpx.AsyncClient, store: Database, settings: Settings, alice: Account
) -> None:
    schedule = await stored.add(store, alice.id, trigger={"every": {"minutes": 1}})
    virtual = VirtualTime(settings, store)

    async with rows.transaction(store) as connection:
        await virtual.dispatcher.fire(UnitOfWork(connection))
        changing = asyncio.create_task(
            patch(client, alice, str(schedule.id), {"trigger": {"daily": {"at": "12:00"}}})
        )
        await rows.wait_until_blocked(store)

    changed = schedule_of(await changing)
    assert await stored.outcomes(store, schedule.id) == [(NOON, "fired")]
    assert changed["fired"] == 1
    assert changed["cron"] == "0 12 * * *"


async def test_a_firing_leaves_out_a_schedule_that_is_being_changed(
    client: httpx.AsyncClient, store: Database, settings: Settings, alice: Account
) -> None:
    schedule = await stored.add(store, alice.id, trigger={"every": {"minutes": 1}})
    virtual = VirtualTime(settings, store)

    async with rows.transaction(store) as connection:
        await connection.execute("SELECT FROM schedules WHERE id = $1 FOR UPDATE", schedule.id)
        fired = await virtual.fire()

    assert fired.schedules == 0
    assert await stored.outcomes(store, schedule.id) == []
    changed = schedule_of(
        await patch(client, alice, str(schedule.id), {"trigger": {"daily": {"at": "13:00"}}})
    )
    await virtual.fire(seconds=1)
    fired_at = [at for at, _ in await stored.outcomes(store, schedule.id)]
    assert NOON not in fired_at
    assert instant(changed["next_fire_at"]).hour == 13


# Pause and resume


async def test_a_paused_schedule_resumes_at_its_first_tick_after_now_and_keeps_its_phase(
    client: httpx.AsyncClient, store: Database, alice: Account
) -> None:
    anchor = datetime.now(UTC).replace(microsecond=0) - timedelta(days=1, minutes=7)
    created = await create(
        client, alice, trigger={"every": {"hours": 1}, "anchor_at": anchor.isoformat()}, timezone="UTC"
    )
    path = f"/schedules/{created['schedule_id']}"

    paused = [schedule_of(await post(client, alice, f"{path}/pause")) for _ in range(2)]
    # Three ticks ago.
    await rows.execute(store, "UPDATE schedules SET updated_at = now() - interval '3 hours'")
    resumed = [schedule_of(await post(client, alice, f"{path}/resume")) for _ in range(2)]

    assert {(one["status"], one["next_fire_at"]) for one in paused} == {("paused", None)}
    assert paused[0] == paused[1]
    assert resumed[0] == resumed[1]
    upcoming = instant(resumed[0]["next_fire_at"])
    assert (upcoming - anchor) % timedelta(hours=1) == timedelta(0)
    assert upcoming > instant(paused[0]["updated_at"])
    assert await stored.outcomes(store, UUID(created["schedule_id"])) == []
    row = await stored.read(store, UUID(created["schedule_id"]))
    assert row.resumed_at is not None


async def test_what_has_finished_is_neither_paused_nor_resumed(
    client: httpx.AsyncClient, store: Database, alice: Account
) -> None:
    counted = await create(client, alice, max_runs=1)
    once = await create(client, alice, name="reminder", trigger={"once": {"in_seconds": 3600}})
    await make_finished(store, counted["schedule_id"], fired=1)
    past = datetime.now(UTC) - timedelta(hours=1)
    await rows.execute(
        store,
        "UPDATE schedules SET status = 'paused', next_fire_at = NULL, rule = jsonb_set(rule, '{at}', $2)"
        " WHERE id = $1",
        UUID(once["schedule_id"]),
        past.isoformat(),
    )

    pause = await post(client, alice, "/schedules/nightly scoring/pause")
    resume = await post(client, alice, "/schedules/nightly scoring/resume")
    late = await post(client, alice, "/schedules/reminder/resume")

    assert code(pause) == code(resume) == (409, "schedule_finished")
    assert code(late) == (409, "schedule_time_passed")


async def test_a_reminder_keeps_its_time_when_its_zone_changes(
    client: httpx.AsyncClient, alice: Account
) -> None:
    created = await create(client, alice, trigger={"once": {"in_seconds": 3600}})

    changed = schedule_of(await patch(client, alice, "nightly scoring", {"timezone": "Asia/Tokyo"}))
    again = schedule_of(
        await patch(client, alice, "nightly scoring", {"trigger": {"once": {"in_seconds": 60}}})
    )

    assert changed["next_fire_at"] == created["next_fire_at"]
    assert again["next_fire_at"] < created["next_fire_at"]


# Run now


async def test_a_run_creates_a_job_and_leaves_the_ticks_alone(
    client: httpx.AsyncClient, store: Database, alice: Account
) -> None:
    created = await create(client, alice, enabled=False)
    path = f"/schedules/{created['schedule_id']}"

    answer = await post(client, alice, f"{path}/run")

    job = answer.json()
    assert answer.status_code == 202
    assert answer.headers["Location"] == f"/jobs/{job['job_id']}"
    assert (job["status"], job["kind"], job["schedule_id"]) == (
        "pending",
        "batch_predict",
        created["schedule_id"],
    )
    found = await read(client, alice, created["schedule_id"])
    assert (found["status"], found["fired"], found["next_fire_at"]) == ("paused", 0, None)
    assert found["active_job_ids"] == [job["job_id"]]
    assert found["last_firing"]["outcome"] == "manual"
    assert (found["last_firing"]["job_id"], found["last_firing"]["fire_at"]) == (
        job["job_id"],
        job["fire_at"],
    )
    listed = await client.get("/jobs", params={"schedule_id": created["schedule_id"]}, headers=alice.headers)
    assert [one["job_id"] for one in listed.json()["items"]] == [job["job_id"]]
    assert await rows.event_types(store, UUID(job["job_id"])) == ["created"]


@pytest.mark.parametrize(("overlap", "statuses"), [("skip", [202, 409]), ("allow", [202, 202])])
async def test_of_two_runs_at_once_one_finds_the_schedule_busy_unless_it_allows_both(
    client: httpx.AsyncClient, alice: Account, overlap: str, statuses: list[int]
) -> None:
    await create(client, alice, overlap=overlap)

    answers = await asyncio.gather(*(post(client, alice, "/schedules/nightly scoring/run") for _ in range(2)))
    forced = await post(client, alice, "/schedules/nightly scoring/run", {"force": True})

    assert sorted(answer.status_code for answer in answers) == statuses
    assert all(code(answer) == (409, "schedule_busy") for answer in answers if answer.status_code == 409)
    assert forced.status_code == 202
    found = await firings(client, alice, "nightly scoring", outcome="manual")
    assert len(found["items"]) == statuses.count(202) + 1


async def test_a_run_that_cannot_be_planned_says_why(
    client: httpx.AsyncClient, store: Database, alice: Account
) -> None:
    model = await versions.of_texts(store, alice.id)
    await create(client, alice, job={**JOB, "model": "churn"})
    await create(client, alice, name="outdated")
    await create(client, alice, name="foreign")
    await rows.execute(store, "DELETE FROM model_versions WHERE id = $1", model.id)
    await rows.execute(store, "UPDATE schedules SET job = '{\"texts\": 7}' WHERE name = 'outdated'")
    await rows.execute(store, "UPDATE schedules SET kind = 'gone' WHERE name = 'foreign'")

    answers = {
        name: code(await post(client, alice, f"/schedules/{name}/run"))
        for name in ("nightly scoring", "outdated", "foreign")
    }

    assert answers == {
        "nightly scoring": (404, "model_not_found"),
        "outdated": (422, "template_invalid"),
        "foreign": (422, "kind_unknown"),
    }
    assert await rows.value(store, "SELECT count(*) FROM jobs") == 0


async def test_a_run_counts_towards_the_quota_of_the_owner(
    app: FastAPI, client: httpx.AsyncClient, store: Database, alice: Account
) -> None:
    await create(client, alice, overlap="allow")
    await rows.execute(store, "INSERT INTO user_quotas (user_id, max_active_jobs) VALUES ($1, 1)", alice.id)
    operator = await sign_in(app, "olga", Role.OPERATOR)
    schedule_id = (await read(client, alice, "nightly scoring"))["schedule_id"]

    first = await post(client, operator, f"/schedules/{schedule_id}/run")
    second = await post(client, operator, f"/schedules/{schedule_id}/run")

    assert first.json()["user_id"] == str(alice.id)
    assert code(second) == (429, "too_many_active_jobs")


# Deletion


async def test_a_deleted_schedule_goes_with_its_firings_and_its_jobs_stay(
    client: httpx.AsyncClient, store: Database, alice: Account
) -> None:
    await create(client, alice)
    job = (await post(client, alice, "/schedules/nightly scoring/run")).json()

    deleted = await client.delete("/schedules/nightly scoring", headers=alice.headers)

    assert deleted.status_code == 204
    assert await rows.value(store, "SELECT count(*) FROM schedule_firings") == 0
    kept = (await client.get(f"/jobs/{job['job_id']}", headers=alice.headers)).json()
    assert (kept["status"], kept["schedule_id"]) == ("pending", job["schedule_id"])
    assert code(await client.get("/schedules/nightly scoring", headers=alice.headers)) == (
        404,
        "schedule_not_found",
    )


async def test_a_deletion_cancels_the_active_jobs_if_asked_to(
    client: httpx.AsyncClient, store: Database, alice: Account
) -> None:
    await create(client, alice, overlap="allow")
    ran = [(await post(client, alice, "/schedules/nightly scoring/run")).json() for _ in range(2)]
    other = await jobs.create(store, alice.id)

    await client.delete("/schedules/nightly scoring?cancel_jobs=true", headers=alice.headers)

    statuses = [(await rows.job(store, UUID(job["job_id"])))["status"] for job in ran]
    assert statuses == [Status.CANCELLED] * 2
    assert (await rows.job(store, other))["status"] == Status.PENDING


# Lists


async def test_schedules_are_listed_newest_first_page_by_page_with_their_last_jobs(
    client: httpx.AsyncClient, store: Database, alice: Account, mallory: Account
) -> None:
    created = [await create(client, alice, name=f"number {n}", group=f"group {n % 2}") for n in range(5)]
    await create(client, mallory)
    job = (await post(client, alice, "/schedules/number 4/run")).json()
    await post(client, alice, "/schedules/number 3/pause")

    pages: list[list[str]] = []
    cursor: str | None = ""
    while cursor is not None:
        params = {"limit": "2", **({"cursor": cursor} if cursor else {})}
        answer = await client.get("/schedules", params=params, headers=alice.headers)
        TypeAdapter(SchedulePage).validate_json(answer.content)
        pages.append([one["name"] for one in answer.json()["items"]])
        cursor = answer.json()["next_cursor"]

    assert pages == [["number 4", "number 3"], ["number 2", "number 1"], ["number 0"]]
    newest = await client.get("/schedules", params={"limit": 1}, headers=alice.headers)
    assert newest.json()["items"][0]["recent"] == ["pending"]
    assert newest.json()["items"][0]["schedule_id"] == created[4]["schedule_id"] == job["schedule_id"]
    for params, names in (
        ({"status": "paused"}, ["number 3"]),
        ({"group": "group 1"}, ["number 3", "number 1"]),
        ({"kind": "train_model"}, []),
    ):
        found = await client.get("/schedules", params=params, headers=alice.headers)
        assert [one["name"] for one in found.json()["items"]] == names
    assert code(await client.get("/schedules?cursor=x", headers=alice.headers)) == (400, "invalid_cursor")


async def test_firings_are_listed_newest_first_page_by_page(
    client: httpx.AsyncClient, store: Database, alice: Account
) -> None:
    created = await create(client, alice)
    await rows.execute(
        store,
        """INSERT INTO schedule_firings (schedule_id, fire_at, outcome, count, through_at, reason, at)
        SELECT $1, $2::timestamptz + make_interval(mins => n),
            CASE n WHEN 3 THEN 'missed' ELSE 'fired' END, CASE n WHEN 3 THEN 12 END,
            CASE n WHEN 3 THEN $2::timestamptz END, NULL,
            $2::timestamptz + make_interval(mins => n, secs => 0.25)
        FROM generate_series(1, 5) n""",
        UUID(created["schedule_id"]),
        NOON,
    )

    first = await firings(client, alice, "nightly scoring", limit=2)
    second = await firings(client, alice, "nightly scoring", limit=2, cursor=first["next_cursor"])
    third = await firings(client, alice, "nightly scoring", limit=2, cursor=second["next_cursor"])
    missed = await firings(client, alice, "nightly scoring", outcome="missed")

    found = [*first["items"], *second["items"], *third["items"]]
    minutes = [instant(one["fire_at"]).minute for one in found]
    assert minutes == [5, 4, 3, 2, 1]
    assert third["next_cursor"] is None
    assert {one["lateness_ms"] for one in found} == {250}
    assert [(one["count"], instant(one["through_at"])) for one in missed["items"]] == [(12, NOON)]
    for cursor in ("x", "A" * 22, "f_________8"):
        bad = await client.get(
            "/schedules/nightly scoring/firings", params={"cursor": cursor}, headers=alice.headers
        )
        assert code(bad) == (400, "invalid_cursor")


async def test_failures_in_a_row_are_counted_since_the_last_success(
    client: httpx.AsyncClient, store: Database, alice: Account
) -> None:
    schedule = await stored.add(store, alice.id)
    for status in ("failed", "completed", "failed", "cancelled", "failed"):
        job = await jobs.running(store, alice.id, queue=f"{status}")
        if status == "completed":
            await jobs.complete(store, job)
        elif status == "failed":
            await jobs.fail(store, job, is_retryable=False)
        else:
            await jobs.cancel(store, job.id)
    await rows.execute(store, "ALTER TABLE jobs DISABLE TRIGGER USER")  # it keeps ended jobs as they are
    await rows.execute(store, "UPDATE jobs SET schedule_id = $1", schedule.id)
    await rows.execute(store, "ALTER TABLE jobs ENABLE TRIGGER USER")

    assert (await read(client, alice, schedule.id))["failures"] == 2


# Groups


async def test_the_schedules_of_a_group_are_paused_resumed_run_and_deleted_together(
    client: httpx.AsyncClient, store: Database, alice: Account, mallory: Account
) -> None:
    for n in range(3):
        await create(client, alice, name=f"number {n}", group="reports")
    await create(client, alice, name="alone")
    await create(client, mallory, group="reports")

    async def act(method: str, action: str = "") -> int:
        answer = await client.request(method, f"/schedule-groups/reports{action}", headers=alice.headers)
        assert answer.status_code == 200, answer.text
        changed: int = answer.json()["schedules"]
        return changed

    async def listed() -> list[tuple[str, int, int, bool]]:
        answer = await client.get("/schedule-groups", headers=alice.headers)
        TypeAdapter(ScheduleGroupList).validate_json(answer.content)
        return [
            (one["group"], one["schedules"], one["active"], one["next_fire_at"] is not None)
            for one in answer.json()["items"]
        ]

    assert await listed() == [("reports", 3, 3, True)]
    assert await act("POST", "/pause") == 3
    assert await listed() == [("reports", 3, 0, False)]
    assert await act("POST", "/resume") == 3
    assert await act("POST", "/run") == 3
    assert await act("POST", "/run") == 0  # all are busy
    await rows.execute(store, "UPDATE jobs SET schedule_id = NULL")
    await rows.execute(store, "UPDATE schedules SET job = '{\"texts\": 7}' WHERE name = 'number 1'")
    assert await act("POST", "/run") == 2
    refused = await firings(client, alice, "number 1", outcome="refused")
    assert [one["reason"]["code"] for one in refused["items"]] == ["template_invalid"]
    assert await act("DELETE") == 3
    assert await listed() == []
    for method, path in (("POST", "/pause"), ("POST", "/resume"), ("POST", "/run"), ("DELETE", "")):
        answer = await client.request(method, f"/schedule-groups/reports{path}", headers=alice.headers)
        assert code(answer) == (404, "schedule_group_not_found")
    assert (await read(client, mallory, "nightly scoring"))["status"] == "active"
    assert (await read(client, alice, "alone"))["status"] == "active"


async def test_schedules_of_a_group_that_cannot_be_resumed_do_not_count(
    client: httpx.AsyncClient, store: Database, alice: Account
) -> None:
    await create(client, alice, group="reports")
    finished = await create(client, alice, name="finished", group="reports")
    await make_finished(store, finished["schedule_id"])

    for action in ("pause", "resume"):
        answer = await post(client, alice, f"/schedule-groups/reports/{action}")
        assert answer.json() == {"schedules": 1}


# Preview


@pytest.mark.parametrize(
    ("body", "fires"),
    [
        (
            {"trigger": {"cron": "30 2 * * *"}, "starts_at": "2027-03-13T12:00:00Z", "count": 2},
            [
                ("2027-03-14T03:00:00-04:00", "gap: 02:30 does not exist"),
                ("2027-03-15T02:30:00-04:00", None),
            ],
        ),
        (
            {"trigger": {"daily": {"at": "01:30"}}, "starts_at": "2027-11-06T12:00:00Z", "count": 2},
            [("2027-11-07T01:30:00-04:00", "overlap: first of two"), ("2027-11-08T01:30:00-05:00", None)],
        ),
        (
            {
                "trigger": {"every": {"minutes": 90}, "fire_immediately": True},
                "starts_at": "2027-01-01T00:00:00Z",
                "duration_seconds": 7200,
            },
            [("2026-12-31T19:00:00-05:00", None), ("2026-12-31T20:30:00-05:00", None)],
        ),
    ],
    ids=str,
)
async def test_a_preview_shows_the_local_times_and_what_changes_of_clocks_do(
    client: httpx.AsyncClient,
    store: Database,
    alice: Account,
    body: dict[str, Any],
    fires: list[tuple[str, str | None]],
) -> None:
    answer = await post(client, alice, "/schedules/preview", {"timezone": "America/New_York", **body})

    assert answer.status_code == 200, answer.text
    TypeAdapter(Preview).validate_json(answer.content)
    found = answer.json()["fires"]
    assert [(one["local"], one["note"]) for one in found] == fires
    assert [instant(one["fire_at"]) for one in found] == [instant(local) for local, _ in fires]
    assert await rows.value(store, "SELECT count(*) FROM schedules") == 0


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ({"trigger": {"cron": "60 * * * *"}}, "bad_cron"),
        ({"trigger": {"hourly": {}}, "timezone": "posix/UTC"}, "unknown_timezone"),
        ({"trigger": {"hourly": {}}, "ends_at": "2020-01-01T00:00:00Z"}, "never_fires"),
        ({"trigger": {"once": {"at": "9999-12-31T23:59Z"}}, "timezone": "Asia/Tokyo"}, "never_fires"),
        ({"trigger": {"hourly": {}}, "count": 51}, "validation_error"),
        ({"trigger": {}}, "validation_error"),
    ],
    ids=str,
)
async def test_a_trigger_that_cannot_be_previewed_says_why(
    client: httpx.AsyncClient, alice: Account, body: dict[str, Any], error: str
) -> None:
    assert code(await post(client, alice, "/schedules/preview", body)) == (422, error)


# Other users


def routes_of_one_schedule(app: FastAPI) -> list[tuple[str, str]]:
    return [
        (method, route.path)
        for route in app.routes
        if isinstance(route, APIRoute) and "{schedule}" in route.path
        for method in sorted((route.methods or set()) - {"HEAD"})
    ]


async def test_the_schedule_of_another_user_does_not_exist_on_any_route(
    app: FastAPI, client: httpx.AsyncClient, store: Database, alice: Account, mallory: Account
) -> None:
    created = await create(client, alice, group="reports")
    before = await stored.read(store, UUID(created["schedule_id"]))
    asked = 0

    for method, path in routes_of_one_schedule(app):
        if method == "PUT":
            continue  # names one of the caller's
        for reference in (created["schedule_id"], created["name"]):
            body: Any = {} if method == "PATCH" else None
            answer = await client.request(
                method, path.format(schedule=reference), json=body, headers=mallory.headers
            )
            assert code(answer) == (404, "schedule_not_found"), (method, path)
            asked += 1

    assert asked >= 22
    assert await stored.read(store, UUID(created["schedule_id"])) == before
    assert await rows.value(store, "SELECT count(*) FROM jobs") == 0


async def test_an_operator_lists_reads_and_controls_the_schedules_of_all_users(
    app: FastAPI, client: httpx.AsyncClient, alice: Account, mallory: Account
) -> None:
    of_alice = await create(client, alice)
    await create(client, mallory, name="another")
    operator = await sign_in(app, "olga", Role.OPERATOR)

    async def names(**params: str) -> list[str]:
        answer = await client.get("/schedules", params=params, headers=operator.headers)
        return [one["name"] for one in answer.json()["items"]]

    assert await names() == []
    assert await names(owner="ALICE") == ["nightly scoring"]
    assert await names(owner="*") == ["another", "nightly scoring"]
    path = f"/schedules/{of_alice['schedule_id']}"
    assert (await read(client, operator, of_alice["schedule_id"]))["user_id"] == str(alice.id)
    assert schedule_of(await post(client, operator, f"{path}/pause"))["status"] == "paused"
    assert schedule_of(await patch(client, operator, of_alice["schedule_id"], {"group": "a"}))["group"] == "a"
    by_name = await client.get("/schedules/nightly scoring", headers=operator.headers)
    assert code(by_name) == (404, "schedule_not_found")  # a name means one of the caller's own
    for owner in ("*", "alice"):
        denied = await client.get("/schedules", params={"owner": owner}, headers=mallory.headers)
        assert code(denied) == (403, "forbidden")
