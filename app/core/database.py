"""Postgres: one pool for the statements written in SQL, one engine for everything SQLModel serves.

The hot statements (submit, claim, commit, settle) run on asyncpg directly, as prepared statements; an
ORM unit of work costs more than all of them together. Both doors turn "the database is not there" into
`DatabaseUnavailable`, and only that: a wrong statement stays the error it is.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, cast

import asyncpg
import msgspec
import sqlalchemy.exc
from sqlalchemy.engine import URL, make_url
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlmodel.ext.asyncio.session import AsyncSession

from app.core.errors import DatabaseUnavailable

CONNECT_SECONDS = 1.5
STATEMENT_SECONDS = 10.0
IDLE_IN_TRANSACTION_SECONDS = 3
"""How long a process that is frozen in mid-transaction, or cut off, may hold its locks."""

_UNREACHABLE = (
    OSError,
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.OperatorInterventionError,  # 57xxx: shutting down, starting up, cancelled by a time limit
    asyncpg.IdleInTransactionSessionTimeoutError,  # we were frozen, and the server has let go of us
    asyncpg.TooManyConnectionsError,
    asyncpg.InterfaceError,  # the connection was closed under us
    asyncpg.InternalClientError,  # it is about to be: the server's last words are read, its end is not
    sqlalchemy.exc.TimeoutError,
)
_encode = msgspec.json.Encoder().encode


class Database:
    """The two doors to Postgres. Nothing connects before it is used."""

    def __init__(
        self, pool: asyncpg.Pool, engine: AsyncEngine, *, connect_seconds: float = CONNECT_SECONDS
    ) -> None:
        self._pool = pool
        self._engine = engine
        self._connect_seconds = connect_seconds

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[asyncpg.Connection]:
        """A connection where each statement is its own transaction.

        Raises DatabaseUnavailable when none can be had in `connect_seconds`, or when it breaks.
        """
        with unavailability():
            async with self._pool.acquire(timeout=self._connect_seconds) as connection:
                # The pool's proxy does all that a connection does.
                yield cast("asyncpg.Connection", connection)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[asyncpg.Connection]:
        """A connection inside one transaction, committed at the end of the body."""
        async with self.connection() as connection, connection.transaction():
            yield connection

    @asynccontextmanager
    async def session(self) -> AsyncIterator[AsyncSession]:
        """A SQLModel session, committed at the end of the body, rolled back if it raises."""
        with unavailability():
            async with AsyncSession(self._engine, expire_on_commit=False) as session, session.begin():
                yield session


@contextmanager
def unavailability() -> Iterator[None]:
    """Turn the many ways in which Postgres can be away into `DatabaseUnavailable`."""
    try:
        yield
    except _UNREACHABLE as error:
        raise DatabaseUnavailable from error
    except sqlalchemy.exc.DBAPIError as error:
        if error.connection_invalidated or isinstance(_driver_error(error), _UNREACHABLE):
            raise DatabaseUnavailable from error
        raise


def _driver_error(error: sqlalchemy.exc.DBAPIError) -> BaseException | None:
    """What asyncpg itself raised, below SQLAlchemy's imitation of the DBAPI errors."""
    return error.orig.__cause__ if error.orig is not None else None


@asynccontextmanager
async def open_database(
    url: str, *, pool_size: int, connect_seconds: float = CONNECT_SECONDS
) -> AsyncIterator[Database]:
    """The doors to the Postgres at `url`, closed at the end of the body."""
    pool = asyncpg.create_pool(
        asyncpg_dsn(url),
        min_size=0,
        max_size=pool_size,
        timeout=connect_seconds,
        command_timeout=STATEMENT_SECONDS,
        init=_prepare_connection,
        reset=_leave_as_it_is,
        server_settings=_SERVER_SETTINGS,
    )
    engine = create_async_engine(
        sqlalchemy_url(url),
        pool_size=max(2, pool_size // 2),
        max_overflow=0,
        pool_timeout=connect_seconds,
        pool_use_lifo=True,
        hide_parameters=True,  # an error's text goes into the log, and they may be secrets
        connect_args={
            "timeout": connect_seconds,
            "command_timeout": STATEMENT_SECONDS,
            "server_settings": _SERVER_SETTINGS,
        },
    )
    await pool
    try:
        yield Database(pool, engine, connect_seconds=connect_seconds)
    finally:
        await _close(pool)
        await engine.dispose()


async def connect(url: str, *, command_timeout: float) -> asyncpg.Connection:
    """One connection outside the pools, for a duty that must never wait for the others."""
    connection = await asyncpg.connect(
        asyncpg_dsn(url),
        timeout=CONNECT_SECONDS,
        command_timeout=command_timeout,
        server_settings=_SERVER_SETTINGS,
    )
    await _prepare_connection(connection)
    return connection


_SERVER_SETTINGS = {
    "application_name": "headrace",
    "idle_in_transaction_session_timeout": f"{IDLE_IN_TRANSACTION_SECONDS}s",
    "jit": "off",  # the hot statements take microseconds, compiling one takes milliseconds
    "timezone": "UTC",
}


async def _prepare_connection(connection: Any) -> None:
    """Let JSON columns carry Python values; bytes that are already encoded pass as they are."""
    for json_type in ("json", "jsonb"):
        await connection.set_type_codec(
            json_type, encoder=_encode_json, decoder=msgspec.json.decode, schema="pg_catalog"
        )


async def _leave_as_it_is(_connection: Any) -> None:
    """Give a connection back without asyncpg's round trip for each use, which resets the session.

    Nobody changes a session of the pool: what is set, locked or opened belongs to a transaction. One that was
    left open is rolled back before this is called.
    """


def _encode_json(value: object) -> str:
    return (value if isinstance(value, bytes) else _encode(value)).decode()


async def _close(pool: asyncpg.Pool) -> None:
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            await pool.close()
    except TimeoutError:
        pool.terminate()


def asyncpg_dsn(url: str) -> str:
    """The URL as asyncpg wants it: the bare scheme, whatever driver the setting names."""
    return make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)


def sqlalchemy_url(url: str) -> URL:
    """The URL as SQLAlchemy wants it, with our driver."""
    return make_url(url).set(drivername="postgresql+asyncpg")
