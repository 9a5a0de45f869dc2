"""docs/notifications.md: its receivers verify what the service sends, and it names every type and reason."""

import asyncio
import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import httpx
import playwright
import psutil
import pytest

from app.core.database import Database
from app.notifications.deliverer import Deliverer
from app.notifications.sealing import Sealing
from app.notifications.signatures import format_secret, sign
from app.notifications.states import SUBSCRIBABLE, DeliveryStatus, DisabledReason
from tests.notifications import subscribing
from tests.notifications.subscribing import SECRET
from tests.support import jobs
from tests.support.processes import ROOT
from tests.support.waiting import until

PAGE = (ROOT / "docs" / "notifications.md").read_text()
MAX_LINES = 15

# The one that comes with Playwright: no test depends on what is installed beside the project.
NODE = str(Path(playwright.__file__).parent / "driver" / "node")
RUNNERS = {"python": (sys.executable, "-W", "error"), "js": (NODE,)}
SUFFIXES = {"python": ".py", "js": ".mjs"}


def code(language: str) -> str:
    [found] = re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    return str(found)


@dataclass(frozen=True)
class Receiving:
    """A running receiver: its URL, and what it prints."""

    url: str
    printed: asyncio.StreamReader


@asynccontextmanager
async def receiving(language: str, folder: Path) -> AsyncIterator[Receiving]:
    """Run the receiver of the page, on any free port."""
    script = folder / f"receiver{SUFFIXES[language]}"
    script.write_text(code(language).replace("9000", "0"))
    process = await asyncio.create_subprocess_exec(
        *(*RUNNERS[language], str(script)),
        env={"WEBHOOK_SECRET": format_secret(SECRET)},
        stdout=asyncio.subprocess.PIPE,
    )
    running = psutil.Process(process.pid)

    async def port() -> int:
        assert process.returncode is None
        listening = [found for found in running.net_connections("tcp") if found.status == psutil.CONN_LISTEN]
        return int(listening[0].laddr.port) if listening else 0

    try:
        url = f"http://127.0.0.1:{await until(port)}/hook"
        assert process.stdout is not None
        yield Receiving(url, process.stdout)
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


@pytest.mark.parametrize("language", RUNNERS)
def test_a_receiver_fits_in_fifteen_lines(language: str) -> None:
    assert len([line for line in code(language).splitlines() if line.strip()]) <= MAX_LINES


@pytest.mark.parametrize("language", RUNNERS)
async def test_a_receiver_takes_what_is_signed_and_refuses_everything_else(
    database: Database,
    deliverer: Deliverer,
    sealing: Sealing,
    owner_id: UUID,
    tmp_path: Path,
    language: str,
) -> None:
    async with receiving(language, tmp_path) as running, httpx.AsyncClient(trust_env=False) as http:
        subscription = await subscribing.subscribe(
            database, owner_id, sealing=sealing, target={"url": running.url}, events=["job.completed"]
        )
        await jobs.create(database, owner_id)
        await jobs.complete(database, await jobs.claim(database))
        await deliverer.deliver_due()
        async with asyncio.timeout(30):
            line = (await running.printed.readline()).decode()

        async def answer_to(body: bytes, timestamp: int, signature: str) -> int:
            headers = {
                "webhook-id": "1",
                "webhook-timestamp": str(timestamp),
                "webhook-signature": signature,
            }
            return (await http.post(running.url, content=body, headers=headers)).status_code

        [delivery] = await subscribing.deliveries(database, subscription)
        [tried] = await subscribing.tries(database, delivery.id)
        now = int(tried.at.timestamp())
        body = b'{"type": "ping"}'
        signature = sign([SECRET], "1", now, body)
        old = sign([SECRET], "1", now - 3600, body)
        other = sign([b"x" * 32], "1", now, body)
        answers = [
            await answer_to(body, now, signature),
            await answer_to(body, now, f"{other} {signature}"),
            await answer_to(body + b" ", now, signature),
            await answer_to(body, now + 1, signature),
            await answer_to(body, now - 3600, old),
            await answer_to(body, now, other),
            await answer_to(body, now, ""),
        ]

    assert delivery.status is DeliveryStatus.DELIVERED
    assert (tried.status, line) == (204, f"job.completed {delivery.id}\n")
    assert answers == [204, 204, 400, 400, 400, 400, 400]


def test_the_page_names_every_type_and_every_reason() -> None:
    named = set(re.findall(r"`([a-z_.]+)`", PAGE))

    assert {str(member) for member in SUBSCRIBABLE} <= named
    assert {str(reason) for reason in DisabledReason} <= named
