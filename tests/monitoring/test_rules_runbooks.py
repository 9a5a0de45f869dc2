"""What the runbooks tell an operator to run or to ask exists."""

import re
from typing import Final

import httpx
import pytest
from typer.testing import CliRunner

from app.cli.main import app as command_line
from app.core.config import Settings
from app.core.database import Database
from k8s.components.monitoring import prometheus_rule
from tests.k8s.rendering import name_of, rendered
from tests.support.processes import ROOT

PAGES: Final = {
    path.stem: path.read_text(encoding="utf-8")
    for path in sorted((ROOT / prometheus_rule.RUNBOOKS).glob("Headrace*.md"))
}
EVERYTHING: Final = "\n".join(PAGES.values())

_SQL: Final = re.compile(r"```sql\n(.+?);\n```", re.DOTALL)
_OBJECT: Final = re.compile(r"\b(deployment|job|scaledobject)/([\w-]+)")
_SETTING: Final = re.compile(r"`([A-Z]+(?:_[A-Z]+)+)`")
_ELSEWHERE: Final = frozenset({"ADMIN_URL", "REDIS_URL"})


@pytest.mark.parametrize("alert", [alert for alert, text in PAGES.items() if _SQL.search(text)])
async def test_the_sql_of_a_runbook_runs(alert: str, database: Database) -> None:
    async with database.connection() as connection:
        for statement in _SQL.findall(PAGES[alert]):
            await connection.fetch(statement)


async def test_the_lock_of_a_loop_is_found_while_it_is_held(database: Database) -> None:
    (statement,) = _SQL.findall(PAGES["HeadraceLoopStopped"])
    async with database.connection() as connection, database.transaction() as holder:
        assert await connection.fetch(statement) == []
        await holder.execute("SELECT pg_try_advisory_xact_lock(hashtext('maintenance:rescue'))")

        found = await connection.fetch(statement)

        assert [row["pid"] for row in found] == [await holder.fetchval("SELECT pg_backend_pid()")]


async def test_the_endpoints_of_the_runbooks_exist(client: httpx.AsyncClient) -> None:
    paths = (await client.get("/openapi.json")).json()["paths"]
    named = set(re.findall(r"`(GET|POST|DELETE) (/[\w/{}-]+)`", EVERYTHING))

    assert named
    assert [f"{method} {path}" for method, path in named if method.lower() not in paths.get(path, {})] == []


def test_the_objects_of_the_runbooks_exist() -> None:
    there = {f"{manifest['kind'].lower()}/{name_of(manifest)}" for manifest in rendered("production")}
    named = {f"{kind}/{name}" for kind, name in _OBJECT.findall(EVERYTHING)}

    assert named
    assert named - there == set()


def test_the_commands_of_the_runbooks_exist() -> None:
    named = set(re.findall(r"`headrace (\w+) (\w+)", EVERYTHING))

    assert named
    for group, name in named:
        assert CliRunner().invoke(command_line, [group, name, "--help"]).exit_code == 0, name


def test_the_settings_of_the_runbooks_exist() -> None:
    named = set(_SETTING.findall(EVERYTHING)) - _ELSEWHERE

    assert named
    assert {name for name in named if name.lower() not in Settings.model_fields} == set()
