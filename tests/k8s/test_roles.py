"""The database roles of `k8s/database/roles.sql`: each may do its own work, and nothing else."""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import asyncpg
import pytest
from sqlalchemy.engine import make_url

from app.audit import commands as audit
from app.audit.actions import Action
from app.audit.values import COMMAND_LINE, Entry
from app.audit.verification import verify
from app.cli.migrations import migrate
from app.core.config import load_settings
from app.core.database import asyncpg_dsn
from app.core.resources import Resources, open_resources
from app.embedded.postgres import EmbeddedPostgres
from tests.conftest import NOT_DURABLE
from tests.support import jobs
from tests.support.processes import ROOT

ROLES = (ROOT / "k8s" / "database" / "roles.sql").read_text(encoding="utf-8")
NAMES = ("headrace_owner", "headrace_app", "headrace_autoscaler", "headrace_readonly")
PASSWORD = "made-up-for-tests"
CHANGES_OF_THE_AUDIT_LOG = (
    "UPDATE audit_log SET action = 'nothing'",
    "DELETE FROM audit_log",
    "TRUNCATE audit_log",
    "UPDATE audit_chain SET pruned_seq = last_seq",
    "DELETE FROM audit_chain",
    "ALTER TABLE audit_log DISABLE TRIGGER ALL",
    "SET session_replication_role = replica",
)


@dataclass(frozen=True)
class Cluster:
    """A Postgres of the test's own, because roles belong to a whole server."""

    admin_url: str

    def url(self, role: str) -> str:
        """How to connect as a role."""
        url = make_url(self.admin_url).set(username=role, password=PASSWORD)
        return url.render_as_string(hide_password=False)

    def run(self, sql: str, *, role: str | None = None) -> None:
        """Run statements as a role, or as the administrator."""

        async def execute() -> None:
            connection = await asyncpg.connect(asyncpg_dsn(self.url(role) if role else self.admin_url))
            try:
                await connection.execute(sql)
            finally:
                await connection.close()

        asyncio.run(execute())

    def create_roles(self) -> None:
        """What the administrator does."""
        self.run(ROLES)
        for name in NAMES:
            self.run(f"ALTER ROLE {name} PASSWORD '{PASSWORD}'")


@pytest.fixture(scope="module")
def with_roles(server_root: Path) -> Iterator[EmbeddedPostgres]:
    """The roles are there before anything else is: a new installation."""
    with _postgres(server_root) as postgres:
        Cluster(postgres.admin_url_for("postgres")).create_roles()
        yield postgres


@pytest.fixture
def migrated(with_roles: EmbeddedPostgres) -> Iterator[Cluster]:
    with _database(with_roles) as cluster:
        cluster.run(ROLES)
        migrate(cluster.url("headrace_owner"))
        yield cluster


@contextmanager
def _postgres(server_root: Path) -> Iterator[EmbeddedPostgres]:
    folder = Path(tempfile.mkdtemp(dir=server_root))
    postgres = EmbeddedPostgres(folder / "postgres", options=NOT_DURABLE)
    postgres.start()
    try:
        yield postgres
    finally:
        postgres.stop()


@contextmanager
def _database(postgres: EmbeddedPostgres) -> Iterator[Cluster]:
    admin = Cluster(postgres.admin_url_for("postgres"))
    admin.run("CREATE DATABASE headrace_roles")
    try:
        yield Cluster(postgres.admin_url_for("headrace_roles"))
    finally:
        admin.run("DROP DATABASE headrace_roles WITH (FORCE)")


@pytest.fixture
async def application(migrated: Cluster, redis_url: str, tmp_path: Path) -> AsyncIterator[Resources]:
    settings = load_settings(
        _env_file=None,
        database_url=migrated.url("headrace_app"),
        redis_url=redis_url,
        storage_url=(tmp_path / "storage").as_uri(),
    )
    async with open_resources(settings) as resources:
        yield resources


async def test_a_job_is_created_run_and_ended_as_the_application(application: Resources) -> None:
    worker_id = await jobs.worker(application.database)
    await jobs.create(application.database, rows=10)
    claimed = await jobs.claim(application.database, worker_id)

    await jobs.complete(application.database, claimed)

    async with application.database.connection() as connection:
        assert await connection.fetchval("SELECT status FROM jobs") == "completed"


@pytest.mark.parametrize(
    "statement",
    [
        "DROP TABLE jobs",
        "TRUNCATE jobs CASCADE",
        "ALTER TABLE jobs ADD COLUMN extra text",
        "CREATE TABLE extra ()",
        "CREATE FUNCTION extra() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "COPY users TO PROGRAM 'cat'",
        "CREATE ROLE extra",
    ],
)
def test_the_application_changes_rows_and_no_schema(migrated: Cluster, statement: str) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        migrated.run(statement, role="headrace_app")


async def test_the_application_records_seals_and_prunes_entries_of_the_audit_log(
    application: Resources, migrated: Cluster
) -> None:
    database = application.database
    async with database.transaction() as connection:
        await audit.record(connection, COMMAND_LINE, Entry(Action.USER_DELETED))
        await audit.record(connection, COMMAND_LINE, Entry(Action.USER_DELETED))
    await audit.seal_all(database)
    async with database.transaction() as connection:
        pruned = await audit.prune(connection, timedelta(days=1), limit=10)

    found = await verify(database)
    assert (pruned, found.is_intact, found.entries) == (0, True, 2)


@pytest.mark.parametrize("statement", CHANGES_OF_THE_AUDIT_LOG)
def test_the_application_changes_no_entry_of_the_audit_log(migrated: Cluster, statement: str) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match=r"permission denied|must be owner"):
        migrated.run(statement, role="headrace_app")


def test_the_autoscaler_calls_two_functions_and_reads_no_table(migrated: Cluster) -> None:
    calls = (
        "SELECT headrace_slots_needed(ARRAY['default'], 42)",
        "SELECT headrace_head_waited_seconds(ARRAY['default'])",
    )
    for call in calls:
        migrated.run(call, role="headrace_autoscaler")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            migrated.run(call, role="headrace_readonly")

    for table in _tables(migrated):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            migrated.run(f"SELECT FROM {table}", role="headrace_autoscaler")
    with pytest.raises(asyncpg.QueryCanceledError):
        migrated.run("SELECT pg_sleep(10)", role="headrace_autoscaler")


def test_the_reader_reads_what_is_no_secret_and_changes_nothing(migrated: Cluster) -> None:
    migrated.run("SELECT id, username, role FROM users; SELECT * FROM jobs", role="headrace_readonly")

    for statement in (
        "SELECT password_hash FROM users",
        "SELECT * FROM refresh_tokens",
        "SELECT * FROM stream_tickets",
        "SELECT * FROM download_tickets",
        "SELECT * FROM hint_keys",
        "SELECT * FROM api_keys",
        "SELECT * FROM sessions",
        "SELECT * FROM password_resets",
        "SELECT * FROM invitations",
        "SELECT * FROM retired_usernames",
        "SELECT * FROM audit_log",
        "SELECT * FROM audit_chain",
        "DELETE FROM jobs",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            migrated.run(statement, role="headrace_readonly")


def test_roles_that_come_after_the_first_migration_may_do_the_same(server_root: Path) -> None:
    with _postgres(server_root) as postgres, _database(postgres) as cluster:
        migrate(cluster.admin_url)

        cluster.create_roles()
        cluster.create_roles()  # running it again changes nothing

        cluster.run("SELECT * FROM jobs; DELETE FROM attempts", role="headrace_app")
        cluster.run("SELECT headrace_slots_needed(ARRAY['default'], 42)", role="headrace_autoscaler")
        cluster.run("SELECT id FROM users", role="headrace_readonly")
        for statement in (
            "SELECT password_hash FROM users",
            "SELECT * FROM hint_keys",
            "SELECT * FROM api_keys",
            "SELECT * FROM sessions",
            "SELECT * FROM password_resets",
            "SELECT * FROM audit_log",
        ):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                cluster.run(statement, role="headrace_readonly")
        for statement in CHANGES_OF_THE_AUDIT_LOG:
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                cluster.run(statement, role="headrace_app")


def _tables(cluster: Cluster) -> list[str]:
    async def ask() -> list[str]:
        connection = await asyncpg.connect(asyncpg_dsn(cluster.admin_url))
        try:
            rows = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
            return [row[0] for row in rows]
        finally:
            await connection.close()

    return asyncio.run(ask())
