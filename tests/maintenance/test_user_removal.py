"""What belonged to a deleted user is removed, a part at a time, and nothing else."""

from uuid import UUID

import pytest

from app.audit.values import COMMAND_LINE
from app.auth.users import commands
from app.core.config import Settings
from app.core.database import Database
from app.core.resources import Resources
from app.core.storage import open_storage
from app.datasets import storage_keys as dataset_keys
from app.jobs.states import Status
from app.maintenance.user_removal import UserRemoval
from app.models.versions import Visibility
from app.schedules import commands as schedule_commands
from tests.models import versions
from tests.support import jobs, rows, schedules, statistics


@pytest.fixture
async def ada(database: Database) -> UUID:
    return await jobs.user(database, "ada")


@pytest.fixture
async def bob(database: Database) -> UUID:
    return await jobs.user(database, "bob")


async def close(database: Database, user_id: UUID) -> None:
    """Delete a user, so long ago that no request from before is still running."""
    async with database.transaction() as connection:
        await commands.close(connection, user_id, by=COMMAND_LINE)
    await rows.execute(
        database, "UPDATE users SET deleted_at = now() - interval '2 minutes' WHERE deleted_at IS NOT NULL"
    )


async def one_round(resources: Resources, *, jobs_at_once: int = 100) -> None:
    await statistics.count_as_folded(resources.database)
    removal = UserRemoval(resources.storage, resources.hints, jobs_at_once=jobs_at_once)
    async with resources.database.transaction() as connection:
        after_commit = await removal(connection)
    await after_commit()


async def exists(database: Database, user_id: UUID) -> bool:
    return bool(await rows.value(database, "SELECT count(*) FROM users WHERE id = $1", user_id))


async def add_dataset(resources: Resources, owner_id: UUID) -> UUID:
    """A dataset whose files are in storage."""
    dataset_id: UUID = await rows.value(
        resources.database,
        """INSERT INTO datasets (id, owner_id, name, format, bytes, sha256, rows, columns, rows_bytes,
            rows_sha256)
        VALUES (gen_random_uuid(), $1, 'a', 'csv', 1, '0', 1, '[]', 1, '0') RETURNING id""",
        owner_id,
    )
    for key in (dataset_keys.content_key(dataset_id), dataset_keys.rows_key(dataset_id)):
        await resources.storage.put(key, b"x")
    return dataset_id


async def files(settings: Settings) -> list[str]:
    storage = open_storage(settings.storage_url)
    prefixes = ("datasets", "artifacts", "jobs")
    return [found.key for prefix in prefixes async for found in storage.list(prefix)]


async def test_everything_of_a_deleted_user_goes_and_nothing_of_another(
    resources: Resources, database: Database, settings: Settings, ada: UUID, bob: UUID
) -> None:
    for owner in (ada, bob):
        done = await jobs.running(database, owner, queue=str(owner))
        await resources.storage.put(f"jobs/{done.id}/1/part-0", b"x")
        await jobs.complete(database, done)
        await rows.execute(
            database, "UPDATE job_batches SET part_key = 'x', output = NULL WHERE job_id = $1", done.id
        )
        await jobs.create(database, owner, queue=str(owner))
        await add_dataset(resources, owner)
        stored = await versions.stored(resources.storage, b"model")
        await versions.register(database, owner, file=stored)
        await rows.execute(database, "INSERT INTO job_groups (id, owner_id) VALUES ($1, $1)", owner)
        await schedules.add(database, owner)
    files_of_both = await files(settings)
    await close(database, ada)

    for _ in range(2):  # cancels first, and then removes
        await one_round(resources)

    assert not await exists(database, ada)
    for table in ("jobs", "job_groups", "datasets", "models", "stored_bytes", "job_events"):
        owners = await rows.fetch(database, f"SELECT DISTINCT owner_id FROM {table}")
        assert [row["owner_id"] for row in owners] == [bob], table
    left = await files(settings)
    assert len(files_of_both) == 2 * len(left) == 8


async def test_a_running_job_is_cancelled_and_its_inputs_stay_until_it_has_ended(
    resources: Resources, database: Database, ada: UUID
) -> None:
    running = await jobs.running(database, ada)
    await add_dataset(resources, ada)
    await close(database, ada)

    await one_round(resources)
    job = await jobs.read(database, running.id)
    assert (job.status, job.cancel_requested_at is not None) == (Status.RUNNING, True)
    assert await rows.value(database, "SELECT count(*) FROM datasets") == 1

    await jobs.stop(database, running)
    await one_round(resources)
    assert await rows.value(database, "SELECT count(*) FROM datasets") == 0
    assert not await exists(database, ada)


async def test_the_schedules_of_a_deleted_user_go_first(
    resources: Resources, database: Database, ada: UUID, bob: UUID
) -> None:
    await jobs.running(database, ada)
    await schedules.add(database, ada)
    kept = await schedules.add(database, bob)
    await close(database, ada)

    await one_round(resources)

    assert [row["id"] for row in await rows.fetch(database, "SELECT id FROM schedules")] == [kept.id]
    assert await exists(database, ada)


async def test_a_round_removes_a_bounded_number_of_firings(database: Database, ada: UUID) -> None:
    for _ in range(2):
        schedule = await schedules.add(database, ada)
        await rows.execute(
            database,
            "INSERT INTO schedule_firings (schedule_id, fire_at, outcome)"
            " SELECT $1, now() + make_interval(mins => n), 'fired' FROM generate_series(1, 5) n",
            schedule.id,
        )

    left = []
    is_done = False
    while not is_done:
        async with database.transaction() as connection:
            is_done = await schedule_commands.delete_of_owner(connection, ada, limit=4)
        left.append(await rows.value(database, "SELECT count(*) FROM schedule_firings"))

    assert left == [6, 3, 0, 0]
    assert await rows.value(database, "SELECT count(*) FROM schedules") == 0


async def test_a_model_that_a_job_of_another_user_needs_goes_when_the_job_has_ended(
    resources: Resources, database: Database, ada: UUID, bob: UUID
) -> None:
    model = await versions.of_texts(database, ada)
    await rows.execute(database, "UPDATE models SET visibility = $1", Visibility.PUBLIC.value)
    foreign = await jobs.running(database, bob)
    await rows.execute(database, "UPDATE jobs SET model_version_id = $2 WHERE id = $1", foreign.id, model.id)
    await close(database, ada)

    await one_round(resources)
    assert await rows.value(database, "SELECT count(*) FROM models") == 1
    assert await exists(database, ada)

    await jobs.complete(database, foreign)
    await one_round(resources)
    assert await rows.value(database, "SELECT count(*) FROM models") == 0
    assert not await exists(database, ada)


async def test_a_round_removes_a_bounded_number_of_jobs(
    resources: Resources, database: Database, ada: UUID
) -> None:
    for _ in range(5):
        await jobs.create(database, ada)
    await close(database, ada)

    await one_round(resources, jobs_at_once=2)
    left = await rows.value(database, "SELECT count(*) FROM jobs")
    for _ in range(3):
        await one_round(resources, jobs_at_once=2)

    assert left == 3
    assert not await exists(database, ada)


async def test_a_user_who_was_deleted_just_now_stays_for_a_minute(
    resources: Resources, database: Database, ada: UUID
) -> None:
    """A request that began before may still be about to insert something."""
    async with database.transaction() as connection:
        await commands.close(connection, ada, by=COMMAND_LINE)

    await one_round(resources)

    assert await exists(database, ada)


async def test_a_disabled_user_keeps_everything(resources: Resources, database: Database, ada: UUID) -> None:
    await jobs.create(database, ada)
    async with database.transaction() as connection:
        await commands.change(connection, ada, is_active=False, by=COMMAND_LINE)

    await one_round(resources)

    assert await rows.value(database, "SELECT count(*) FROM jobs WHERE status = 'pending'") == 1
