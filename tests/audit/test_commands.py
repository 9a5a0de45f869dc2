"""Entries are recorded with what they record, sealed into one chain, and never changed."""

import asyncio
from datetime import timedelta
from uuid import uuid4

import asyncpg
import pytest
from structlog.testing import capture_logs

from app.audit import commands, queries
from app.audit.actions import Action, ObjectType
from app.audit.queries import AuditFilter
from app.audit.values import COMMAND_LINE, Actor, Entry, Link
from app.audit.verification import verify
from app.core import background
from app.core.config import Settings
from app.core.database import Database
from app.core.resources import Resources
from app.jobs.counting import JobSeries
from app.jobs.kinds import registry
from app.maintenance.maintenance import Maintenance
from app.maintenance.prune import Prune
from tests.audit.tampering import Tampering, entries
from tests.support import jobs, rows
from tests.support.waiting import until


async def record(database: Database, count: int = 1, *, at_once: bool = False) -> None:
    """Record entries, each in a transaction of its own."""

    async def one(number: int) -> None:
        entry = Entry(Action.DATASET_DELETED, ObjectType.DATASET, str(number), details={"number": number})
        async with database.transaction() as connection:
            await commands.record(connection, COMMAND_LINE, entry)

    if at_once:
        await asyncio.gather(*map(one, range(count)))
        return
    for number in range(count):
        await one(number)


async def test_an_entry_names_the_actor_as_they_were_called_at_the_time(database: Database) -> None:
    user_id = await jobs.user(database, "ada")
    actor = Actor(user_id, session_id=uuid4(), network="192.0.2.1", request_id="r-1")
    async with database.transaction() as connection:
        await commands.record(connection, actor, Entry(Action.MODEL_DELETED, ObjectType.MODEL, "churn"))
    await rows.execute(database, "DELETE FROM users")

    [entry] = await entries(database)

    assert (entry["actor_id"], entry["actor_name"]) == (user_id, "ada")
    assert (entry["session_id"], entry["network"], entry["request_id"]) == (
        actor.session_id,
        "192.0.2.1",
        "r-1",
    )
    assert (entry["action"], entry["object_type"], entry["object_id"]) == ("model.deleted", "model", "churn")
    assert (entry["outcome"], entry["details"]) == ("succeeded", {})


async def test_an_entry_is_undone_with_its_transaction(database: Database) -> None:
    async def by_statement() -> None:
        async with database.transaction() as connection:
            await commands.record(connection, COMMAND_LINE, Entry(Action.USER_DELETED))
            raise RuntimeError

    async def by_session() -> None:
        async with database.session() as session:
            await commands.record_in_session(session, COMMAND_LINE, Entry(Action.USER_DELETED))
            raise RuntimeError

    for action in (by_statement, by_session):
        with pytest.raises(RuntimeError):
            await action()

    assert await entries(database) == []


async def test_an_entry_of_a_session_is_like_any_other(database: Database) -> None:
    user_id = await jobs.user(database, "ada")
    entry = Entry(Action.USER_CREATED, ObjectType.USER, "1", details={"a": "ü", "b": 1, "c": None, "d": True})
    async with database.transaction() as connection:
        await commands.record(connection, Actor(user_id), entry)
    async with database.session() as session:
        await commands.record_in_session(session, Actor(user_id), entry)

    first, second = (dict(found) for found in await entries(database))

    for different in ("id", "at"):
        del first[different], second[different]
    assert first == second
    assert first["details"] == dict(entry.details)


async def test_writers_and_sealers_at_once_make_one_chain(database: Database) -> None:
    async def seal_often() -> None:
        for _ in range(10):
            async with database.transaction() as connection:
                await commands.seal(connection, at_once=7)

    await asyncio.gather(record(database, 50, at_once=True), *(seal_often() for _ in range(4)))
    await commands.seal_all(database)

    found = await verify(database, at_once=9)
    assert (found.is_intact, found.entries) == (True, 50)
    assert sorted(entry["seq"] for entry in await entries(database)) == list(range(1, 51))


async def test_a_round_of_maintenance_logs_the_end_of_the_chain_after_the_commit(database: Database) -> None:
    await record(database, 3)
    with capture_logs() as records:
        async with database.transaction() as connection:
            after_commit = await commands.seal_committed(connection)
        assert records == []
        assert after_commit is not None
        after_commit()
    async with database.transaction() as connection:
        idle = await commands.seal_committed(connection)

    [logged] = records
    assert (logged["event"], logged["entries"]) == ("audit_log_sealed", 3)
    assert Link.parse(logged["last"]) == (await verify(database)).last
    assert idle is None


async def test_an_open_transaction_that_has_recorded_delays_no_other_writer_and_no_sealing(
    database: Database,
) -> None:
    async with rows.transaction(database) as slow:
        await commands.record(slow, COMMAND_LINE, Entry(Action.USER_DELETED))
        await record(database, 3)
        await commands.seal_all(database)
        sealed_before = [entry["seq"] for entry in await entries(database)]
    await commands.seal_all(database)

    found = await verify(database)
    assert sealed_before == [1, 2, 3]
    assert (found.is_intact, found.entries) == (True, 4)


async def test_maintenance_seals_entries(resources: Resources) -> None:
    await record(resources.database)
    maintenance = Maintenance(resources, registry.BUILT_IN, JobSeries(registry.BUILT_IN))

    async def is_sealed() -> bool:
        return bool((await entries(resources.database))[0]["seq"] == 1)

    async with background.running(maintenance.run_forever()):
        assert await until(is_sealed, seconds=30)


@pytest.mark.parametrize("is_sealed", [False, True])
@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_log SET action = 'nothing'",
        "UPDATE audit_log SET details = '{}'",
        "UPDATE audit_log SET hash = '\\x00' WHERE seq IS NOT NULL OR hash IS NULL",
        "DELETE FROM audit_log",
        "TRUNCATE audit_log",
        "UPDATE audit_chain SET pruned_seq = last_seq, pruned_hash = last_hash",
        "UPDATE audit_chain SET last_seq = 0, last_hash = pruned_hash",
        "UPDATE audit_chain SET last_hash = pruned_hash",
        "DELETE FROM audit_chain",
        "TRUNCATE audit_chain",
        "INSERT INTO audit_log (seq, prev_hash, hash, action, outcome)"
        " VALUES (99, '\\x00', '\\x00', 'a', 'failed')",
    ],
)
async def test_not_even_the_owner_of_the_tables_changes_an_entry(
    database: Database, statement: str, is_sealed: bool
) -> None:
    await record(database)
    await commands.seal_all(database)  # the row of the chain
    await record(database)
    if is_sealed:
        await commands.seal_all(database)
    before = await entries(database)

    with pytest.raises(asyncpg.PostgresError) as refused:
        await rows.execute(database, statement)

    assert isinstance(refused.value, asyncpg.InsufficientPrivilegeError | asyncpg.CheckViolationError)
    assert await entries(database) == before
    assert (await verify(database)).is_intact


@pytest.mark.parametrize("change", ["actor_name = 'x'", "at = at - interval '1 day'", "details = '{}'"])
async def test_sealing_changes_nothing_but_the_place_in_the_chain(database: Database, change: str) -> None:
    await record(database)
    [before] = await entries(database)

    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await rows.execute(
            database, f"UPDATE audit_log SET seq = 1, prev_hash = '\\x00', hash = '\\x00', {change}"
        )

    assert await entries(database) == [before]


async def test_an_entry_has_the_time_of_its_transaction_whatever_the_writer_says(database: Database) -> None:
    await rows.execute(
        database, "INSERT INTO audit_log (at, action, outcome) VALUES ('2001-01-01', 'a', 'failed')"
    )

    assert await rows.value(database, "SELECT at > now() - interval '1 hour' FROM audit_log")


async def age(tampering: Tampering, below: int, days: int) -> None:
    """Make the entries that are not sealed yet older."""
    await tampering.run(
        "UPDATE audit_log SET at = at - $1 * interval '1 day' WHERE seq IS NULL AND id < $2", days, below
    )


async def test_what_is_left_after_pruning_can_be_verified(database: Database, tampering: Tampering) -> None:
    await record(database, 10)
    await age(tampering, (await entries(database))[6]["id"], days=3)
    await commands.seal_all(database)
    known = (await verify(database)).last
    pruned = []
    for _ in range(3):
        async with database.transaction() as connection:
            pruned.append(await commands.prune(connection, timedelta(days=2), limit=4))

    found = await verify(database, known)

    assert pruned == [4, 2, 0]
    assert [entry["seq"] for entry in await entries(database)] == [7, 8, 9, 10]
    assert (found.is_intact, found.first.seq, found.entries) == (True, 6, 4)
    await record(database)
    await commands.seal_all(database)
    assert (await verify(database, known)).entries == 5


async def test_nothing_younger_than_a_day_is_pruned_whatever_the_retention(
    database: Database, tampering: Tampering
) -> None:
    await record(database, 2)
    await commands.seal_all(database)

    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        async with database.transaction() as connection:
            await commands.prune(connection, timedelta(0), limit=10)

    assert len(await entries(database)) == 2


async def test_maintenance_prunes_after_the_retention(
    resources: Resources, settings: Settings, tampering: Tampering
) -> None:
    database = resources.database
    await record(database, 2)
    await age(tampering, (await entries(database))[1]["id"], days=366)
    await commands.seal_all(database)

    async with database.transaction() as connection:
        await Prune(settings, resources.storage)(connection)

    assert [entry["seq"] for entry in await entries(database)] == [2]
    assert (await verify(database)).is_intact


async def test_pages_hold_each_entry_once_newest_first(database: Database) -> None:
    await record(database, 7)
    await commands.seal_all(database)

    found = [
        [entry.seq for entry in batch]
        async for batch in queries.all_entries(database, AuditFilter(), at_once=3)
    ]

    assert found == [[7, 6, 5], [4, 3, 2], [1]]
