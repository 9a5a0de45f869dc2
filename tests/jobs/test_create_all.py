"""Creating many jobs in one statement gives the same rows as creating them one by one."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
import pytest

from app.core import ids
from app.core.database import Database
from app.core.files import StoredFile
from app.jobs import transitions
from app.jobs.states import HEAD_START, Priority
from app.jobs.transition_types import NewJob
from app.jobs.unit_of_work import UnitOfWork
from tests.support import invariants, jobs, rows

LATER = datetime(2100, 1, 1, tzinfo=UTC)
OWN = {"id", "sort_key", "run_at", "created_at"}
"""Columns that differ between two jobs of the same request."""


@pytest.fixture
async def owner_id(database: Database) -> UUID:
    return await jobs.user(database)


def new_job(owner_id: UUID, **more: Any) -> NewJob:
    values: dict[str, Any] = {
        "id": ids.new_id(),
        "owner_id": owner_id,
        "kind": jobs.KIND,
        "queue": "default",
        "priority": Priority.HIGH,
        "head_start": HEAD_START[Priority.HIGH],
        "params": msgspec.json.encode(jobs.PARAMS),
        "rows": b'["good", "bad"]',
        "total": 2,
        "metadata": {"team": "blue"},
        "max_attempts": 5,
        "soft_limit_seconds": 50,
        "time_limit_seconds": 60,
        "retention_seconds": 3600,
    }
    return NewJob(**(values | more))


async def create_all(database: Database, *new: NewJob) -> UnitOfWork:
    async with database.transaction() as connection:
        unit = UnitOfWork(connection)
        await transitions.create_all(unit, new)
    return unit


FILES = {"model": StoredFile("artifacts/1", 10, "ab" * 32)}


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"rows": None, "total": None, "upload_bytes": 7},
        {"files": FILES, "dataset_id": ids.new_id(), "model_version_id": ids.new_id()},
        {"run_at": LATER},
        {"delay": timedelta(hours=1)},
        {"trace_context": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"},
    ],
)
async def test_both_ways_store_the_same(database: Database, owner_id: UUID, more: dict[str, Any]) -> None:
    one, many = new_job(owner_id, **more), new_job(owner_id, **more)
    async with database.connection() as connection:
        await transitions.create(UnitOfWork(connection), one)
    await create_all(database, many)

    first, second = dict(await rows.job(database, one.id)), dict(await rows.job(database, many.id))
    assert {name for name in first if first[name] != second[name]} <= OWN
    for row in (first, second):
        assert row["run_at"] - row["sort_key"] == HEAD_START[Priority.HIGH]
    assert (second["run_at"] - second["created_at"]) == (first["run_at"] - first["created_at"]) or (
        first["run_at"] == second["run_at"] == LATER
    )
    payloads = [row["rows"] for row in await rows.fetch(database, "SELECT rows FROM job_payloads")]
    assert payloads == ([] if one.rows is None else [one.rows, many.rows])
    assert await rows.event_types(database, many.id) == ["created"]
    await invariants.all_hold(database)


async def test_many_jobs_are_published_each_with_its_event(database: Database, owner_id: UUID) -> None:
    new = [new_job(owner_id, metadata={"number": str(number)}) for number in range(20)]
    delayed = new_job(owner_id, run_at=LATER)

    unit = await create_all(database, *new, delayed)

    assert {result.job_id for result in unit.results} == {job.id for job in (*new, delayed)}
    assert all([event.seq for event in result.events] == [1] for result in unit.results)
    assert [result.job_id for result in unit.results if not result.is_due] == [delayed.id]
    stored = await rows.fetch(database, "SELECT metadata FROM jobs WHERE id <> $1 ORDER BY id", delayed.id)
    assert [row["metadata"] for row in stored] == [job.metadata for job in new]


async def test_the_schedule_and_the_tick_are_stored(database: Database, owner_id: UUID) -> None:
    schedule_id = ids.new_id()
    new = new_job(owner_id, schedule_id=schedule_id, fire_at=LATER)

    await create_all(database, new)

    row = await rows.job(database, new.id)
    assert (row["schedule_id"], row["fire_at"]) == (schedule_id, LATER)


async def test_no_jobs_are_no_error(database: Database) -> None:
    unit = await create_all(database)

    assert unit.results == ()
