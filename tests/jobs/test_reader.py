"""Jobs that are read at the same time share a statement, and each reader sees its own."""

import asyncio

import pytest

from app.core import background
from app.core.database import Database
from app.jobs.errors import JobNotFound, NotYourJob
from app.jobs.reader import JobReader
from app.jobs.states import Status
from tests.support import jobs, rows

AT_ONCE = 30


async def test_each_of_many_readers_gets_the_job_that_it_asked_for(database: Database) -> None:
    alice, mallory = await jobs.user(database), await jobs.user(database)
    own = [await jobs.create(database, alice, rows=number + 1) for number in range(AT_ONCE)]
    other = await jobs.create(database, mallory)
    gone = await jobs.create(database, alice)
    await rows.execute(database, "DELETE FROM jobs WHERE id = $1", gone)
    reader = JobReader(database)

    async with background.running(reader.run_forever()):
        found = await asyncio.gather(
            *(reader.read_own(alice, job_id) for job_id in (*own, *own, other, gone)), return_exceptions=True
        )
        of_anyone = await reader.read_own(None, other)

    assert [getattr(job, "id", None) for job in found[:-2]] == [*own, *own]
    assert [getattr(job, "total", None) for job in found[:AT_ONCE]] == [*range(1, AT_ONCE + 1)]
    assert [type(error) for error in found[-2:]] == [NotYourJob, JobNotFound]
    assert of_anyone.owner_id == mallory


async def test_readers_together_get_the_same_as_one_alone(database: Database) -> None:
    await jobs.create(database, rows=3)
    completed = await jobs.claim(database)
    await jobs.complete(database, completed)
    pending = await jobs.create(database)
    reader = JobReader(database)

    alone = [await reader.read_own(None, job_id) for job_id in (completed.id, pending)]
    async with background.running(reader.run_forever()):
        together = await asyncio.gather(
            *(reader.read_own(None, job_id) for _ in range(AT_ONCE) for job_id in (completed.id, pending))
        )

    assert alone[0].status is Status.COMPLETED
    assert alone[0].outputs is not None
    assert together == alone * AT_ONCE


async def test_a_reader_sees_what_was_committed_before_it_asked(database: Database) -> None:
    job_ids = [await jobs.create(database) for _ in range(AT_ONCE)]
    reader = JobReader(database)

    async def cancel_and_read(number: int) -> Status:
        await asyncio.sleep(number / 1000)  # so that many ask while others are being read
        await rows.execute(
            database, "UPDATE jobs SET metadata = $2 WHERE id = $1", job_ids[number], {"seen": "yes"}
        )
        job = await reader.read_own(None, job_ids[number])
        assert job.metadata == {"seen": "yes"}
        return job.status

    async with background.running(reader.run_forever()):
        statuses = await asyncio.gather(*(cancel_and_read(number) for number in range(AT_ONCE)))

    assert set(statuses) == {Status.PENDING}


async def test_an_error_of_one_reader_is_not_that_of_the_next(database: Database) -> None:
    job_id = await jobs.create(database)
    reader = JobReader(database)

    with pytest.raises(JobNotFound):
        await reader.read_own(None, await jobs.user(database))

    assert (await reader.read_own(None, job_id)).id == job_id
