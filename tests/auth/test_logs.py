"""What the API writes down in production, as a process of its own."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import httpx

from app.core.config import Settings
from tests.auth.support import me, refresh, sign_in
from tests.support import processes
from tests.support.waiting import until

CANARY = "canary-7d41-zebra"
SECRET = f"{CANARY}-and-32-bytes-in-all-at-least"


@asynccontextmanager
async def production(settings: Settings, folder: Path) -> AsyncIterator[tuple[httpx.AsyncClient, Path]]:
    """A client of the API as any ASGI server runs it, and the API's log."""
    socket, log = folder / "api.sock", folder / "api.log"
    environment = processes.environment(settings, ENVIRONMENT="production", SECRET_KEY=SECRET)
    server = ("-m", "uvicorn", "app.main:create_app", "--factory", "--uds", str(socket))
    async with (
        processes.python(*server, env=environment, log_path=log),
        httpx.AsyncClient(
            transport=httpx.AsyncHTTPTransport(uds=str(socket)), base_url="http://test"
        ) as client,
    ):

        async def answers() -> bool:
            try:
                return (await client.get("/users/me")).status_code == 401
            except httpx.ConnectError:
                return False

        await until(answers)
        yield client, log


async def test_no_log_and_no_answer_holds_a_password_or_a_token(settings: Settings, tmp_path: Path) -> None:
    body = {"username": "ada", "password": CANARY}
    async with production(settings, tmp_path) as (client, log):
        answers = [
            await client.post("/users", json=body),
            await client.post("/users", json=body),
            await client.post("/users", json={**body, "username": ""}),
            await client.post("/users", json={"username": {"password": CANARY}, "password": [CANARY]}),
            await client.post("/users", content=CANARY, headers={"Content-Type": "application/json"}),
            await client.post("/users", content=CANARY, headers={"Content-Type": "text/plain"}),
            await sign_in(client, "ada", CANARY),
            await sign_in(client, "nobody", CANARY),
            await client.post("/token", data={"username": CANARY * 100, "password": CANARY}),
            await me(client, CANARY),
            await refresh(client, CANARY),
            await client.post("/token", data={"grant_type": CANARY, "username": CANARY}),
            await client.post("/session", json=body),
            await client.post("/session/refresh", headers={"Cookie": f"__Host-headrace={CANARY}"}),
        ]
        await break_the_users_table(settings.database_url)
        answers.append(await sign_in(client, "ada", CANARY))

    assert [answer.status_code for answer in answers] == [
        201, 409, 422, 422, 400, 415, 200, 401, 422, 401, 401, 400, 200, 401, 500,
    ]  # fmt: skip
    assert not [answer.text for answer in answers if CANARY in answer.text]
    written = log.read_text()
    assert "UndefinedColumn" in written
    assert CANARY not in written
    assert "UndefinedColumn" not in answers[-1].text
    assert "password_hash" not in answers[-1].text


async def break_the_users_table(database_url: str) -> None:
    """Make the next sign-in fail in the middle, with the password at hand."""
    connection = await asyncpg.connect(database_url)
    await connection.execute("ALTER TABLE users RENAME COLUMN password_hash TO moved")
    await connection.close()


async def test_whatever_is_asked_for_a_record_is_one_line(settings: Settings, tmp_path: Path) -> None:
    async with production(settings, tmp_path) as (client, log):
        await client.get("/a%0AERROR%20forged", headers={"X-Request-ID": "the-one"})
        await client.post("/users", json={"username": "a\nERROR forged", "password": CANARY})

    records = [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]
    [asked] = [record for record in records if record.get("request_id") == "the-one"]
    assert (asked["event"], asked["level"], asked["status"]) == ("request", "info", 404)
    assert asked["path"] == "/a\nERROR forged"
    assert not [line for line in log.read_text().splitlines() if line.startswith("ERROR forged")]
