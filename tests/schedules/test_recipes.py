"""The recipes of docs/schedules.md, and what becomes of a Celery beat file and of jobs of APScheduler."""

import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from app.core import ids
from app.core.config import Settings
from app.core.database import Database
from app.datasets import commands as datasets
from app.datasets.values import Column, Format
from app.models import commands as models
from app.quotas.service import StorageQuota
from tests.models import versions
from tests.schedules.recipes import json_blocks, recipe, table_rows
from tests.support import invariants, jobs, rows
from tests.support.accounts import Account
from tests.support.schedules import VirtualTime
from tests.support.waiting import until

MOVE = "Move from Celery beat or APScheduler"
START = datetime(2027, 1, 1, tzinfo=UTC)  # a Friday


@pytest.fixture
async def ready(
    client: httpx.AsyncClient, alice: Account, store: Database, settings: Settings
) -> httpx.AsyncClient:
    """A client of a user who has what the recipes name: two datasets, and a model of texts with an alias."""
    client.headers.update(alice.headers)
    await versions.of_texts(store, alice.id, "reviews")
    async with store.transaction() as connection:
        for name in ("reviews.csv", "new-reviews.csv"):
            await datasets.create(
                connection,
                ids.new_id(),
                alice.id,
                name=name,
                file_format=Format.CSV,
                content=versions.FILE,
                rows=versions.FILE,
                row_count=2,
                columns=[Column("text", "text"), Column("label", "text")],
                quota=StorageQuota.from_settings(settings),
            )
        await models.set_own_alias(connection, alice.id, "reviews", "prod", 1)
    return client


async def create(client: httpx.AsyncClient, body: dict[str, Any]) -> dict[str, Any]:
    answer = await client.post("/schedules", json=body)
    assert answer.status_code == 201, answer.text
    created: dict[str, Any] = answer.json()
    return created


async def ticks(
    client: httpx.AsyncClient, trigger: dict[str, Any], timezone: str, start: datetime = START
) -> list[str]:
    """The local times of the first two ticks from a time on."""
    body = {"trigger": trigger, "timezone": timezone, "starts_at": start.isoformat(), "count": 2}
    answer = await client.post("/schedules/preview", json=body)
    assert answer.status_code == 200, answer.text
    return [fire["local"] for fire in answer.json()["fires"]]


# Recipes


@pytest.mark.parametrize(
    ("title", "kind", "first"),
    [
        ("Score each night", "batch_predict", ["2027-01-01T02:30:00+01:00", "2027-01-02T02:30:00+01:00"]),
        ("Report on Monday", "evaluate_model", ["2027-01-04T08:00:00+01:00", "2027-01-11T08:00:00+01:00"]),
        ("Retrain and promote", "train_model", ["2027-01-03T03:00:00+01:00", "2027-01-10T03:00:00+01:00"]),
    ],
)
async def test_a_recipe_is_accepted_and_fires_at_its_times(
    ready: httpx.AsyncClient, title: str, kind: str, first: list[str]
) -> None:
    body = recipe(title)

    created = await create(ready, body)

    assert (created["status"], created["kind"], created["group"]) == ("active", kind, "reviews")
    assert created["job"] == body["job"]
    assert datetime.fromisoformat(created["next_fire_at"]) > datetime.now(UTC)
    assert await ticks(ready, body["trigger"], body["timezone"]) == first


async def test_a_reminder_comes_once(ready: httpx.AsyncClient, store: Database, settings: Settings) -> None:
    created = await create(ready, recipe("Look again later"))
    time = VirtualTime(settings, store)
    time.now = datetime.fromisoformat(created["created_at"])

    await time.fire(29)
    assert await jobs_of(ready, created) == []
    await time.fire(1)
    await time.fire(3600)

    [job] = await jobs_of(ready, created)
    assert datetime.fromisoformat(job["fire_at"]) == datetime.fromisoformat(
        created["created_at"]
    ) + timedelta(seconds=30)
    assert (await ready.get("/schedules/look again")).json()["status"] == "finished"


async def test_a_check_of_ten_minutes_runs_sixty_times(
    ready: httpx.AsyncClient, store: Database, settings: Settings
) -> None:
    created = await create(ready, recipe("Monitor for ten minutes"))
    created_at = datetime.fromisoformat(created["created_at"])
    worker_id = await jobs.worker(store, slots=2)
    time = VirtualTime(settings, store)
    time.now = created_at

    async def fire_one() -> bool:
        # The loop of the API fires too, once its own clock gets there: then the job is here a moment later.
        await time.fire()
        claimed = await jobs.claim_all(store, worker_id, limit=1)
        for job in claimed:
            await jobs.complete(store, job)
        return bool(claimed)

    for _ in range(60):
        time.now += timedelta(seconds=10)
        assert await until(fire_one)
    await time.fire(600)

    found = await rows.fetch(store, "SELECT fire_at FROM jobs ORDER BY fire_at")
    assert [row["fire_at"] - created_at for row in found] == [
        timedelta(seconds=10 * number) for number in range(1, 61)
    ]
    schedule = (await ready.get(f"/schedules/{created['schedule_id']}")).json()
    assert (schedule["status"], schedule["fired"], schedule["next_fire_at"]) == ("finished", 60, None)
    await invariants.all_hold(store)


async def jobs_of(client: httpx.AsyncClient, schedule: dict[str, Any]) -> list[dict[str, Any]]:
    answer = await client.get("/jobs", params={"schedule_id": schedule["schedule_id"]})
    found: list[dict[str, Any]] = answer.json()["items"]
    return found


# Celery beat and APScheduler

BEAT = {
    "30.0": ["2027-01-01T00:00:30Z", "2027-01-01T00:01:00Z"],
    "crontab(hour=0, minute=0)": ["2027-01-01T00:00:00Z", "2027-01-02T00:00:00Z"],
    "crontab(hour=8, minute=0, day_of_week=1)": ["2027-01-04T08:00:00Z", "2027-01-11T08:00:00Z"],
    'crontab(minute="*/15")': ["2027-01-01T00:00:00Z", "2027-01-01T00:15:00Z"],
    "crontab(minute=0)": ["2027-01-01T00:00:00Z", "2027-01-01T01:00:00Z"],
    "crontab(hour=0, minute=0, day_of_month=1)": ["2027-01-01T00:00:00Z", "2027-02-01T00:00:00Z"],
}
"""The times of a beat schedule from START on, worked out by hand."""


def code(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def table() -> list[list[str]]:
    return table_rows(MOVE, "Celery beat")


def test_the_table_has_all_forms_of_a_beat_file() -> None:
    assert [code(row[0])[0] for row in table()] == list(BEAT)


@pytest.mark.parametrize("row", table(), ids=lambda row: row[0])
async def test_a_beat_schedule_fires_at_the_same_times_by_both_apis(
    ready: httpx.AsyncClient, row: list[str]
) -> None:
    [beat], [trigger_text], [schedule_type, config_text] = code(row[0]), code(row[2]), code(row[3])
    trigger = json.loads(trigger_text)

    created = await create(
        ready,
        {"name": "ours", "trigger": trigger, "job": {"kind": "batch_predict", "texts": ["good"]}},
    )
    answer = await ready.post(
        "/scheduler/api/jobs",
        json={
            "func_name": "batch-predict",
            "job_name": "theirs",
            "schedule_type": schedule_type,
            "schedule_config": json.loads(config_text),
            "kwargs": {"texts": ["good"]},
        },
    )
    assert answer.status_code == 201, answer.text
    theirs = (await ready.get(f"/schedules/{answer.json()['job_id']}")).json()

    parsed = [datetime.fromisoformat(tick) for tick in await ticks(ready, trigger, "UTC")]
    assert parsed == [datetime.fromisoformat(tick) for tick in BEAT[beat]]
    assert (theirs["cron"], theirs["description"]) == (created["cron"], created["description"])
    if created["cron"] is None:
        assert theirs["trigger"] == trigger
    assert (theirs["name"], theirs["group"], theirs["kind"]) == ("theirs", "default", "batch_predict")


@pytest.mark.parametrize("number", [0, 1], ids=["celery beat", "apscheduler"])
async def test_a_file_is_applied_and_changes_nothing_the_second_time(
    ready: httpx.AsyncClient, number: int
) -> None:
    definitions = json_blocks(MOVE)[number]

    async def apply() -> list[httpx.Response]:
        return [await ready.put(f"/schedules/{one['name']}", json=one) for one in definitions]

    first, second = await apply(), await apply()

    assert {answer.status_code for answer in first} == {201}, [answer.text for answer in first]
    assert {answer.status_code for answer in second} == {200}
    assert [answer.json() for answer in second] == [answer.json() for answer in first]
    listed = (await ready.get("/schedules")).json()["items"]
    assert {one["name"] for one in listed} == {one["name"] for one in definitions}


async def test_the_jobs_of_apscheduler_fire_at_their_times(ready: httpx.AsyncClient) -> None:
    often, report = json_blocks(MOVE)[1]
    before_the_change = datetime(2027, 3, 12, 15, tzinfo=UTC)  # a Friday, in the United States

    assert await ticks(ready, report["trigger"], report["timezone"], before_the_change) == [
        "2027-03-15T09:00:00-04:00",
        "2027-03-16T09:00:00-04:00",
    ]
    assert often["trigger"] == {"every": {"seconds": 30}}
