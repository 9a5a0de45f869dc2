"""Sweep: files that nothing refers to are deleted, in time, and no others."""

import os
import time
from datetime import timedelta
from uuid import UUID, uuid4

import pytest

from app.core.config import Settings
from app.core.database import Database
from app.core.durable_files import INCOMING
from app.core.metrics import LOOP_LAST_SUCCESS
from app.core.resources import Resources
from app.core.storage import Storage, open_storage
from app.jobs.transition_types import Measurements
from app.maintenance import sweep as sweeping
from app.maintenance.sweep import Sweep, SweepLoop
from tests.support import jobs, rows
from tests.support.waiting import until

LONG_AGO = timedelta(hours=25)


async def sweep(database: Database, storage: Storage, *, page_size: int = sweeping.PAGE) -> None:
    async with database.connection() as connection:
        await Sweep(storage, page_size=page_size)(connection)


async def put(storage: Storage, key: str, *, age: timedelta = LONG_AGO) -> str:
    """A file that was stored so long ago."""
    await storage.put(key, b"content")
    path = storage.local_path(key)
    assert path is not None
    moment = time.time() - age.total_seconds()
    os.utime(path, (moment, moment))
    return key


async def keys(storage: Storage) -> set[str]:
    prefixes = ("datasets", "artifacts", "jobs", INCOMING, "others")
    return {found.key for prefix in prefixes async for found in storage.list(prefix)}


@pytest.fixture
def storage(resources: Resources) -> Storage:
    return resources.storage


async def a_dataset(database: Database) -> UUID:
    dataset_id = uuid4()
    await rows.execute(
        database,
        """INSERT INTO datasets
            (id, owner_id, name, format, bytes, sha256, rows, columns, rows_bytes, rows_sha256)
        VALUES ($1, $2, 'a dataset', 'csv', 1, '', 1, '[]', 1, '')""",
        dataset_id,
        await jobs.user(database),
    )
    return dataset_id


async def an_artifact(database: Database, key: str) -> None:
    model_id = uuid4()
    await rows.execute(
        database,
        "INSERT INTO models (id, owner_id, name) VALUES ($1, $2, 'a model')",
        model_id,
        await jobs.user(database),
    )
    await rows.execute(
        database,
        """INSERT INTO model_versions (id, model_id, version, runtime, artifact_key, bytes, sha256)
        VALUES ($1, $2, 1, 'onnx', $3, 1, '')""",
        uuid4(),
        model_id,
        key,
    )


async def test_what_somebody_refers_to_stays_and_the_rest_goes(database: Database, storage: Storage) -> None:
    dataset_id = await a_dataset(database)
    profiled = await jobs.running(database)
    profile = await put(storage, f"jobs/{profiled.id}/1/profile")
    await jobs.release(database, profiled, measurements=Measurements(profile_key=profile))
    job = await jobs.claim(database)
    await jobs.commit(database, job)
    kept = {
        await put(storage, f"datasets/{dataset_id}/content"),
        await put(storage, f"datasets/{dataset_id}/rows.parquet"),
        await put(storage, f"jobs/{job.id}/1/part-0"),
        await put(storage, f"jobs/{job.id}/1/checkpoint"),
        await put(storage, "artifacts/model"),
        profile,
    }
    await an_artifact(database, "artifacts/model")
    await rows.execute(
        database,
        "UPDATE job_batches SET output = NULL, part_key = $2 WHERE job_id = $1 AND index = 0",
        job.id,
        f"jobs/{job.id}/1/part-0",
    )
    await rows.execute(
        database,
        "INSERT INTO job_checkpoints (job_id, next_batch, file) VALUES ($1, 1, $2)",
        job.id,
        {"key": f"jobs/{job.id}/1/checkpoint", "bytes": 7, "sha256": ""},
    )
    for key in (
        f"datasets/{uuid4()}/content",
        "artifacts/lost",
        f"jobs/{job.id}/1/part-1",
        f"jobs/{uuid4()}/1/part-0",
        f"{INCOMING}/{uuid4().hex}",
    ):
        await put(storage, key)

    await sweep(database, storage)

    assert await keys(storage) == kept


async def test_what_is_young_or_not_named_by_us_is_left_alone(database: Database, storage: Storage) -> None:
    kept = {
        await put(storage, f"datasets/{uuid4()}/content", age=timedelta(hours=23)),
        await put(storage, f"{INCOMING}/{uuid4().hex}", age=timedelta(hours=1)),
        await put(storage, "datasets/readme.txt"),
        await put(storage, "others/file"),
    }

    await sweep(database, storage)

    assert await keys(storage) == kept


async def test_there_may_be_more_than_a_page(database: Database, storage: Storage) -> None:
    for _ in range(10):
        await put(storage, f"jobs/{uuid4()}/1/part-0")

    await sweep(database, storage, page_size=3)

    assert await keys(storage) == set()


async def test_storage_of_another_database_is_not_touched(
    database: Database, storage: Storage, capsys: pytest.CaptureFixture[str]
) -> None:
    lost = await put(storage, f"datasets/{uuid4()}/content")
    await storage.put(sweeping.OWNER_KEY, b"another")

    await sweep(database, storage)

    assert await keys(storage) == {lost}
    assert "storage_of_another_database" in capsys.readouterr().out


async def test_the_loop_sweeps_outside_of_any_transaction(
    database: Database, storage: Storage, settings: Settings
) -> None:
    await put(storage, f"datasets/{uuid4()}/content")
    loop = SweepLoop("swept", 0.01, database, Sweep(storage), database_url=settings.database_url)

    await loop._do_once()

    assert await keys(storage) == set()
    assert loop.is_healthy
    assert LOOP_LAST_SUCCESS.labels("swept")._value.get() > 0


async def test_storage_that_is_away_is_tried_again_later(database: Database, settings: Settings) -> None:
    away = open_storage("file:///dev/null/storage")
    loop = SweepLoop("unswept", 0.01, database, Sweep(away), database_url=settings.database_url)

    async def is_failing() -> bool:
        await loop._do_once()
        return loop._is_failing

    assert await until(is_failing)
