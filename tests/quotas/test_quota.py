"""One quota of stored bytes for each user: counted as stored, and exact however many come at once."""

import asyncio
import re
from collections.abc import AsyncIterator
from dataclasses import replace
from uuid import UUID

import httpx
import pytest
from fastapi import FastAPI

from app.core import background, ids
from app.core.config import Settings
from app.core.database import Database
from app.core.files import StoredFile
from app.core.resources import Resources
from app.jobs import transitions
from app.jobs.states import Priority
from app.jobs.transition_types import Batch, NewJob
from app.jobs.unit_of_work import UnitOfWork
from app.maintenance.prune import Prune
from app.models import commands as models
from app.quotas import commands, queries
from app.quotas.errors import GIB, QuotaExceeded
from app.quotas.service import SLACK_BYTES, StorageQuota
from app.uploads.errors import SpoolFull
from app.uploads.spooling import Spools
from tests.models import versions
from tests.support import invariants, jobs, rows
from tests.support.accounts import Account, sign_in
from tests.support.waiting import until
from worker.report_writer import ReportWriter

TEXT = "x" * 1000
PAYLOAD_BYTES = len(TEXT) + 4
FIT = 10

_STORE = "INSERT INTO stored_bytes (owner_id, bytes) VALUES ($1, $2)"


@pytest.fixture
def limit_bytes() -> int:
    return FIT * PAYLOAD_BYTES + PAYLOAD_BYTES // 2


@pytest.fixture
def settings(settings: Settings, limit_bytes: int) -> Settings:
    # Fifty requests at once share ten connections; how fast this machine is is not the question here.
    return settings.model_copy(update={"max_user_bytes": limit_bytes, "database_connect_seconds": 60.0})


async def submit(client: httpx.AsyncClient, who: Account, **headers: str) -> httpx.Response:
    return await client.post(
        "/jobs/batch-predict", json={"texts": [TEXT]}, headers={**who.headers, **headers}
    )


async def used(client: httpx.AsyncClient, who: Account) -> int:
    answer = await client.get("/quota", headers=who.headers)
    assert answer.status_code == 200, answer.text
    size: int = answer.json()["used_bytes"]
    return size


async def test_of_fifty_at_once_exactly_as_many_are_taken_as_fit(
    client: httpx.AsyncClient, store: Database, alice: Account, mallory: Account, limit_bytes: int
) -> None:
    answers = await asyncio.gather(*(submit(client, alice) for _ in range(50)))

    assert sorted(answer.status_code for answer in answers) == [202] * FIT + [413] * (50 - FIT)
    for answer in answers:
        if answer.status_code == 413:
            problem = answer.json()
            assert (problem["code"], problem["limit"]) == ("quota_exceeded", limit_bytes)
            assert problem["detail"].startswith("Storage quota exceeded: ")
    assert await used(client, alice) == FIT * PAYLOAD_BYTES
    assert await used(client, mallory) == 0
    assert (await submit(client, mallory)).status_code == 202
    await invariants.stored_bytes_are_counted(store)


async def test_datasets_models_and_jobs_share_the_quota(
    client: httpx.AsyncClient, store: Database, alice: Account, limit_bytes: int
) -> None:
    content = b"a\n" + b"1\n" * (FIT * PAYLOAD_BYTES // 4)
    csv = {**alice.headers, "Content-Type": "text/csv"}
    created = await client.post("/datasets?name=a", content=content, headers=csv)
    assert created.status_code == 201, created.text
    await versions.register(store, alice.id)

    refused = await client.post("/datasets?name=a", content=content, headers=csv)
    answers = [await submit(client, alice) for _ in range(FIT)]

    assert (refused.status_code, refused.json()["code"]) == (413, "quota_exceeded")
    assert {answer.status_code for answer in answers} == {202, 413}
    assert await used(client, alice) <= limit_bytes
    await invariants.stored_bytes_are_counted(store)
    await client.delete(created.json()["links"]["self"], headers=alice.headers)
    assert (await submit(client, alice)).status_code == 202
    await invariants.stored_bytes_are_counted(store)


async def test_a_request_that_is_repeated_is_not_refused_for_what_it_stored_the_first_time(
    client: httpx.AsyncClient, alice: Account
) -> None:
    first = await submit(client, alice, **{"Idempotency-Key": "k"})
    while (await submit(client, alice)).status_code == 202:
        pass

    again = await submit(client, alice, **{"Idempotency-Key": "k"})

    assert (again.status_code, again.json()["job_id"]) == (200, first.json()["job_id"])


async def test_every_way_to_store_and_to_delete_is_counted(
    resources: Resources, store: Database, alice: Account
) -> None:
    job = await jobs.running(store, alice.id, rows=25)
    await jobs.commit(store, job)
    await jobs.advance(store, jobs.report(job, first=1, checkpoint=b"x" * 300))
    await invariants.stored_bytes_are_counted(store)
    await jobs.advance(store, jobs.report(job, first=2, checkpoint=b"x" * 7))
    await invariants.stored_bytes_are_counted(store)
    part = Batch(0, 10, None, "Batch 1", part_key="jobs/a/1/part-0", part_bytes=1234)
    other = await jobs.running(store, alice.id, rows=25)
    file = StoredFile("jobs/a/1/c", 77, "00")
    await jobs.advance(store, replace(jobs.report(other, count=0), batches=(part,), checkpoint_file=file))
    await invariants.stored_bytes_are_counted(store)
    assert (await rows.job(store, other.id))["stored_bytes"] > 1234 + 77

    await jobs.fail(store, other, is_retryable=False)
    async with store.connection() as connection:
        await transitions.retry(
            UnitOfWork(connection), job_id=other.id, from_start=True, head_start=jobs.LEASE
        )
    await invariants.stored_bytes_are_counted(store)
    await jobs.fail(store, job, is_retryable=False)
    await rows.execute(store, "UPDATE jobs SET dismissed_at = now() WHERE id = $1", job.id)
    await rows.execute(store, "ALTER TABLE jobs DISABLE TRIGGER jobs_guard")
    await rows.execute(store, "UPDATE jobs SET expires_at = now() - interval '1 day' WHERE id = $1", job.id)
    async with store.transaction() as connection:
        await Prune(resources.settings, resources.storage)(connection)
    assert (await rows.job(store, job.id))["stored_bytes"] == 0
    await invariants.stored_bytes_are_counted(store)
    await rows.execute(store, "DELETE FROM jobs")
    await versions.register(store, alice.id)
    await versions.register(store, alice.id)
    async with store.transaction() as connection:
        await models.delete_version(connection, alice.id, "churn", 1)
    await invariants.stored_bytes_are_counted(store)
    async with store.transaction() as connection:
        await models.delete(connection, alice.id, "churn")
    await invariants.stored_bytes_are_counted(store)
    assert await rows.value(store, "SELECT sum(bytes) FROM stored_bytes") == 0


async def test_an_uploaded_file_counts_until_its_inspection_has_ended(
    store: Database, alice: Account
) -> None:
    new = NewJob(
        id=ids.new_id(),
        owner_id=alice.id,
        kind=jobs.KIND,
        queue="default",
        priority=Priority.NORMAL,
        head_start=jobs.LEASE,
        params=b"{}",
        rows=None,
        total=None,
        metadata={},
        max_attempts=1,
        soft_limit_seconds=60,
        time_limit_seconds=60,
        retention_seconds=60,
        upload_bytes=5000,
    )
    async with store.connection() as connection:
        await transitions.create(UnitOfWork(connection), new)
        assert await queries.used_bytes(connection, alice.id) == 5000
    await jobs.fail(store, await jobs.claim(store), is_retryable=False)

    async with store.connection() as connection:
        assert await queries.used_bytes(connection, alice.id) == 0
    await invariants.stored_bytes_are_counted(store)


async def test_many_changes_are_added_up_and_the_sum_stays(store: Database, alice: Account) -> None:
    for _ in range(commands.MANY_ROWS + 5):
        await jobs.create(store, alice.id, rows=1)
    async with store.connection() as connection:
        before = await queries.used_bytes(connection, alice.id)

        await asyncio.gather(jobs.create(store, alice.id, rows=1), commands.add_up(connection))
        await commands.add_up(connection)

        assert await queries.used_bytes(connection, alice.id) > before
    assert await rows.value(store, "SELECT count(*) FROM stored_bytes") <= 3
    await invariants.stored_bytes_are_counted(store)


async def test_what_is_added_up_is_found_once_whatever_the_statistics_say(
    store: Database, alice: Account
) -> None:
    insert = "INSERT INTO stored_bytes (owner_id, bytes) SELECT $1::uuid, 1 FROM generate_series(1, $2::int)"
    async with store.transaction() as connection:
        await connection.execute(insert, alice.id, 1)
        await connection.execute("ANALYZE stored_bytes")
        await connection.execute(insert, alice.id, 1000)
        plan = await connection.fetch(f"EXPLAIN ANALYZE {commands._ADD_UP.text}", commands.MANY_ROWS, 1000)
        loops = {int(count) for row in plan for count in re.findall(r"loops=(\d+)", row[0])}

        assert loops <= {0, 1}, plan
        assert (
            await connection.fetchval("SELECT count(*) FROM stored_bytes WHERE owner_id = $1", alice.id) == 1
        )


# Results


@pytest.fixture
async def report_writer(resources: Resources, limit_bytes: int) -> AsyncIterator[ReportWriter]:
    opened = ReportWriter(resources.database, resources.hints, ids.new_id(), StorageQuota(limit_bytes))
    async with background.running(opened.write_forever()):
        yield opened


async def fill(store: Database, owner_id: UUID, size: int) -> None:
    await rows.execute(store, _STORE, owner_id, size)


async def test_a_batch_beyond_the_quota_is_refused_and_nothing_of_it_is_kept(
    store: Database, report_writer: ReportWriter, alice: Account, limit_bytes: int
) -> None:
    job = await jobs.running(store, alice.id, rows=25)
    report = replace(jobs.report(job), owner_id=alice.id)
    await report_writer.advance(report)
    await fill(store, alice.id, limit_bytes)

    with pytest.raises(QuotaExceeded) as refused:
        await report_writer.advance(replace(jobs.report(job, first=1), owner_id=alice.id))

    assert refused.value.facts["limit"] == limit_bytes
    stored = await rows.job(store, job.id)
    assert (stored["status"], stored["next_batch"], stored["done"]) == ("running", 1, 10)
    assert len(await rows.batches(store, job.id)) == 1
    await rows.execute(store, "DELETE FROM stored_bytes WHERE bytes = $1", limit_bytes)
    await report_writer.advance(replace(jobs.report(job, first=1), owner_id=alice.id))
    await invariants.all_hold(store)


async def test_a_model_beyond_the_quota_is_refused_with_the_end_of_its_job(
    store: Database, report_writer: ReportWriter, alice: Account, limit_bytes: int
) -> None:
    job = await jobs.running(store, alice.id, rows=10)
    await jobs.commit(store, job)
    await fill(store, alice.id, limit_bytes)

    async def complete(connection: object, result: dict[str, object]) -> dict[str, object]:
        await models.register(
            connection,  # type: ignore[arg-type]  # asyncpg has no types
            owner_id=alice.id,
            name="flowers",
            runtime="sklearn",
            file=versions.FILE,
        )
        return result

    with pytest.raises(QuotaExceeded):
        await report_writer.advance(
            replace(jobs.report(job, first=1, count=0, is_final=True), owner_id=alice.id), complete
        )

    assert (await rows.job(store, job.id))["status"] == "running"
    assert await rows.value(store, "SELECT count(*) FROM models") == 0


async def test_one_owner_over_the_quota_does_not_hold_up_another(
    store: Database, report_writer: ReportWriter, alice: Account, mallory: Account, limit_bytes: int
) -> None:
    await fill(store, alice.id, limit_bytes)
    await jobs.create(store, alice.id)
    await jobs.create(store, mallory.id)
    claimed = await jobs.claim_all(store, await jobs.worker(store, slots=2))

    answers = await asyncio.gather(
        *(report_writer.advance(replace(jobs.report(job), owner_id=job.owner_id)) for job in claimed),
        return_exceptions=True,
    )

    by_owner = {job.owner_id: answer for job, answer in zip(claimed, answers, strict=True)}
    assert isinstance(by_owner[alice.id], QuotaExceeded)
    assert by_owner[mallory.id] is None


# The quota itself


async def test_of_two_at_once_the_second_is_counted_after_the_first(
    store: Database, alice: Account, limit_bytes: int
) -> None:
    """Each of them fits, and both do not: the second waits for the first, or neither sees the other."""
    size = limit_bytes // 2 + 1
    quota = StorageQuota(limit_bytes)

    async def upload() -> None:
        async with rows.transaction(store) as connection, quota.checked(connection, alice.id):
            await connection.execute(_STORE, alice.id, size)

    async def is_settled() -> bool:
        return second.done() or await rows.has_blocked_session(store)

    async with rows.transaction(store) as connection, quota.checked(connection, alice.id):
        await connection.execute(_STORE, alice.id, size)
        second = asyncio.create_task(upload())
        await until(is_settled)

    with pytest.raises(QuotaExceeded):
        await second
    assert await rows.value(store, "SELECT sum(bytes) FROM stored_bytes") == size


@pytest.mark.parametrize("limit_bytes", [0])
async def test_without_a_limit_nothing_is_refused(client: httpx.AsyncClient, alice: Account) -> None:
    assert (await submit(client, alice)).status_code == 202
    answer = (await client.get("/quota", headers=alice.headers)).json()
    assert answer == {"used_bytes": PAYLOAD_BYTES, "limit_bytes": None}


async def test_a_user_who_was_never_counted_is_not_taken_for_one_far_below(
    app: FastAPI, store: Database
) -> None:
    quota = StorageQuota(100 * GIB)
    carol = await sign_in(app, "carol")
    assert not quota.is_far_below(carol.id)

    async with store.transaction() as connection, quota.checked(connection, carol.id):
        pass
    assert quota.is_far_below(carol.id)
    await fill(store, carol.id, 100 * GIB - SLACK_BYTES)
    async with store.transaction() as connection, quota.checked(connection, carol.id):
        pass
    assert not quota.is_far_below(carol.id)


def test_the_refusal_says_how_much_in_gib() -> None:
    refused = QuotaExceeded(used=round(21.4 * GIB), limit=20 * GIB)

    assert refused.detail == (
        "Storage quota exceeded: 21.4 of 20 GiB used. Delete datasets or models, let results expire, or ask"
        " an administrator to raise the quota."
    )


# Uploads in flight


def test_uploads_in_flight_are_bounded_for_each_user_and_in_all() -> None:
    spools = Spools(per_user=100, in_total=150)
    alice, bob = ids.new_id(), ids.new_id()
    with (
        spools.reserving(alice) as first,
        spools.reserving(alice) as second,
        spools.reserving(bob) as third,
    ):
        first(60)
        second(40)
        with pytest.raises(SpoolFull, match="Your uploads in progress have reached 100 bytes"):
            first(1)
        third(50)
        with pytest.raises(SpoolFull, match="All users' uploads in progress have reached 150 bytes"):
            third(1)
    with spools.reserving(bob) as again:
        again(100)
