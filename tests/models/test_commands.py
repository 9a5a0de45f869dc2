"""What the registry promises to those who use it at the same time."""

import asyncio
from uuid import UUID

import asyncpg
import pytest

from app.core.config import Settings
from app.core.database import Database
from app.core.resources import Resources
from app.jobs import service
from app.jobs.kinds import batch_predict
from app.jobs.kinds.batch_predict import BatchPredictRequest
from app.jobs.quota import Quota
from app.jobs.unit_of_work import UnitOfWork
from app.models import commands, queries
from app.models.errors import ModelInUse, ModelNotFound, NameReserved
from app.models.versions import ModelVersion, Visibility
from tests.models import versions
from tests.support import jobs, rows


@pytest.fixture
def store(resources: Resources) -> Database:
    return resources.database


@pytest.fixture
async def owner(store: Database) -> UUID:
    return await jobs.user(store)


async def meant(store: Database, user_id: UUID, reference: str) -> ModelVersion:
    """What a reference means to a user."""
    async with store.transaction() as connection:
        return await queries.get_for_job(connection, user_id, reference)


async def submit(
    store: Database, connection: asyncpg.Connection, settings: Settings, owner_id: UUID, model: str
) -> None:
    request = BatchPredictRequest(texts=["x"], model=model)
    await service.submit(
        UnitOfWork(connection),
        settings,
        owner_id,
        batch_predict.KIND,
        request,
        quota=Quota(store, limit=100),
    )


async def waits_for_a_lock(store: Database) -> bool:
    """Whether some statement waits for another one's row."""
    waiting: int = await rows.value(
        store,
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE datname = current_database() AND wait_event_type = 'Lock'",
    )
    return waiting > 0


async def test_twenty_registrations_at_once_get_the_numbers_one_to_twenty(
    store: Database, owner: UUID
) -> None:
    made = await asyncio.gather(*(versions.register(store, owner) for _ in range(20)))

    assert sorted(version.version for version in made) == list(range(1, 21))
    assert len({version.id for version in made}) == 20
    assert await rows.value(store, "SELECT count(*) FROM models") == 1


async def test_a_registration_that_is_rolled_back_leaves_no_hole(store: Database, owner: UUID) -> None:
    async def fail_after_it() -> None:
        async with store.transaction() as connection:
            await commands.register(
                connection, owner_id=owner, name="churn", runtime="onnx", file=versions.FILE
            )
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail_after_it()

    assert (await versions.register(store, owner)).version == 1


async def test_the_name_of_the_built_in_model_is_nobodys(store: Database, owner: UUID) -> None:
    with pytest.raises(NameReserved):
        await versions.register(store, owner, "sentiment")


async def test_a_number_is_not_given_twice_even_after_a_deletion(store: Database, owner: UUID) -> None:
    await versions.register(store, owner)
    await versions.register(store, owner)
    async with store.transaction() as connection:
        await commands.delete_version(connection, owner, "churn", 2)

    assert (await versions.register(store, owner)).version == 3


async def test_a_bare_name_is_the_newest_a_number_that_one_an_alias_what_it_points_to(
    store: Database, owner: UUID
) -> None:
    for _ in range(3):
        await versions.register(store, owner)
    async with store.transaction() as connection:
        await commands.set_own_alias(connection, owner, "churn", "best", 2)

    assert (await meant(store, owner, "churn")).version == 3
    assert (await meant(store, owner, "churn@1")).version == 1
    assert (await meant(store, owner, "churn@best")).version == 2
    for unknown in ("churn@4", "churn@worst", "chu", "churn@", "@1", "churn@1@2", "churn@99999999999"):
        with pytest.raises(ModelNotFound):
            await meant(store, owner, unknown)


async def test_a_bare_name_never_means_another_users_model(store: Database, owner: UUID) -> None:
    other = await jobs.user(store, "other")
    public = await versions.register(store, other)
    async with store.transaction() as connection:
        await commands.change(connection, other, "churn", visibility=Visibility.PUBLIC)

    assert (await meant(store, owner, "other/churn")).id == public.id
    for unknown in ("churn", "churn@1"):
        with pytest.raises(ModelNotFound):
            await meant(store, owner, unknown)
    own = await versions.register(store, owner)
    assert (await meant(store, owner, "churn")).id == own.id
    assert (await meant(store, owner, "other/churn@1")).id == public.id
    assert (await meant(store, other, "churn")).id == public.id


async def test_no_job_ever_needs_a_version_that_was_deleted(
    store: Database, settings: Settings, owner: UUID
) -> None:
    async def submit_one() -> None:
        async with store.connection() as connection:
            await submit(store, connection, settings, owner, "churn")

    for _ in range(20):
        await versions.of_texts(store, owner)
        ends = await asyncio.gather(
            *(submit_one() for _ in range(3)), _delete(store, owner, "model"), return_exceptions=True
        )
        assert all(end is None or isinstance(end, ModelInUse | ModelNotFound) for end in ends), ends
        for job_id in [row["id"] for row in await rows.fetch(store, "SELECT id FROM jobs")]:
            await jobs.cancel(store, job_id)
        if isinstance(ends[-1], ModelInUse):
            assert any(end is None for end in ends[:-1])
            await _delete(store, owner, "model")
        else:
            assert all(isinstance(end, ModelNotFound) for end in ends[:-1])


async def test_all_that_can_happen_to_a_model_at_once_ends_without_a_deadlock(
    store: Database, owner: UUID
) -> None:
    async def change(number: int) -> None:
        async with store.transaction() as connection:
            match number % 5:
                case 0:
                    await commands.register(
                        connection, owner_id=owner, name="churn", runtime="onnx", file=versions.FILE
                    )
                case 1:
                    await commands.set_own_alias(connection, owner, "churn", "best", number // 5 + 1)
                case 2:
                    await commands.delete_version(connection, owner, "churn", number // 5 + 1)
                case 3:
                    await commands.change(connection, owner, "churn", visibility=Visibility.PUBLIC)
                case _:
                    await commands.delete(connection, owner, "churn")

    ends = await asyncio.gather(*(change(number) for number in range(50)), return_exceptions=True)

    assert all(end is None or isinstance(end, ModelNotFound) for end in ends), ends


async def _delete(store: Database, owner: UUID, what: str) -> None:
    async with store.transaction() as connection:
        await _delete_on(connection, owner, what)


async def _delete_on(connection: asyncpg.Connection, owner: UUID, what: str) -> None:
    if what == "model":
        await commands.delete(connection, owner, "churn")
    else:
        await commands.delete_version(connection, owner, "churn", 1)
