"""Schedules are created, declared, fired, changed and deleted, by both clients."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar, get_args, get_type_hints

import pytest

from app.client import (
    AsyncHeadrace,
    BadRequest,
    Conflict,
    Invalid,
    NotFound,
    Schedule,
    Unavailable,
    schedules,
)
from app.schedules import schemas, states
from tests.client.conftest import Connect
from tests.client.running import Running
from tests.client.scripted import answer, answering
from tests.support.waiting import until

T = TypeVar("T")

NIGHTLY: dict[str, Any] = {"daily": {"at": "02:30"}}
TEMPLATE: dict[str, Any] = {"kind": "batch_predict", "texts": ["What a lovely day"]}


async def everything(found: AsyncIterator[T]) -> list[T]:
    return [one async for one in found]


async def test_a_schedule_submits_its_job(client: AsyncHeadrace) -> None:
    created = await client.create_schedule("soon", {"once": {"in_seconds": 1}}, TEMPLATE)

    async def has_fired() -> Schedule | None:
        found = await client.schedule("soon")
        return found if found.status == "finished" else None

    finished = await until(has_fired)
    [firing] = await everything(client.firings(created))
    [job] = await everything(client.jobs(schedule_id=created.id))

    assert (created.is_new, created.status, created.kind) == (True, "active", "batch_predict")
    assert finished is not None
    assert (finished.fired, finished.next_fire_at) == (1, None)
    assert finished.last_firing == firing
    assert (firing.outcome, firing.job_id, firing.reason) == ("fired", job.id, None)
    assert firing.fire_at == created.next_fire_at == job.fire_at
    assert job.schedule_id == created.id
    assert (await client.wait(job, timeout=30)).status == "completed"
    [listed] = await everything(client.schedules())
    assert (listed.id, list(listed.recent)) == (created.id, ["completed"])


async def test_a_declaration_creates_and_then_replaces(client: AsyncHeadrace) -> None:
    first = await client.put_schedule("nightly", NIGHTLY, TEMPLATE, timezone="Europe/Berlin", group="reports")
    same = await client.apply_schedule(
        {
            "name": "nightly",
            "trigger": NIGHTLY,
            "job": TEMPLATE,
            "timezone": "Europe/Berlin",
            "group": "reports",
        }
    )
    other = await client.put_schedule("nightly", {"hourly": {"minute": 5}}, TEMPLATE)

    assert (first.is_new, first.description, first.cron) == (True, "At 02:30 every day", "30 2 * * *")
    assert (same.is_new, same.revision) == (False, first.revision)
    assert (other.is_new, other.id, other.group) == (False, first.id, None)
    assert other.revision > first.revision
    with pytest.raises(ValueError, match="needs a name"):
        await client.apply_schedule({"trigger": NIGHTLY, "job": TEMPLATE})
    with pytest.raises(Conflict) as taken:
        await client.create_schedule("nightly", NIGHTLY, TEMPLATE)
    assert taken.value.code == "schedule_name_taken"


async def test_a_preview_computes_ticks_and_creates_nothing(client: AsyncHeadrace) -> None:
    preview = await client.preview_schedule(
        {"cron": "30 2 * * *"},
        count=2,
        timezone="America/New_York",
        starts_at=datetime(2027, 3, 14, tzinfo=UTC),
    )

    assert [tick.local.isoformat() for tick in preview.fires] == [
        "2027-03-14T03:00:00-04:00",
        "2027-03-15T02:30:00-04:00",
    ]
    assert preview.fires[0].fire_at == datetime(2027, 3, 14, 7, tzinfo=UTC)
    assert preview.fires[0].note is not None
    assert preview.fires[1].note is None
    assert await everything(client.schedules()) == []
    with pytest.raises(Invalid) as wrong:
        await client.preview_schedule({"cron": "60 * * * *"})
    assert wrong.value.code == "bad_cron"


async def test_times_of_a_trigger_may_be_datetimes(client: AsyncHeadrace) -> None:
    local = datetime(2100, 3, 1, 9)  # noqa: DTZ001  # read in the time zone of the schedule
    anchor = datetime(2100, 1, 1, tzinfo=UTC)

    once = await client.create_schedule("once", {"once": {"at": local}}, TEMPLATE, timezone="Asia/Tokyo")
    every = await client.create_schedule(
        "every", {"every": {"days": 1}, "anchor_at": anchor}, TEMPLATE, starts_at=anchor
    )

    assert once.next_fire_at == datetime(2100, 3, 1, tzinfo=UTC)
    assert every.next_fire_at == anchor + timedelta(days=1)
    assert every.starts_at == anchor


async def test_a_schedule_is_paused_resumed_changed_and_deleted(client: AsyncHeadrace) -> None:
    created = await client.create_schedule("nightly", NIGHTLY, TEMPLATE, enabled=False)
    resumed = await client.resume_schedule("nightly")
    paused = await client.pause_schedule(created)
    changed = await client.change_schedule(
        created, if_revision=paused.revision, trigger={"hourly": {"minute": 5}}, group="reports"
    )
    with pytest.raises(BadRequest) as outdated:
        await client.change_schedule("nightly", if_revision=paused.revision, group=None)
    renamed = await client.change_schedule("nightly", name="hourly", group=None)

    assert (created.status, resumed.status, paused.status) == ("paused", "active", "paused")
    assert (changed.cron, changed.group) == ("5 * * * *", "reports")
    assert (outdated.value.status, outdated.value.code) == (412, "revision_mismatch")
    assert (renamed.name, renamed.group, renamed.id) == ("hourly", None, created.id)
    await client.delete_schedule("hourly")
    with pytest.raises(NotFound):
        await client.schedule(created)
    with pytest.raises(NotFound):
        await client.delete_schedule(created)


async def test_a_schedule_runs_now(client: AsyncHeadrace) -> None:
    template = {**TEMPLATE, "queue": "nobody"}
    await client.create_schedule("nightly", NIGHTLY, template)

    job = await client.run_schedule("nightly")
    with pytest.raises(Conflict) as busy:
        await client.run_schedule("nightly")
    forced = await client.run_schedule("nightly", force=True)

    assert (job.status, job.queue) == ("pending", "nobody")
    assert busy.value.code == "schedule_busy"
    schedule = await client.schedule("nightly")
    assert set(schedule.active_job_ids) == {job.id, forced.id}
    assert [firing.outcome for firing in await everything(client.firings(schedule, page_size=1))] == [
        "manual",
        "manual",
    ]
    assert await everything(client.firings(schedule, outcome="missed")) == []
    await client.delete_schedule(schedule, cancel_jobs=True)
    assert [(await client.job(one)).status for one in (job, forced)] == ["cancelled", "cancelled"]


async def test_a_group_is_paused_resumed_run_and_deleted(client: AsyncHeadrace) -> None:
    for name in ("a", "b"):
        await client.create_schedule(name, NIGHTLY, {**TEMPLATE, "queue": "nobody"}, group="reports")
    await client.create_schedule("c", NIGHTLY, TEMPLATE)

    [group] = await client.schedule_groups()
    paused = await client.pause_schedule_group("reports")
    in_pause = [found.name for found in await everything(client.schedules(status="paused"))]
    resumed = await client.resume_schedule_group("reports")
    ran = await client.run_schedule_group("reports")
    deleted = await client.delete_schedule_group("reports", cancel_jobs=True)

    assert (group.name, group.schedules, group.active) == ("reports", 2, 2)
    assert (paused, resumed, ran, deleted) == (2, 2, 2, 2)
    assert sorted(in_pause) == ["a", "b"]
    assert [found.name for found in await everything(client.schedules())] == ["c"]
    assert {job.status for job in await everything(client.jobs())} == {"cancelled"}
    with pytest.raises(NotFound):
        await client.pause_schedule_group("reports")


async def test_names_are_quoted(client: AsyncHeadrace) -> None:
    name = "50 % größer? #1"

    await client.put_schedule(name, NIGHTLY, TEMPLATE, group=name)

    assert (await client.schedule(name)).name == name
    assert await client.pause_schedule_group(name) == 1
    assert await everything(client.firings(name)) == []
    await client.delete_schedule(name)


async def test_a_filter_leaves_schedules_out(client: AsyncHeadrace) -> None:
    training = {"kind": "train_model", "rows": [{"x": 1, "y": 2}, {"x": 2, "y": 3}], "target": "y"}
    await client.create_schedule("scoring", NIGHTLY, TEMPLATE, group="a")
    await client.create_schedule("training", NIGHTLY, training)

    async def names(**filters: Any) -> list[str]:
        return [found.name for found in await everything(client.schedules(page_size=1, **filters))]

    assert await names() == ["training", "scoring"]
    assert await names(kind="train_model") == ["training"]
    assert await names(group="a") == ["scoring"]
    assert await names(status="broken") == []


DOCUMENT = {"schedule_id": "1", "name": "nightly", "status": "active", "revision": 1}
LOST = answer(502, "<h1>Bad gateway</h1>")


async def test_all_attempts_to_create_have_one_key(connect: Connect) -> None:
    async with answering(LOST, answer(201, DOCUMENT)) as server:
        await connect(server.url, token="t").create_schedule("nightly", NIGHTLY, TEMPLATE)

    keys = {asked.headers["idempotency-key"] for asked in server.asked}
    assert (len(server.asked), len(keys)) == (2, 1)


async def test_a_deletion_whose_response_was_lost_is_no_error(connect: Connect) -> None:
    gone = answer(404, {"code": "schedule_not_found", "detail": "There is no such schedule."})

    async with answering(LOST, gone) as server:
        client = connect(server.url, token="t")
        await client.delete_schedule("nightly")
    async with answering(LOST, gone) as server:
        client = connect(server.url, token="t")
        assert await client.delete_schedule_group("reports") == 0


async def test_what_would_happen_twice_is_asked_for_once(connect: Connect) -> None:
    away = answer(503, {"code": "database_unavailable", "detail": "Away."})

    async with answering(away) as server:
        client = connect(server.url, token="t")
        for attempt in (
            lambda: client.run_schedule("nightly"),
            lambda: client.run_schedule_group("reports"),
            lambda: client.change_schedule("nightly", if_revision=1, group=None),
        ):
            with pytest.raises(Unavailable):
                await attempt()

    assert len(server.asked) == 3


def test_the_options_are_those_of_the_server() -> None:
    taken = set(schemas.ScheduleRequest.model_fields) - {"name", "trigger", "job"}

    assert set(get_type_hints(schedules.ScheduleOptions)) == taken
    assert set(get_type_hints(schedules.ScheduleChanges)) == set(schemas.ScheduleRequest.model_fields) - {
        "enabled"
    }
    hints = get_type_hints(schedules.ScheduleOptions)
    assert set(get_args(hints["catch_up"])) == set(states.CatchUp)
    assert set(get_args(hints["overlap"])) == set(states.Overlap)
    statuses = get_args(get_type_hints(schedules.ScheduleFilters)["status"])
    assert set(statuses) == set(states.ScheduleStatus)


async def test_a_schedule_of_another_user_is_unknown(
    client: AsyncHeadrace, connect: Connect, system: Running
) -> None:
    mallory = connect(system.url, **system.sign_up().credentials)
    created = await client.create_schedule("nightly", NIGHTLY, TEMPLATE)

    with pytest.raises(NotFound):
        await mallory.schedule(created)
    assert await everything(mallory.schedules()) == []
