"""Access to Postgres: an asyncpg pool for statements in SQL, and a SQLAlchemy engine for SQLModel.

The hot statements (submit, claim, commit, complete) are prepared statements on asyncpg: one ORM unit of work
costs more than all of them together. Both ways translate connection errors into `DatabaseUnavailable`, and a
missing table or column into `SchemaOutdated`; every other error is passed on.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from time import monotonic, perf_counter
from typing import Any, cast

import asyncpg
import msgspec
import sqlalchemy.exc
from asyncpg.pool import PoolConnectionProxy
from sqlalchemy.dialects import registry
from sqlalchemy.dialects.postgresql.asyncpg import PGDialect_asyncpg
from sqlalchemy.engine import URL, make_url
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import QueuePool
from sqlmodel.ext.asyncio.session import AsyncSession

from app.core import metrics
from app.core.errors import DatabaseUnavailable, SchemaOutdated

CONNECT_SECONDS = 1.5
STATEMENT_SECONDS = 10.0

MAX_KEPT = 4
"""Connections that are kept between two uses. The others go back to the pool, which closes idle ones."""

IDLE_SECONDS = 60.0
"""A kept connection that was not used for so long is used next: a network may forget an idle one."""

IDLE_IN_TRANSACTION_SECONDS = 3
"""How long a process that is frozen or cut off during a transaction may hold its locks."""

_UNREACHABLE = (
    OSError,
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.OperatorInterventionError,  # 57xxx: shutting down, starting up, cancelled by a time limit
    asyncpg.IdleInTransactionSessionTimeoutError,  # this process was frozen, and the server ended the session
    asyncpg.TooManyConnectionsError,
    asyncpg.InterfaceError,  # the connection was closed during use
    asyncpg.InternalClientError,  # it is being closed: its last error was read, its end was not
    sqlalchemy.exc.TimeoutError,
)
# What a migration adds is missing.
_OUTDATED = (asyncpg.UndefinedTableError, asyncpg.UndefinedColumnError)
_encode = msgspec.json.Encoder().encode
_errors = metrics.counters(metrics.POSTGRES_ERRORS, ("pool", "connection", "time_limit"))


class _PoolExhausted(TimeoutError):
    """All connections of the pool were in use for too long."""


class _Dialect(PGDialect_asyncpg):
    """The dialect of the engine. A session's connection that Postgres does not close in time is dropped.

    SQLAlchemy would wait for it as long as for a statement, and log an error with a traceback.
    """

    supports_statement_cache = True

    def do_close(self, dbapi_connection: DBAPIConnection) -> None:
        """Close a connection that leaves the pool."""
        self.do_terminate(dbapi_connection)


registry.register("postgresql.headrace", __name__, _Dialect.__name__)


class _ConnectTimeout(TimeoutError):
    """Postgres did not accept a new connection in time."""


class Database:
    """Connections and sessions to Postgres. Connects only when first used."""

    def __init__(
        self, pool: asyncpg.Pool, engine: AsyncEngine, *, connect_seconds: float = CONNECT_SECONDS
    ) -> None:
        self._pool = pool
        self._engine = engine
        self._connect_seconds = connect_seconds
        self._kept: deque[tuple[PoolConnectionProxy, float]] = deque()
        self._waiting = 0
        self._is_closing = False

    @property
    def kept(self) -> int:
        """How many connections are kept, which the pool counts as being in use."""
        return sum(_is_open(connection) for connection, _ in self._kept)

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[asyncpg.Connection]:
        """A connection on which each statement is its own transaction.

        Raises DatabaseUnavailable if none is free within `connect_seconds`, or if the connection breaks.
        """
        with unavailability():
            connection = await self._acquire()
            try:
                # The proxy of the pool has all methods of a connection.
                yield cast("asyncpg.Connection", connection)
            except BaseException:
                await self._release(connection)  # which waits for a statement that was cancelled
                raise
            surplus = self._keep(connection)
            if surplus is not None:
                await self._release(surplus)

    async def warm(self) -> None:
        """Open the connections that will be kept, so that no request waits for one. Does not raise."""
        with suppress(DatabaseUnavailable):
            async with AsyncExitStack() as stack:
                for _ in range(min(MAX_KEPT, self._pool.get_max_size())):
                    await stack.enter_async_context(self.connection())

    async def close(self) -> None:
        """Close all connections, once those in use are free, or after CONNECT_SECONDS."""
        self._is_closing = True
        while self._kept:
            connection, _ = self._kept.pop()
            await self._release(connection)
        await _close(self._pool)
        await self._engine.dispose()

    async def _acquire(self) -> PoolConnectionProxy:
        started_at = perf_counter()
        try:
            return await self._take_kept() or await self._acquire_from_pool()
        finally:
            metrics.POSTGRES_WAIT_SECONDS.observe(perf_counter() - started_at)

    async def _take_kept(self) -> PoolConnectionProxy | None:
        """Return the connection that was used last, if it is still open."""
        while self._kept:
            connection, _ = self._kept.pop()
            if _is_open(connection):
                return connection
            await self._release(connection)
        return None

    def _keep(self, connection: PoolConnectionProxy) -> PoolConnectionProxy | None:
        """Keep a connection for its next use: asyncpg's acquire and release take as long as a small query.

        The one that was used last is used next, because its plans are warm. Return the one that goes back to
        the pool, if any: this one, or that which was not used for longest.
        """
        if self._waiting or self._is_closing or not _is_open(connection) or connection.is_in_transaction():
            return connection
        now = monotonic()
        self._kept.append((connection, now))
        oldest, kept_since = self._kept[0]
        if len(self._kept) > MAX_KEPT:
            self._kept.popleft()
            return oldest
        if now - kept_since > IDLE_SECONDS:
            self._kept.rotate(-1)
        return None

    async def _release(self, connection: PoolConnectionProxy) -> None:
        """Give a connection back to the pool, even if this task is cancelled meanwhile.

        The pool goes on then, too, but nobody would read its error, and asyncio logs such errors.
        """
        release = asyncio.ensure_future(self._pool.release(connection))
        release.add_done_callback(_read_error)
        await asyncio.shield(release)

    async def _acquire_from_pool(self) -> PoolConnectionProxy:
        self._waiting += 1
        try:
            return await self._pool.acquire(timeout=self._connect_seconds)
        except TimeoutError as error:
            is_exhausted = self._pool.get_size() == self._pool.get_max_size()
            raise (_PoolExhausted if is_exhausted else _ConnectTimeout) from error
        finally:
            self._waiting -= 1

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[asyncpg.Connection]:
        """A connection in one transaction, committed at the end of the body."""
        async with self.connection() as connection, connection.transaction():
            yield connection

    @asynccontextmanager
    async def session(self) -> AsyncIterator[AsyncSession]:
        """A SQLModel session, committed at the end of the body, rolled back if it raises."""
        with unavailability():
            async with AsyncSession(self._engine, expire_on_commit=False) as session, session.begin():
                yield session


def _read_error(task: asyncio.Future[None]) -> None:
    if not task.cancelled():
        task.exception()


def _is_open(connection: PoolConnectionProxy) -> bool:
    try:
        return not connection.is_closed()
    except asyncpg.InterfaceError:  # it broke, and asyncpg has released it
        return False


@contextmanager
def unavailability() -> Iterator[None]:
    """Translate the errors of an unreachable Postgres and of a schema that has not been migrated.

    Raises DatabaseUnavailable and SchemaOutdated.
    """
    try:
        yield
    except _UNREACHABLE as error:
        _count_failure(error)
        raise DatabaseUnavailable from error
    except _OUTDATED as error:
        raise SchemaOutdated from error
    except sqlalchemy.exc.DBAPIError as error:
        cause = _driver_error(error)
        if isinstance(cause, _OUTDATED):
            raise SchemaOutdated from cause
        if error.connection_invalidated or isinstance(cause, _UNREACHABLE):
            _count_failure(cause or error)
            raise DatabaseUnavailable from error
        raise
    metrics.POSTGRES_UP.set(1)


def _count_failure(error: BaseException) -> None:
    """Count a failure by its reason, and record whether Postgres answers.

    An exhausted pool says nothing about Postgres, and a statement that Postgres has ended was answered.
    """
    match error:
        case _PoolExhausted() | sqlalchemy.exc.TimeoutError():
            _errors["pool"].inc()
            return
        case asyncpg.QueryCanceledError() | asyncpg.IdleInTransactionSessionTimeoutError():
            _errors["time_limit"].inc()
            return
        case TimeoutError() if not isinstance(error, _ConnectTimeout):
            _errors["time_limit"].inc()
        case _:
            _errors["connection"].inc()
    metrics.POSTGRES_UP.set(0)


def _driver_error(error: sqlalchemy.exc.DBAPIError) -> BaseException | None:
    """The asyncpg error behind SQLAlchemy's DBAPI error."""
    return error.orig.__cause__ if error.orig is not None else None


@asynccontextmanager
async def open_database(
    url: str, *, pool_size: int, connect_seconds: float = CONNECT_SECONDS
) -> AsyncIterator[Database]:
    """Open access to the Postgres at `url` during the body."""
    pool = asyncpg.create_pool(
        asyncpg_dsn(url),
        min_size=0,
        max_size=pool_size,
        timeout=connect_seconds,
        command_timeout=STATEMENT_SECONDS,
        max_cached_statement_lifetime=0,  # they are constants; to prepare one again takes milliseconds
        init=_prepare_connection,
        reset=_skip_reset,
        server_settings=_SERVER_SETTINGS,
    )
    engine = create_async_engine(
        sqlalchemy_url(url).set(drivername="postgresql+headrace"),
        pool_size=max(2, pool_size // 2),
        max_overflow=0,
        pool_timeout=connect_seconds,
        pool_use_lifo=True,
        hide_parameters=True,  # error texts are logged, and parameters may be secrets
        connect_args={
            "timeout": connect_seconds,
            "command_timeout": STATEMENT_SECONDS,
            "server_settings": _SERVER_SETTINGS,
        },
    )
    await pool
    database = Database(pool, engine, connect_seconds=connect_seconds)
    _publish_connections(database, pool, engine)
    try:
        yield database
    finally:
        await database.close()


def _publish_connections(database: Database, pool: asyncpg.Pool, engine: AsyncEngine) -> None:
    """Have each scrape count the connections of both."""
    sessions = cast("QueuePool", engine.pool)
    busy, idle = (metrics.POSTGRES_CONNECTIONS.labels(state) for state in ("busy", "idle"))
    busy.set_function(lambda: pool.get_size() - pool.get_idle_size() - database.kept + sessions.checkedout())
    idle.set_function(lambda: pool.get_idle_size() + database.kept + sessions.checkedin())


async def connect(url: str, *, command_timeout: float) -> asyncpg.Connection:
    """One connection outside the pool, for a task that must never wait for a free one."""
    try:
        connection = await asyncpg.connect(
            asyncpg_dsn(url),
            timeout=CONNECT_SECONDS,
            command_timeout=command_timeout,
            server_settings=_SERVER_SETTINGS,
        )
    except TimeoutError as error:
        raise _ConnectTimeout from error
    await _prepare_connection(connection)
    return connection


_SERVER_SETTINGS = {
    "application_name": "headrace",
    "idle_in_transaction_session_timeout": f"{IDLE_IN_TRANSACTION_SECONDS}s",
    # A plan is kept while its table grows: one that was made for an empty table would read all of it, until
    # the next ANALYZE. Every statement has its index.
    "enable_seqscan": "off",
    "jit": "off",  # the hot statements take microseconds; compiling one takes milliseconds
    "timezone": "UTC",
}


async def _prepare_connection(connection: Any) -> None:
    """Encode and decode JSON columns; bytes are taken as encoded JSON."""
    for json_type in ("json", "jsonb"):
        await connection.set_type_codec(
            json_type, encoder=_encode_json, decoder=msgspec.json.decode, schema="pg_catalog"
        )


async def _skip_reset(_connection: Any) -> None:
    """Skip asyncpg's reset of the session, which costs a round trip for each use of a connection.

    No code changes the session of a pooled connection: settings, locks and cursors belong to a transaction,
    and an open one has been rolled back before this is called.
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
    """The URL for asyncpg: without the driver that the setting may name."""
    return make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)


def sqlalchemy_url(url: str) -> URL:
    """The URL for SQLAlchemy, with the asyncpg driver."""
    return make_url(url).set(drivername="postgresql+asyncpg")
