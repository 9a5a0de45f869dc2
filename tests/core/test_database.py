"""When Postgres is away that is said, and nothing else is taken for it."""

import asyncio
import os
import signal
import time
from contextlib import AsyncExitStack, suppress
from typing import Any

import asyncpg
import pytest
import sqlalchemy.exc
from prometheus_client import REGISTRY
from sqlalchemy import text

from app.core import database
from app.core.config import Settings
from app.core.database import IDLE_IN_TRANSACTION_SECONDS, Database, asyncpg_dsn, sqlalchemy_url
from app.core.errors import DatabaseUnavailable, SchemaOutdated
from app.core.resources import Resources
from tests.support import rows
from tests.support.waiting import until


@pytest.fixture
def doors(resources: Resources) -> Database:
    return resources.database


@pytest.mark.parametrize(
    "error",
    [
        ConnectionRefusedError(),
        ConnectionResetError(),
        TimeoutError(),
        asyncpg.CannotConnectNowError("the database system is starting up"),
        asyncpg.AdminShutdownError("terminating connection"),
        asyncpg.ConnectionDoesNotExistError("connection was closed"),
        asyncpg.TooManyConnectionsError("sorry, too many clients already"),
        asyncpg.QueryCanceledError("canceling statement due to statement timeout"),
        asyncpg.InterfaceError("connection is closed"),
        sqlalchemy.exc.TimeoutError("QueuePool limit"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_every_way_of_being_away_is_unavailability(error: Exception) -> None:
    with pytest.raises(DatabaseUnavailable) as said, database.unavailability():
        raise error

    assert said.value.__cause__ is error
    assert said.value.status == 503
    assert int(said.value.headers["Retry-After"]) > 0


@pytest.mark.parametrize("error", [asyncpg.UndefinedTableError("jobs"), asyncpg.UndefinedColumnError("seq")])
def test_what_a_migration_would_add_is_an_outdated_schema(error: Exception) -> None:
    with pytest.raises(SchemaOutdated) as said, database.unavailability():
        raise error

    assert said.value.__cause__ is error
    assert "headrace migrate" in said.value.detail


async def test_an_outdated_schema_is_noticed_by_sessions_and_connections(doors: Database) -> None:
    with pytest.raises(SchemaOutdated):
        async with doors.session() as session:
            await session.exec(text("SELECT 1 FROM a_table_of_tomorrow"))  # type: ignore[call-overload]
    with pytest.raises(SchemaOutdated):
        async with doors.connection() as connection:
            await connection.execute("SELECT a_column_of_tomorrow FROM jobs")


@pytest.mark.parametrize(
    "error",
    [
        asyncpg.UndefinedFunctionError("no such function"),
        asyncpg.UniqueViolationError("there already"),
        asyncpg.CheckViolationError("may not be"),
        asyncpg.DataError("what is that"),
        ValueError("nothing to do with it"),
        asyncio.CancelledError(),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_error_of_another_sort_stays_what_it_is(error: BaseException) -> None:
    with pytest.raises(type(error)) as said, database.unavailability():
        raise error

    assert said.value is error


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://nobody@/nothing?host=/nowhere",
        "postgresql://nobody@127.0.0.1:1/nothing",
    ],
)
async def test_a_postgres_that_is_not_there_is_unavailable_through_both_doors(url: str) -> None:
    async with database.open_database(url, pool_size=2) as doors:
        with pytest.raises(DatabaseUnavailable):
            async with doors.connection():
                pass
        with pytest.raises(DatabaseUnavailable):
            async with doors.session() as session:
                await session.exec(text("SELECT 1"))  # type: ignore[call-overload]  # a bare statement will do


async def test_a_database_that_does_not_exist_is_not_an_outage_that_passes(database_url: str) -> None:
    async with database.open_database(database_url.replace("/test_", "/no_test_"), pool_size=2) as doors:
        with pytest.raises((DatabaseUnavailable, asyncpg.InvalidCatalogNameError)):
            async with doors.connection():
                pass


async def test_a_connection_that_is_killed_is_replaced(doors: Database, settings: Settings) -> None:
    async with doors.connection() as victim:
        pid = await victim.fetchval("SELECT pg_backend_pid()")
    killer = await database.connect(settings.database_url, command_timeout=5)
    await killer.execute("SELECT pg_terminate_backend($1, 5000)", pid)
    await killer.close()

    async def answers() -> bool:
        with suppress(DatabaseUnavailable):
            async with doors.connection() as again:
                return bool(await again.fetchval("SELECT pg_backend_pid()") != pid)
        return False

    await until(answers)


async def test_a_connection_that_breaks_in_use_is_unavailability(doors: Database, settings: Settings) -> None:
    killer = await database.connect(settings.database_url, command_timeout=5)

    with pytest.raises(DatabaseUnavailable):
        await _be_killed_by(killer, doors)

    await killer.close()


async def _be_killed_by(killer: asyncpg.Connection, doors: Database) -> None:
    async with doors.connection() as victim:
        pid = await victim.fetchval("SELECT pg_backend_pid()")
        await killer.execute("SELECT pg_terminate_backend($1, 5000)", pid)
        await victim.fetchval("SELECT 1")


async def test_a_connection_is_kept_for_its_next_use(doors: Database) -> None:
    async with doors.connection() as connection:
        pid = await connection.fetchval("SELECT pg_backend_pid()")
    assert doors.kept == 1

    async with doors.connection() as again:
        assert doors.kept == 0
        assert await again.fetchval("SELECT pg_backend_pid()") == pid


async def test_so_many_are_kept_and_the_others_go_back_to_the_pool(settings: Settings) -> None:
    pool_size = database.MAX_KEPT + 2
    async with database.open_database(settings.database_url, pool_size=pool_size) as doors:
        async with AsyncExitStack() as stack:
            for _ in range(pool_size):
                await stack.enter_async_context(doors.connection())
        assert doors.kept == database.MAX_KEPT
        assert doors._pool.get_idle_size() == 2
        assert (await connections("busy"), await connections("idle")) == (0, pool_size)
    assert doors.kept == 0


async def test_the_connection_that_was_used_last_is_used_next_unless_another_was_idle_for_long(
    doors: Database,
) -> None:
    async with doors.connection() as first, doors.connection():
        idle = await first.fetchval("SELECT pg_backend_pid()")
    async with doors.connection() as connection:
        assert await connection.fetchval("SELECT pg_backend_pid()") == idle
        [(_, kept_since)] = doors._kept
        doors._kept.append((doors._kept.popleft()[0], kept_since - database.IDLE_SECONDS))

    async with doors.connection() as connection:
        assert await connection.fetchval("SELECT pg_backend_pid()") != idle
    assert doors.kept == 2


async def test_connections_are_opened_ahead_of_their_use(doors: Database) -> None:
    await doors.warm()

    assert doors.kept == database.MAX_KEPT


async def test_without_postgres_none_is_opened_and_nothing_is_raised() -> None:
    async with database.open_database("postgresql://nobody@127.0.0.1:1/nothing", pool_size=2) as doors:
        await doors.warm()

        assert doors.kept == 0


async def test_one_whose_use_raised_goes_back_to_the_pool(doors: Database) -> None:
    with suppress(ZeroDivisionError):
        async with doors.connection():
            raise ZeroDivisionError

    assert doors.kept == 0
    assert doors._pool.get_idle_size() == 1


async def test_one_that_ends_its_use_in_a_transaction_goes_back_to_the_pool(doors: Database) -> None:
    async with doors.connection() as connection:
        await connection.execute("BEGIN")

    assert doors.kept == 0
    async with doors.connection() as connection:
        assert not connection.is_in_transaction()


async def test_one_that_broke_while_it_was_kept_is_replaced(doors: Database, settings: Settings) -> None:
    async with doors.connection() as victim:
        pid = await victim.fetchval("SELECT pg_backend_pid()")
    assert doors.kept == 1
    killer = await database.connect(settings.database_url, command_timeout=5)
    await killer.execute("SELECT pg_terminate_backend($1, 5000)", pid)
    await killer.close()

    async def is_noticed() -> bool:
        return doors.kept == 0

    await until(is_noticed)
    assert (await connections("busy"), await connections("idle")) == (0, 0)
    async with doors.connection() as replacement:
        assert await replacement.fetchval("SELECT pg_backend_pid()") != pid


async def test_a_task_that_waits_gets_the_connection_that_is_free_next(settings: Settings) -> None:
    async with database.open_database(settings.database_url, pool_size=1, connect_seconds=30) as doors:
        async with doors.connection() as connection:
            await connection.execute("SELECT 1")
            waiting = asyncio.create_task(_use(doors))

            async def waits() -> bool:
                return doors._waiting == 1

            await until(waits)
        await asyncio.wait_for(waiting, 20)


async def test_a_transaction_that_raises_leaves_nothing(doors: Database) -> None:
    with suppress(ZeroDivisionError):
        async with doors.transaction() as connection:
            await connection.execute("CREATE TABLE half_done ()")
            raise ZeroDivisionError

    async with doors.connection() as connection:
        assert await connection.fetchval("SELECT to_regclass('half_done')") is None


async def test_a_session_commits_at_its_end(doors: Database) -> None:
    async with doors.session() as session:
        connection = await session.connection()
        await connection.execute(text("CREATE TABLE done ()"))
    async with doors.connection() as asking:
        assert await asking.fetchval("SELECT to_regclass('done')") is not None


# Metrics


def errors_counted() -> dict[str, int]:
    return {
        reason: int(REGISTRY.get_sample_value("headrace_postgres_errors_total", {"reason": reason}) or 0)
        for reason in ("pool", "connection", "time_limit")
    }


def is_up() -> bool:
    return REGISTRY.get_sample_value("headrace_postgres_up") == 1


@pytest.mark.parametrize(
    ("error", "reason", "answers"),
    [
        (ConnectionRefusedError(), "connection", False),
        (asyncpg.AdminShutdownError("terminating connection"), "connection", False),
        (asyncpg.TooManyConnectionsError("sorry, too many clients already"), "connection", False),
        (TimeoutError(), "time_limit", False),  # the statement was not answered in time
        (asyncpg.QueryCanceledError("canceling statement due to statement timeout"), "time_limit", True),
        (asyncpg.IdleInTransactionSessionTimeoutError("terminating connection"), "time_limit", True),
        (sqlalchemy.exc.TimeoutError("QueuePool limit"), "pool", True),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else None,
)
def test_a_failure_is_counted_by_its_reason(error: Exception, reason: str, answers: bool) -> None:
    with database.unavailability():
        pass
    assert is_up()
    before = errors_counted()

    with pytest.raises(DatabaseUnavailable), database.unavailability():
        raise error

    assert errors_counted() == {**before, reason: before[reason] + 1}
    assert is_up() is answers


async def test_an_exhausted_pool_is_counted_as_such_and_postgres_stays_up(settings: Settings) -> None:
    async with database.open_database(settings.database_url, pool_size=1, connect_seconds=30) as doors:
        doors._connect_seconds = 0.05  # to connect may take longer than to wait
        before, waited = (
            errors_counted(),
            REGISTRY.get_sample_value("headrace_postgres_pool_wait_seconds_count"),
        )
        async with doors.connection() as connection:
            await connection.fetchval("SELECT 1")
            with pytest.raises(DatabaseUnavailable):
                await _use(doors)
        assert await connections("busy") == 0

    assert errors_counted() == {**before, "pool": before["pool"] + 1}
    assert is_up()
    assert waited is not None
    assert REGISTRY.get_sample_value("headrace_postgres_pool_wait_seconds_count") == waited + 2


async def _use(doors: Database) -> None:
    async with doors.connection():
        pass


async def test_a_postgres_that_cannot_be_reached_is_down_until_it_answers(doors: Database) -> None:
    away = "postgresql://nobody@127.0.0.1:1/nothing"
    async with database.open_database(away, pool_size=2) as lost:
        with pytest.raises(DatabaseUnavailable):
            await _use(lost)
    assert not is_up()

    assert await rows.value(doors, "SELECT 1") == 1
    assert is_up()


async def connections(state: str) -> float:
    return REGISTRY.get_sample_value("headrace_postgres_pool_connections", {"state": state}) or 0


async def test_connections_are_counted_by_state(doors: Database) -> None:
    async with doors.connection(), doors.connection(), doors.session() as session:
        await session.connection()
        assert await connections("busy") == 3
        assert await connections("idle") == 0

    assert await connections("busy") == 0
    assert await connections("idle") == 3


async def test_json_comes_and_goes_as_what_it_is(doors: Database) -> None:
    async with doors.connection() as connection:
        samples: list[Any] = [{"a": [1, None, "é\u2028"]}, [], "text", 1.5, None]
        for value in samples:
            assert await connection.fetchval("SELECT $1::jsonb", value) == value
        assert await connection.fetchval("SELECT $1::jsonb", b'{"a": 1}') == {"a": 1}


async def test_a_plan_that_was_made_for_an_empty_table_serves_it_when_it_is_full(doors: Database) -> None:
    async with doors.connection() as connection:
        await connection.execute("CREATE TABLE growing (number int PRIMARY KEY)")
        await connection.execute("VACUUM ANALYZE growing")
        await connection.execute("SET plan_cache_mode = force_generic_plan")
        await connection.execute("PREPARE find AS SELECT FROM growing WHERE number = $1")
        await connection.execute("EXECUTE find(1)")
        await connection.execute("INSERT INTO growing SELECT generate_series(1, 10000)")
        plan = await connection.fetch("EXPLAIN EXECUTE find(1)")

    assert "Index" in str(plan[0])


async def test_every_connection_speaks_utc(doors: Database, settings: Settings) -> None:
    own = await database.connect(settings.database_url, command_timeout=1)
    try:
        assert await own.fetchval("SHOW timezone") == "UTC"
    finally:
        await own.close()
    async with doors.connection() as connection:
        assert await connection.fetchval("SHOW timezone") == "UTC"


def test_either_driver_may_be_named_in_the_setting() -> None:
    for scheme in ("postgresql", "postgresql+asyncpg"):
        url = f"{scheme}://me:p%40ss@here:5/db?host=/run"
        assert asyncpg_dsn(url) == "postgresql://me:p%40ss@here:5/db?host=%2Frun"
        assert sqlalchemy_url(url).drivername == "postgresql+asyncpg"


async def test_a_process_that_is_frozen_in_mid_transaction_loses_its_locks(doors: Database) -> None:
    """Or the keeper that froze in the middle of a round would keep all others from theirs."""
    limit = await rows.value(doors, "SHOW idle_in_transaction_session_timeout")

    assert limit == f"{IDLE_IN_TRANSACTION_SECONDS}s"
    assert 0 < IDLE_IN_TRANSACTION_SECONDS <= 5


@pytest.mark.parametrize("rounds", range(5))
async def test_a_connection_that_was_told_of_its_end_counts_as_away(doors: Database, rounds: int) -> None:
    """Between a server's last words on an idle connection and its end asyncpg is beside itself."""

    async def ask_a_dying_server() -> None:
        async with doors.connection() as connection:
            os.kill(await connection.fetchval("SELECT pg_backend_pid()"), signal.SIGTERM)
            time.sleep(0.1)  # by now both have come, and our loop has read neither
            for _ in range(rounds):
                await asyncio.sleep(0)
            await connection.fetchval("SELECT 1")

    with pytest.raises(DatabaseUnavailable):
        await ask_a_dying_server()
