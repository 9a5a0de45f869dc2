"""The API in its own process, with an authenticated client."""

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from app.auth.tokens import Tokens
from app.core.config import Settings
from app.core.database import Database
from tests.support import jobs, processes
from tests.support.processes import START_SECONDS, Process

HOST = "127.0.0.1"
ANSWER_SECONDS = 60.0


@dataclass(frozen=True)
class Api:
    """An API process and its client."""

    process: Process
    client: httpx.AsyncClient


async def sign_in(settings: Settings, database: Database, name: str = "ada") -> dict[str, str]:
    """Create a user and return the authentication headers; signs the token without calling the API."""
    user_id = await jobs.user(database, name)
    return {"Authorization": f"Bearer {Tokens(settings).issue_access(user_id)}"}


@asynccontextmanager
async def api(settings: Settings, log_path: Path, headers: dict[str, str], **more: str) -> AsyncIterator[Api]:
    """Run an API, ready to serve. The client has a timeout of `ANSWER_SECONDS`."""
    with socket.create_server((HOST, 0), backlog=128) as listener:
        base_url = f"http://{HOST}:{listener.getsockname()[1]}"
        async with (
            processes.program(
                *("app", "serve", "--fd", str(listener.fileno())),
                env=processes.environment(settings, **more),
                log_path=log_path,
                pass_fds=(listener.fileno(),),
            ) as process,
            httpx.AsyncClient(base_url=base_url, headers=headers, timeout=ANSWER_SECONDS) as client,
        ):
            # Close our copy of the socket: when the process dies, new connections must be refused.
            listener.close()
            try:
                answer = await client.get("/health/live", timeout=START_SECONDS)
            except httpx.TransportError as error:
                raise AssertionError(f"the API did not start: {process.log}") from error
            assert answer.status_code == 200, process.log
            yield Api(process, client)
