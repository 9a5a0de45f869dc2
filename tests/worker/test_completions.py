"""What a job has made is there with the job's end, or not at all."""

from dataclasses import replace
from typing import Any

import asyncpg
import pytest

from app.core import background, ids
from app.core.database import Database
from app.core.files import StoredFile
from app.core.resources import Resources
from app.jobs.transition_types import ClaimedJob
from app.models import commands
from app.models.errors import NameReserved
from app.quotas.errors import QuotaExceeded
from app.quotas.service import StorageQuota
from tests.support import invariants, jobs, rows
from worker.report_writer import Fenced, ReportWriter, Unstorable

GIBIBYTE = 1024**3
FILE = StoredFile("artifacts/a/1/model", 5, "00")


async def running(database: Database) -> ClaimedJob:
    """A job of which nothing is missing but its end."""
    job = await jobs.running(database, rows=10)
    await jobs.commit(database, job)
    return job


class Registering:
    """A completion that registers a model, named so."""

    def __init__(self, job: ClaimedJob, name: str = "flowers", file: StoredFile = FILE) -> None:
        self._job = job
        self._name = name
        self._file = file

    async def __call__(self, connection: asyncpg.Connection, result: dict[str, Any]) -> dict[str, Any]:
        version = await commands.register(
            connection, owner_id=self._job.owner_id, name=self._name, runtime="sklearn", file=self._file
        )
        return {**result, "model": version.reference}


async def models(database: Database) -> list[str]:
    found = await rows.fetch(
        database,
        """SELECT m.name || '@' || v.version AS reference
        FROM models m LEFT JOIN model_versions v ON v.model_id = m.id""",
    )
    return [row["reference"] for row in found]


async def test_the_end_and_what_belongs_to_it_are_there_together(
    database: Database, report_writer: ReportWriter
) -> None:
    job = await running(database)

    await report_writer.advance(jobs.report(job, first=1, count=0, is_final=True), Registering(job))

    stored = await rows.job(database, job.id)
    assert (stored["status"], stored["result"]) == ("completed", {**jobs.RESULT, "model": "flowers@1"})
    assert await models(database) == ["flowers@1"]
    await invariants.all_hold(database)


async def test_an_attempt_that_is_over_registers_nothing(
    database: Database, report_writer: ReportWriter
) -> None:
    job = await running(database)
    await jobs.release(database, job)

    with pytest.raises(Fenced):
        await report_writer.advance(jobs.report(job, first=1, count=0, is_final=True), Registering(job))

    assert await models(database) == []


async def test_a_job_whose_cancel_was_asked_for_registers_nothing(
    database: Database, report_writer: ReportWriter
) -> None:
    job = await running(database)
    await jobs.cancel(database, job.id)

    await report_writer.advance(jobs.report(job, first=1, count=0, is_final=True), Registering(job))

    assert (await rows.job(database, job.id))["status"] == "cancelled"
    assert await models(database) == []
    await invariants.all_hold(database)


async def test_a_completion_that_is_refused_leaves_the_job_running_and_says_why(
    database: Database, report_writer: ReportWriter
) -> None:
    job = await running(database)

    with pytest.raises(NameReserved):
        await report_writer.advance(
            jobs.report(job, first=1, count=0, is_final=True), Registering(job, name="sentiment")
        )

    assert (await rows.job(database, job.id))["status"] == "running"


async def test_a_completion_that_breaks_takes_nobody_with_it(
    database: Database, report_writer: ReportWriter
) -> None:
    broken, fine = await running(database), await running(database)

    async def breaks(_connection: asyncpg.Connection, result: dict[str, Any]) -> dict[str, Any]:
        return {"missing": result["nothing of that name"]}

    with pytest.raises(Unstorable):
        await report_writer.advance(jobs.report(broken, first=1, count=0, is_final=True), breaks)
    await report_writer.advance(jobs.report(fine, first=1, count=0, is_final=True))

    assert (await rows.job(database, broken.id))["status"] == "running"
    assert (await rows.job(database, fine.id))["status"] == "completed"


async def test_a_completion_is_held_to_the_quota_however_far_below_it_was(resources: Resources) -> None:
    database = resources.database
    job = await running(database)
    quota = StorageQuota(4 * GIBIBYTE)
    async with database.connection() as connection:
        await quota.bytes_left(connection, job.owner_id)
    assert quota.is_far_below(job.owner_id)
    final = replace(jobs.report(job, first=1, count=0, is_final=True), owner_id=job.owner_id)
    writer = ReportWriter(database, resources.hints, ids.new_id(), quota)

    async with background.running(writer.write_forever()):
        with pytest.raises(QuotaExceeded):
            await writer.advance(final, Registering(job, file=StoredFile("artifacts/a", 5 * GIBIBYTE, "00")))

    assert await models(database) == []
