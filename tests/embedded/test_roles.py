"""The application signs in with a password and is not a superuser, on old clusters too."""

import asyncio
from pathlib import Path
from typing import BinaryIO

import asyncpg
import pytest

from app.cli.migrations import migrate
from app.embedded.account import Account
from app.embedded.postgres import PORT, EmbeddedPostgres
from app.embedded.servers import EmbeddedServers
from tests.conftest import NOT_DURABLE
from tests.embedded.support import ask, tell


async def test_the_applications_role_is_no_superuser_and_runs_no_program(
    running_servers: EmbeddedServers,
) -> None:
    url = running_servers.postgres.url

    assert (
        await ask(url, "SELECT rolsuper OR rolcreaterole FROM pg_roles WHERE rolname = current_user") is False
    )
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await tell(url, "CREATE TEMP TABLE said (line text); COPY said FROM PROGRAM 'id'")
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await ask(url, "SELECT pg_read_file('pg_hba.conf')")


@pytest.mark.parametrize("role", ["postgres", "headrace"])
async def test_a_connection_without_the_password_is_rejected(
    running_servers: EmbeddedServers, role: str
) -> None:
    _, where = running_servers.postgres.url.split("@")

    for who in (role, f"{role}:wrong"):
        with pytest.raises(asyncpg.InvalidPasswordError):
            await asyncpg.connect(f"postgresql://{who}@{where}")


def test_only_the_owner_can_read_the_passwords(running_servers: EmbeddedServers) -> None:
    postgres = running_servers.postgres
    kept = list(postgres.data_dir.glob("*-password"))

    assert len(kept) == 2
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in kept)
    assert postgres.socket_dir.stat().st_mode & 0o777 == 0o700
    assert all(path.read_text() not in postgres.log_path.read_text() for path in kept)


class _OldPostgres(EmbeddedPostgres):
    """A cluster from before there were roles: all clients of the socket are the superuser."""

    @property
    def url(self) -> str:
        return f"postgresql://postgres@/postgres?host={self.socket_dir}&port={PORT}"

    def _require_passwords(self, owner: Account | None, log: BinaryIO) -> None:
        pass


async def test_a_cluster_of_an_older_version_is_migrated_with_its_data(server_dir: Path) -> None:
    old = _OldPostgres(server_dir / "old", options=NOT_DURABLE)
    await asyncio.to_thread(old.start)
    try:
        await asyncio.to_thread(migrate, old.url)
        await tell(old.url, "CREATE TABLE notes AS SELECT 'kept' AS text")
        await tell(
            old.url, "CREATE TYPE mood AS ENUM ('calm'); CREATE SCHEMA more; CREATE SEQUENCE more.numbers"
        )
    finally:
        await asyncio.to_thread(old.stop)

    new = EmbeddedPostgres(server_dir / "old", options=NOT_DURABLE)
    await asyncio.to_thread(new.start)
    try:
        await asyncio.to_thread(migrate, new.url)
        assert await ask(new.url, "SELECT text FROM notes") == "kept"
        assert await ask(new.url, _LEFT_TO_THE_SUPERUSER) == 0
        await tell(new.url, "ALTER TABLE jobs ADD COLUMN more int; DROP TYPE mood; DROP SCHEMA more CASCADE")
        with pytest.raises(asyncpg.InvalidPasswordError):
            await asyncpg.connect(old.url.replace(str(old.socket_dir), str(new.socket_dir)))
    finally:
        await asyncio.to_thread(new.stop)


_LEFT_TO_THE_SUPERUSER = """
SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relowner = 10 AND n.nspname !~ '^(pg_|information_schema)'"""
