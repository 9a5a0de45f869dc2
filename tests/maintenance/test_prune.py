"""Prune: what has served its time is removed, and nothing else."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pytest

from app.core.config import Settings
from app.core.database import Database
from app.core.storage import Storage, open_storage
from app.jobs.transition_types import ClaimedJob, Measurements, Report
from app.maintenance.prune import Prune
from tests.support import jobs, logs, rows, schedules, statistics


async def prune(database: Database, settings: Settings) -> None:
    await statistics.count_as_folded(database)
    async with database.transaction() as connection:
        delete_files = await Prune(settings, open_storage(settings.storage_url))(connection)
    await delete_files()


async def completed(database: Database) -> UUID:
    job = await jobs.running(database)
    await logs.write(database, logs.part(job, ["a line"]))
    await jobs.advance(database, jobs.report(job, count=3, is_final=True, checkpoint=b"so far"))
    await rows.execute(
        database,
        "INSERT INTO job_result_summaries SELECT id, attempt, done, '{}' FROM jobs WHERE id = $1",
        job.id,
    )
    return job.id


async def report_in_files(storage: Storage, job: ClaimedJob, *, is_final: bool = False) -> Report:
    """A batch in a part file, and a checkpoint in another."""
    part = await storage.put(f"jobs/{job.id}/{job.attempt}/part-0", jobs.output(0, 10))
    checkpoint = await storage.put(f"jobs/{job.id}/{job.attempt}/checkpoint-0", b"so far")
    report = jobs.report(job, is_final=is_final)
    [batch] = report.batches
    batches = (replace(batch, output=None, part_key=part.key),)
    return replace(report, batches=batches, checkpoint_file=checkpoint)


async def completed_in_files(database: Database, storage: Storage) -> UUID:
    job = await jobs.running(database, rows=10)
    await jobs.advance(database, await report_in_files(storage, job, is_final=True))
    return job.id


async def profiled(database: Database, storage: Storage) -> UUID:
    job = await jobs.running(database)
    profile = await storage.put(f"jobs/{job.id}/{job.attempt}/profile", b"{}")
    measurements = Measurements(profile_key=profile.key)
    await jobs.advance(database, jobs.report(job, count=3, is_final=True, measurements=measurements))
    return job.id


async def age(database: Database, job_id: UUID, *, finished: str, expired: str) -> None:
    """Make a finished job look old. The guard does not let anybody change one: for this moment it is off."""
    async with database.transaction() as connection:
        await connection.execute("ALTER TABLE jobs DISABLE TRIGGER jobs_guard")
        await connection.execute(
            f"""UPDATE jobs SET finished_at = now() - interval '{finished}',
                expires_at = now() - interval '{expired}' WHERE id = $1""",
            job_id,
        )
        await connection.execute("ALTER TABLE jobs ENABLE TRIGGER jobs_guard")


async def left_of(database: Database, job_id: UUID) -> set[str]:
    """Which tables still know something of a job."""
    known = {
        table
        for table in EVERYTHING - {"jobs"}
        if await rows.value(database, f"SELECT count(*) FROM {table} WHERE job_id = $1", job_id)
    }
    is_there = await rows.value(database, "SELECT 1 FROM jobs WHERE id = $1", job_id)
    return known | ({"jobs"} if is_there else set())


EVERYTHING = {
    "jobs",
    "job_payloads",
    "job_batches",
    "job_checkpoints",
    "job_events",
    "job_attempts",
    "job_logs",
    "job_result_summaries",
}


async def test_expired_results_go_and_the_job_with_its_events_stays(
    database: Database, settings: Settings
) -> None:
    expired, kept = await completed(database), await completed(database)
    await age(database, expired, finished="2 hours", expired="1 second")

    await prune(database, settings)

    assert await left_of(database, expired) == {"jobs", "job_events", "job_attempts"}
    assert (await rows.job(database, expired))["pruned_at"] is not None
    assert await left_of(database, kept) == EVERYTHING
    assert (await rows.job(database, kept))["pruned_at"] is None


async def test_an_old_job_goes_with_all_that_hangs_on_it(database: Database, settings: Settings) -> None:
    old, kept = await completed(database), await completed(database)
    await age(database, old, finished="31 days", expired="30 days")
    await age(database, kept, finished="29 days", expired="28 days")

    await prune(database, settings)

    assert await left_of(database, old) == set()
    assert "jobs" in await left_of(database, kept)


async def test_an_old_job_whose_results_are_still_kept_stays(database: Database, settings: Settings) -> None:
    job_id = await completed(database)
    await age(database, job_id, finished="31 days", expired="-1 day")

    await prune(database, settings)

    assert await left_of(database, job_id) == EVERYTHING


async def sharded(database: Database, *, shards: int = 2, is_whole: bool = True) -> tuple[UUID, list[UUID]]:
    """A job with shards that have completed, and its shards; unless `is_whole`, it still runs."""
    parent_id = await jobs.sharded(database, shards=shards)
    for job in await jobs.claim_all(database, await jobs.worker(database)):
        await jobs.complete(database, job)
    if is_whole:
        await jobs.roll_up(database, parent_id)
    return parent_id, [shard["id"] for shard in await rows.shards(database, parent_id)]


async def test_a_shard_does_not_expire_before_its_job(database: Database, settings: Settings) -> None:
    parent_id, shards = await sharded(database, is_whole=False)
    for shard_id in shards:
        await age(database, shard_id, finished="40 days", expired="39 days")

    await prune(database, settings)
    assert all(["job_batches" in await left_of(database, shard_id) for shard_id in shards])
    await jobs.roll_up(database, parent_id)
    await prune(database, settings)
    assert all(["job_batches" in await left_of(database, shard_id) for shard_id in shards])
    await age(database, parent_id, finished="2 hours", expired="1 second")
    await prune(database, settings)

    assert (await rows.job(database, parent_id))["pruned_at"] is not None
    for shard_id in shards:
        assert await left_of(database, shard_id) == {"jobs", "job_events", "job_attempts"}
    assert await jobs.retry(database, parent_id) is None
    await age(database, parent_id, finished="31 days", expired="30 days")
    await prune(database, settings)
    for job_id in (parent_id, *shards):
        assert await left_of(database, job_id) == set()


async def test_a_round_counts_shards_and_takes_one_job_at_least(
    database: Database, settings: Settings
) -> None:
    parents = [(await sharded(database, shards=3))[0] for _ in range(3)]
    for days, parent_id in enumerate(parents):
        await age(database, parent_id, finished=f"{9 - days} days", expired=f"{8 - days} days")
    pruned = "SELECT id FROM jobs WHERE shards IS NOT NULL AND pruned_at IS NOT NULL ORDER BY id"

    found = []
    for limit in (2, 7, 8):
        async with database.transaction() as connection:
            at_once = Prune(settings, open_storage(settings.storage_url), jobs_at_once=limit)
            await at_once(connection)
        found.append([row["id"] for row in await rows.fetch(database, pruned)])

    assert found == [parents[:1], parents[:2], parents]


@pytest.mark.parametrize("status", ["pending", "running"])
async def test_a_job_that_has_not_ended_is_never_pruned(
    database: Database, settings: Settings, status: str
) -> None:
    job_id = await jobs.create(database)
    if status == "running":
        await jobs.commit(database, await jobs.claim(database))
    await rows.execute(database, "UPDATE jobs SET created_at = now() - interval '1 year'")
    before = await left_of(database, job_id)

    await prune(database, settings)

    assert await left_of(database, job_id) == before
    assert (await rows.job(database, job_id))["pruned_at"] is None


async def test_a_key_is_let_go_after_a_day(database: Database, settings: Settings) -> None:
    old = await jobs.create(database, idempotency_key="old")
    new = await jobs.create(database, idempotency_key="new")
    await rows.execute(
        database, "UPDATE jobs SET created_at = now() - interval '25 hours' WHERE id = $1", old
    )

    await prune(database, settings)

    assert (await rows.job(database, old))["idempotency_key"] is None
    assert (await rows.job(database, new))["idempotency_key"] == "new"


async def test_a_key_of_a_finished_job_is_let_go_too(database: Database, settings: Settings) -> None:
    job_id = await jobs.create(database, idempotency_key="done")
    await rows.execute(database, "UPDATE jobs SET created_at = now() - interval '25 hours'")
    await jobs.complete(database, await jobs.claim(database))

    await prune(database, settings)

    assert (await rows.job(database, job_id))["idempotency_key"] is None


async def test_a_worker_is_forgotten_when_it_is_long_gone_and_holds_nothing(
    database: Database, settings: Settings
) -> None:
    gone, holding, alive = [await jobs.worker(database) for _ in range(3)]
    await jobs.create(database)
    await jobs.claim(database, holding)
    for worker_id in (gone, holding):
        await jobs.expire_lease(database, worker_id, unseen=timedelta(hours=1))

    await prune(database, settings)

    known = {row["id"] for row in await rows.fetch(database, "SELECT id FROM workers")}
    assert known == {holding, alive}


async def test_a_dead_letter_keeps_what_it_needs_to_be_tried_again_until_it_is_dismissed(
    database: Database, settings: Settings
) -> None:
    job = await jobs.running(database)
    await jobs.commit(database, job)
    await jobs.fail(database, job, is_retryable=False)
    await age(database, job.id, finished="2 days", expired="1 day")

    await prune(database, settings)
    assert "job_payloads" in await left_of(database, job.id)

    await rows.execute(database, "UPDATE jobs SET dismissed_at = now()")
    await prune(database, settings)
    assert "job_payloads" not in await left_of(database, job.id)


async def test_a_group_is_gone_with_the_last_of_its_jobs_and_its_key_after_a_day(
    database: Database, settings: Settings
) -> None:
    owner_id = await jobs.user(database)
    for name, age_of_it in (("empty", "25 hours"), ("full", "25 hours"), ("new", "1 hour")):
        await rows.execute(
            database,
            f"""INSERT INTO job_groups (id, owner_id, idempotency_key, created_at)
            VALUES (uuidv7(), $1, $2, now() - interval '{age_of_it}')""",
            owner_id,
            name,
        )
    await jobs.create(database, owner_id)
    await rows.execute(
        database, "UPDATE jobs SET group_id = (SELECT id FROM job_groups WHERE idempotency_key = 'full')"
    )

    await prune(database, settings)

    keys = await rows.fetch(database, "SELECT idempotency_key AS key FROM job_groups ORDER BY created_at")
    assert [row["key"] for row in keys] == [None, "new"]


@pytest.mark.parametrize("finished", ["2 hours", "31 days"])
async def test_the_files_of_an_expired_job_go_with_its_results_and_those_of_others_stay(
    database: Database, settings: Settings, finished: str
) -> None:
    storage = open_storage(settings.storage_url)
    expired, kept = await completed_in_files(database, storage), await completed_in_files(database, storage)
    await storage.put(f"jobs/{expired}/1/part-of-an-attempt-that-was-lost", b"")
    await age(database, expired, finished=finished, expired="1 second")

    await prune(database, settings)

    found = [stored.key async for stored in storage.list("jobs")]
    assert sorted(found) == sorted(f"jobs/{kept}/1/{name}" for name in ("part-0", "checkpoint-0"))


@pytest.mark.parametrize("finished", ["2 hours", "31 days"])
async def test_a_profile_goes_with_the_results(database: Database, settings: Settings, finished: str) -> None:
    """It may be the only file of its job."""
    storage = open_storage(settings.storage_url)
    expired, kept = await profiled(database, storage), await profiled(database, storage)
    await age(database, expired, finished=finished, expired="1 second")

    await prune(database, settings)

    assert [stored.key async for stored in storage.list("jobs")] == [f"jobs/{kept}/1/profile"]
    shown = await rows.fetch(database, "SELECT job_id FROM job_attempts WHERE profile_key IS NOT NULL")
    assert [row["job_id"] for row in shown] == [kept]


async def test_a_dead_letter_that_goes_for_its_age_takes_its_profile_along(
    database: Database, settings: Settings
) -> None:
    """Its results were kept until now, because it might have been retried."""
    storage = open_storage(settings.storage_url)
    job = await jobs.running(database)
    profile = await storage.put(f"jobs/{job.id}/{job.attempt}/profile", b"{}")
    await jobs.fail(database, job, is_retryable=False)
    await rows.execute(
        database, "UPDATE job_attempts SET profile_key = $2 WHERE job_id = $1", job.id, profile.key
    )
    await age(database, job.id, finished="31 days", expired="30 days")

    await prune(database, settings)

    assert [stored.key async for stored in storage.list("jobs")] == []


async def test_a_dead_letter_that_goes_for_its_age_takes_its_files_along(
    database: Database, settings: Settings
) -> None:
    storage = open_storage(settings.storage_url)
    job = await jobs.running(database)
    await jobs.advance(database, await report_in_files(storage, job))
    await jobs.fail(database, job, is_retryable=False)
    await age(database, job.id, finished="31 days", expired="30 days")

    await prune(database, settings)

    assert await left_of(database, job.id) == set()
    assert [stored.key async for stored in storage.list("jobs")] == []


async def test_files_that_cannot_be_deleted_keep_nothing_else(
    database: Database, settings: Settings, tmp_path: Path
) -> None:
    storage = open_storage(settings.storage_url)
    expired = await completed_in_files(database, storage)
    await age(database, expired, finished="2 hours", expired="1 second")
    folder = tmp_path / "storage"
    folder.rename(tmp_path / "elsewhere")
    folder.write_text("a file where the folder was")

    await prune(database, settings)

    assert await left_of(database, expired) == {"jobs", "job_events", "job_attempts"}


async def test_old_firings_go_and_ticks_that_wait_stay(database: Database, settings: Settings) -> None:
    schedule = await schedules.add(database, await jobs.user(database))
    for minute, (outcome, age_of_it) in enumerate(
        [("fired", "31 days"), ("waiting", "31 days"), ("fired", "29 days")]
    ):
        await rows.execute(
            database,
            f"""INSERT INTO schedule_firings (schedule_id, fire_at, outcome, at)
            VALUES ($1, $2, $3, now() - interval '{age_of_it}')""",
            schedule.id,
            schedules.NOON + timedelta(minutes=minute),
            outcome,
        )

    await prune(database, settings)

    left = [outcome for _, outcome in await schedules.outcomes(database, schedule.id)]
    assert left == ["waiting", "fired"]


async def test_the_key_of_a_schedule_is_let_go_after_a_day(database: Database, settings: Settings) -> None:
    owner_id = await jobs.user(database)
    for name, age_of_it in (("old", "25 hours"), ("new", "1 hour")):
        await schedules.add(database, owner_id, name=name)
        await rows.execute(
            database,
            f"""UPDATE schedules SET idempotency_key = $1, created_at = now() - interval '{age_of_it}'
            WHERE name = $1""",
            name,
        )

    await prune(database, settings)

    keys = await rows.fetch(database, "SELECT idempotency_key FROM schedules ORDER BY name DESC")
    assert [row["idempotency_key"] for row in keys] == [None, "new"]
