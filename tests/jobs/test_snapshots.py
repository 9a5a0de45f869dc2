"""Which rows readers get of a job with shards: those before the first gap while it runs, then all."""

from uuid import UUID

import pytest

from app.core import ids
from app.core.database import Database
from app.jobs import snapshots
from app.jobs.shards.queries import StoredShard
from app.jobs.snapshots import Position, Snapshot
from tests.support import jobs, sharding
from tests.support.accounts import Account


def stored(*rows: int, of: int = 20) -> list[StoredShard]:
    return [
        StoredShard(UUID(int=number), number * of, -(-done // 10), done, 0)
        for number, done in enumerate(rows)
    ]


@pytest.mark.parametrize(
    ("done", "ready", "readable"),
    [
        ((0, 0, 0), 0, 1),
        ((10, 20, 5), 10, 1),
        ((20, 0, 5), 20, 2),
        ((20, 10, 5), 30, 2),
        ((20, 20, 0), 40, 3),
        ((20, 20, 5), 45, 3),
    ],
)
def test_a_running_job_has_the_rows_before_the_first_one_that_is_missing(
    done: tuple[int, ...], ready: int, readable: int
) -> None:
    running = Snapshot.of_shards(stored(*done), is_complete=False)

    assert (running.rows_ready, running.rows, len(running.shards)) == (ready, ready, readable)
    assert running.end == ready


def test_a_job_that_has_ended_has_every_row_there_is() -> None:
    ended = Snapshot.of_shards(stored(10, 20, 5), is_complete=True)

    assert (ended.rows_ready, ended.rows, ended.end) == (10, 35, 45)


def test_rows_with_a_gap_never_have_the_version_of_as_many_without() -> None:
    gaps = Snapshot.of_shards(stored(10, 10, 10), is_complete=True)
    after_retry = Snapshot.of_shards(stored(20, 10, 10), is_complete=False)

    assert gaps.rows == after_retry.rows
    assert gaps.version != after_retry.version


def test_an_ordinary_job_is_one_shard_with_the_version_it_always_had() -> None:
    whole = Snapshot((StoredShard(ids.new_id(), 0, 3, 25, 1),), 25)

    assert whole.version == "3-25-1"


@pytest.mark.parametrize(
    ("row", "found"),
    [
        (0, Position(0, 0, 0)),
        (7, Position(0, 0, 7)),
        (12, Position(1, 0, 0)),  # missing: the next one that is there
        (25, Position(1, 0, 5)),
        (39, Position(1, 1, 9)),
        (44, Position(2, 0, 4)),
        (45, None),
    ],
)
async def test_a_row_is_found_in_its_shard_or_else_the_next_one_that_is_there(
    store: Database, alice: Account, row: int, found: Position | None
) -> None:
    job_id = await sharding.create(store, alice.id)
    first, second, third = await sharding.claim(store, job_id)
    await jobs.commit(store, first)
    await jobs.complete(store, second)
    await jobs.complete(store, third)
    await jobs.fail(store, first, is_retryable=False)
    await sharding.end(store, job_id)
    job = await jobs.read(store, job_id)

    async with store.connection() as connection:
        snapshot = await snapshots.take(connection, job)
        assert await snapshot.position_of(connection, row) == found
