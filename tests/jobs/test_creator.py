"""Jobs that are submitted at the same time share a statement, and are otherwise like any others."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from math import inf
from typing import Protocol
from uuid import UUID

import asyncpg
import msgspec
import pytest

from app.core import background, ids
from app.core.resources import Resources
from app.datasets.errors import DatasetNotFound
from app.jobs.creator import JobCreator
from app.jobs.errors import NotYourJob
from app.jobs.kinds import batch_predict
from app.jobs.kinds.batch_predict import BatchPredictRequest
from app.jobs.quota import SLACK, Quota
from app.jobs.service import Submitted
from app.jobs.states import Priority, Status
from app.models.errors import ModelNotFound
from tests.support import invariants, jobs, rows

AT_ONCE = 20


class Create(Protocol):
    """Submits a job with one text, or none."""

    async def __call__(self, owner_id: UUID, text: str | None, **options: object) -> Submitted: ...


@pytest.fixture
def quota(resources: Resources) -> Quota:
    """A quota whose counts stay current, so that only the first job of an owner is counted."""
    return Quota(resources.database, 10 * SLACK, count_lifetime_seconds=inf)


@asynccontextmanager
async def creating(resources: Resources, quota: Quota, *owners: UUID) -> AsyncIterator[Create]:
    """Create jobs during the body, of owners whose jobs have been counted."""
    for owner_id in owners:
        async with quota.admit(owner_id):
            pass
    creator = JobCreator(resources)

    async def create(owner_id: UUID, text: str | None, **options: object) -> Submitted:
        texts = {} if text is None else {"texts": [text]}
        request = BatchPredictRequest.model_validate({**texts, **options})
        return await creator.submit(quota, owner_id, batch_predict.KIND, request)

    async with background.running(creator.run_forever()):
        yield create


async def transactions(resources: Resources) -> list[int]:
    """How many jobs were created in each transaction."""
    counts = await rows.fetch(resources.database, "SELECT count(*) FROM jobs GROUP BY xmin::text")
    return sorted(row["count"] for row in counts)


async def test_requests_at_once_share_statements_and_each_gets_its_own_job(
    resources: Resources, quota: Quota
) -> None:
    store = resources.database
    owners = [await jobs.user(store), await jobs.user(store)]

    async with creating(resources, quota, *owners) as create:
        created = await asyncio.gather(
            *(
                create(owner_id, f"{number}", priority="high", metadata={"number": f"{number}"})
                for number in range(AT_ONCE)
                for owner_id in owners
            )
        )

    assert len({submitted.job_id for submitted in created}) == 2 * AT_ONCE
    for index, submitted in enumerate(created):
        number = f"{index // 2}"
        job = await rows.job(store, submitted.job_id)
        payload = await rows.value(store, "SELECT rows FROM job_payloads WHERE job_id = $1", job["id"])
        assert (submitted.status, submitted.is_replay) == (Status.PENDING, False)
        assert (job["owner_id"], job["priority"]) == (owners[index % 2], Priority.HIGH)
        assert (job["metadata"], msgspec.json.decode(payload)) == ({"number": number}, [number])
        assert await rows.event_types(store, job["id"]) == ["created"]
    assert await transactions(resources) == [1, 7, 32]
    await invariants.all_hold(store)


async def test_a_job_that_postgres_rejects_fails_no_other(resources: Resources, quota: Quota) -> None:
    owner_id, nobody = await jobs.user(resources.database), ids.new_id()

    async with creating(resources, quota, owner_id, nobody) as create:
        created = await asyncio.gather(
            *(create(who, "x") for who in (owner_id, owner_id, nobody, owner_id)),
            return_exceptions=True,
        )

    assert [type(result) for result in created] == [
        *(Submitted, Submitted, asyncpg.ForeignKeyViolationError, Submitted)
    ]
    assert await transactions(resources) == [1, 1, 1]
    await invariants.all_hold(resources.database)


async def test_one_with_many_rows_has_a_statement_of_its_own(resources: Resources, quota: Quota) -> None:
    owner_id = await jobs.user(resources.database)
    large = "word " * 15_000

    async with creating(resources, quota, owner_id) as create:
        await asyncio.gather(*(create(owner_id, text) for text in ("a", "b", large, "c", large)))

    assert await transactions(resources) == [1, 1, 1, 2]


async def test_near_the_quota_each_job_is_counted_and_created_alone(resources: Resources) -> None:
    owner_id = await jobs.user(resources.database)
    near = Quota(resources.database, AT_ONCE, count_lifetime_seconds=inf)

    async with creating(resources, near, owner_id) as create:
        await asyncio.gather(*(create(owner_id, f"{number}") for number in range(AT_ONCE)))

    assert await transactions(resources) == [1] * AT_ONCE


async def test_what_a_request_refers_to_is_checked(resources: Resources, quota: Quota) -> None:
    alice, mallory = await jobs.user(resources.database), await jobs.user(resources.database)
    others = await jobs.create(resources.database, mallory)

    async with creating(resources, quota, alice) as create:
        with pytest.raises(NotYourJob):
            await create(alice, "x", resubmitted_from=str(others))
        with pytest.raises(ModelNotFound):
            await create(alice, "x", model="unknown")
        with pytest.raises(DatasetNotFound):
            await create(alice, None, dataset_id=str(ids.new_id()))

    assert await transactions(resources) == [1]
