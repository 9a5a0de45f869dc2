"""`headrace audit`, with the database at DATABASE_URL."""

import asyncio
import csv
import io
import json
import os
import subprocess
import sys

import asyncpg
import pytest

from app.core.config import Settings
from app.core.database import asyncpg_dsn
from tests.audit.tampering import Tampering
from tests.conftest import Servers
from tests.support.processes import ROOT

PASSWORD = "a long enough passphrase"


def run(
    *arguments: str, database_url: str, stdin: str = "", succeeds: bool = True
) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", "app", *arguments],
        input=stdin,
        env={**os.environ, "DATABASE_URL": database_url},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert "Traceback" not in done.stderr, done.stderr
    assert (done.returncode == 0) is succeeds, done.stderr
    return done


@pytest.fixture
def log(database_url: str) -> str:
    """The URL of a database in which the command line has done what it can do."""
    for command in (
        ("create", "ada"),
        ("role", "ada", "admin"),
        ("passwd", "ada"),
        ("create", "bob"),
        ("disable", "bob"),
        ("enable", "bob"),
        ("delete", "bob", "--yes"),
    ):
        run("users", *command, database_url=database_url, stdin=PASSWORD)
    return database_url


def test_what_the_command_line_does_is_listed_exported_and_verified(log: str) -> None:
    listed = json.loads(run("audit", "list", "--json", database_url=log).stdout)
    table = run("audit", "list", "--limit", "2", database_url=log).stdout
    exported = list(csv.DictReader(io.StringIO(run("audit", "export", database_url=log).stdout)))
    as_lines = run("audit", "export", "--format", "ndjson", database_url=log).stdout.splitlines()
    of_roles = json.loads(
        run("audit", "list", "--action", "user.role_changed", "--json", database_url=log).stdout
    )
    of_ada = run("audit", "list", "--actor", "ada", "--json", database_url=log).stdout
    verified = json.loads(run("audit", "verify", "--json", database_url=log).stdout)

    assert [entry["action"] for entry in reversed(listed)] == [
        "user.created",
        "user.role_changed",
        "password.set",
        "user.created",
        "user.disabled",
        "user.enabled",
        "user.deleted",
    ]
    assert {entry["actor_name"] for entry in listed} == {"command line"}
    assert "user.deleted" in table
    assert "user.created" not in table
    assert [line["seq"] for line in exported] == [str(entry["seq"]) for entry in listed]
    assert [json.loads(line) for line in as_lines] == listed
    assert [entry["seq"] for entry in of_roles] == [2]
    assert json.loads(of_ada) == []
    assert (verified["is_intact"], verified["entries"]) == (True, 7)
    assert PASSWORD not in json.dumps(listed)


def test_tampering_ends_a_verification_with_an_error(log: str, servers: Servers, settings: Settings) -> None:
    known = run("audit", "verify", database_url=log).stdout.splitlines()[-1]
    again = run("audit", "verify", "--known", known, database_url=log).stdout
    asyncio.run(Tampering(servers, settings).run("DELETE FROM audit_log WHERE seq = 3"))

    broken = run("audit", "verify", "--json", database_url=log, succeeds=False)
    sentence = run("audit", "verify", database_url=log, succeeds=False).stderr

    assert known in again
    document = json.loads(broken.stderr)
    assert (document["code"], document["broken_seq"]) == ("audit_log_not_intact", 3)
    assert "Entry 3" in sentence


@pytest.mark.parametrize(
    "arguments", [("verify", "--known", "3"), ("list", "--action", "unknown"), ("export", "--format", "xml")]
)
def test_wrong_usage_is_named(database_url: str, arguments: tuple[str, ...]) -> None:
    done = run("audit", *arguments, database_url=database_url, succeeds=False)

    assert done.returncode == 2


def test_the_actor_of_a_filter_exists(database_url: str) -> None:
    done = run("audit", "list", "--actor", "nobody", "--json", database_url=database_url, succeeds=False)

    assert json.loads(done.stderr)["code"] == "user_not_found"


def test_the_log_of_a_migrated_database_is_empty_and_intact(database_url: str) -> None:
    async def count() -> int:
        connection = await asyncpg.connect(asyncpg_dsn(database_url))
        try:
            found: int = await connection.fetchval("SELECT count(*) FROM audit_log")
            return found
        finally:
            await connection.close()

    assert json.loads(run("audit", "verify", "--json", database_url=database_url).stdout)["is_intact"]
    assert asyncio.run(count()) == 0
