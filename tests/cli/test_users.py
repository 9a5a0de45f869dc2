"""`headrace users`, with the database at DATABASE_URL and beside a running system."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

from app.cli.migrations import migrate
from app.embedded.servers import EmbeddedServers
from tests.conftest import NOT_DURABLE
from tests.support import processes
from tests.support.processes import ROOT

PASSWORD = "a long enough passphrase"


def run(*arguments: str, database_url: str | None = None, stdin: str = "") -> CompletedProcess[str]:
    env = {name: value for name, value in os.environ.items() if name != "DATABASE_URL"}
    if database_url is not None:
        env["DATABASE_URL"] = database_url
    done = processes.run("app", "users", *arguments, env=env, stdin=stdin.encode(), seconds=120)
    assert "Traceback" not in done.stderr, done.stderr
    return done


def succeed(*arguments: str, database_url: str, stdin: str = "") -> Any:
    done = run(*arguments, "--json", database_url=database_url, stdin=stdin)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_user_is_created_listed_changed_and_deleted(database_url: str) -> None:
    created = succeed("create", "ada", "--role", "viewer", database_url=database_url, stdin=PASSWORD)
    demoted = succeed("role", "ADA", "operator", database_url=database_url)
    disabled = succeed("disable", "ada", database_url=database_url)
    enabled = succeed("enable", "ada", database_url=database_url)
    changed = succeed("passwd", "ada", database_url=database_url, stdin=f"{PASSWORD} 2")
    [listed] = succeed("list", database_url=database_url)
    succeed("delete", "ada", "--yes", database_url=database_url)

    assert created["role"] == "viewer"
    assert (demoted["role"], disabled["is_active"], enabled["is_active"]) == ("operator", False, True)
    assert changed["user_id"] == listed["user_id"] == created["user_id"]
    assert succeed("list", database_url=database_url) == []


def test_the_share_of_a_user_is_set(database_url: str) -> None:
    succeed("create", "ada", database_url=database_url, stdin=PASSWORD)

    changed = succeed("share", "ADA", "0.5", database_url=database_url)
    told = run("share", "ada", "2", database_url=database_url)
    [listed] = succeed("list", database_url=database_url)

    assert changed["share"] == 0.5
    assert told.stdout == "ada is user, enabled, with a share of 2.\n"
    assert listed["share"] == 2.0


@pytest.mark.parametrize("value", ["0", "100.5", "nan", "many"])
def test_a_share_that_makes_no_sense_is_a_usage_error(database_url: str, value: str) -> None:
    done = run("share", "ada", value, database_url=database_url)

    assert done.returncode == 2


def test_quotas_are_shown_and_changed(database_url: str) -> None:
    succeed("create", "ada", database_url=database_url, stdin=PASSWORD)

    before = succeed("quota", "ada", database_url=database_url)
    changed = succeed(
        *("quota", "ADA", "--max-active-jobs", "5", "--max-stored-bytes", "0"), database_url=database_url
    )
    back = succeed("quota", "ada", "--max-active-jobs", "default", database_url=database_url)
    table = run("quota", "ada", database_url=database_url)

    assert before["max_active_jobs"] is before["max_stored_bytes"] is None
    things = ("active_jobs", "running_jobs", "stored_bytes", "model_bytes", "schedules", "subscriptions")
    assert before["used"] == dict.fromkeys(things, 0)
    assert (changed["max_active_jobs"], changed["max_stored_bytes"]) == (5, 0)
    assert (back["max_active_jobs"], back["max_stored_bytes"]) == (None, 0)
    assert "default" in table.stdout
    assert "stored_bytes" in table.stdout


@pytest.mark.parametrize("value", ["0", "-1", "many", "2147483648"])
def test_a_quota_that_makes_no_sense_is_a_usage_error(database_url: str, value: str) -> None:
    done = run("quota", "ada", f"--max-active-jobs={value}", database_url=database_url)

    assert done.returncode == 2
    assert "default" in done.stderr


def test_a_table_lists_the_users(database_url: str) -> None:
    created = succeed("create", "[/ada]", database_url=database_url, stdin=PASSWORD)

    done = run("list", database_url=database_url)

    assert done.returncode == 0
    [line] = done.stdout.splitlines()[1:]
    assert line.split() == ["[/ada]", "user", "yes", created["user_id"]]


REFUSALS = {
    ("role", "nobody", "admin"): ("", "user_not_found"),
    ("passwd", "root"): ("short", "weak_password"),
    ("create", "root"): (PASSWORD, "username_taken"),
    ("create", "\x07"): (PASSWORD, "usage_error"),
    ("disable", "root"): ("", "last_administrator"),
    ("delete", "root", "--yes"): ("", "last_administrator"),
    ("role", "root", "user"): ("", "last_administrator"),
    ("role", "root", "king"): ("", "usage_error"),
}


def test_a_refusal_names_its_reason(database_url: str) -> None:
    succeed("create", "root", "--role", "admin", database_url=database_url, stdin=PASSWORD)

    for arguments, (stdin, code) in REFUSALS.items():
        done = run(*arguments, "--json", database_url=database_url, stdin=stdin)

        assert done.returncode in (1, 2), arguments
        assert json.loads(done.stderr)["code"] == code, arguments


def test_nothing_is_deleted_without_a_yes(database_url: str) -> None:
    succeed("create", "ada", database_url=database_url, stdin=PASSWORD)

    done = run("delete", "ada", database_url=database_url, stdin="n\n")

    assert done.returncode == 1
    assert len(succeed("list", database_url=database_url)) == 1


@pytest.fixture
def data_dir(server_dir: Path) -> Iterator[Path]:
    """The data folder of a running, migrated system."""
    with EmbeddedServers(server_dir, postgres_options=NOT_DURABLE) as servers:
        migrate(servers.postgres.url)
        yield server_dir


def test_the_database_of_a_running_system_is_found_by_its_folder(data_dir: Path) -> None:
    where = ("--data", str(data_dir), "--json")

    created = run("create", "ada", *where, stdin=PASSWORD)
    listed = run("list", *where)

    assert created.returncode == 0, created.stderr
    assert [user["username"] for user in json.loads(listed.stdout)] == ["ada"]


def test_a_folder_without_a_running_system_says_what_to_start(tmp_path: Path) -> None:
    done = run("list", "--data", str(tmp_path), "--json")

    error = json.loads(done.stderr)
    assert (done.returncode, error["code"]) == (1, "cannot_start")
    assert "headrace dev --data" in error["detail"]
    assert not list(tmp_path.iterdir())


def test_without_a_database_it_says_how_to_name_one(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "app", "users", "list", "--json"],
        env={
            **{name: value for name, value in os.environ.items() if name != "DATABASE_URL"},
            "PYTHONPATH": str(ROOT),
        },
        cwd=tmp_path,  # no .env
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert done.returncode == 1
    assert "--data" in json.loads(done.stderr)["detail"]
