"""The process that delivers notifications dies at the worst moments: each event arrives, with one id."""

import base64
import signal
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from uuid import UUID

import httpx
import pytest

from app.core.config import Settings
from app.core.database import Database
from app.notifications.sealing import Sealing
from tests.faults.conftest import System
from tests.faults.support import EXIT_SECONDS
from tests.notifications import receiver as receivers
from tests.notifications import subscribing
from tests.notifications.receiver import Receiver, receiving
from tests.support import jobs, processes
from tests.support.processes import Process
from tests.support.waiting import until

STEPS = ("take_deliveries:after", "record_deliveries:before", "record_deliveries:after")


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as running:
        yield running


@pytest.fixture
async def owner_id(database: Database) -> UUID:
    return await jobs.user(database)


def notify(settings: Settings, folder: Path, name: str, **more: str) -> AbstractAsyncContextManager[Process]:
    environment = processes.environment(settings, WEBHOOK_ALLOWED_NETWORKS="127.0.0.0/8", **more)
    return processes.program("app", "notify", env=environment, log_path=folder / f"{name}.log")


async def is_delivered(database: Database) -> bool:
    found = await subscribing.deliveries(database)
    return bool(found) and all(delivery.status == "delivered" for delivery in found)


@pytest.mark.parametrize("step", STEPS)
async def test_an_event_is_delivered_by_the_next_process_after_one_died(
    settings: Settings, database: Database, receiver: Receiver, owner_id: UUID, tmp_path: Path, step: str
) -> None:
    await subscribing.subscribe(
        database,
        owner_id,
        sealing=Sealing(settings),
        target={"url": receiver.url},
        events=["job.completed"],
    )
    await jobs.complete(database, await jobs.running(database, owner_id, rows=5))

    async with notify(settings, tmp_path, "first", FAILPOINTS=f"{step}=kill") as first:
        assert await first.wait(EXIT_SECONDS) == -9
    await subscribing.make_due(database)  # the lease is over
    async with notify(settings, tmp_path, "second"):
        await until(lambda: is_delivered(database))

    # Before the record, the receiver has it, and gets it again; its id says so.
    assert len(receiver.received) == {0: 1, 1: 2, 2: 1}[STEPS.index(step)]
    assert len({received.id for received in receiver.received}) == 1


async def test_an_event_committed_by_an_api_that_died_at_once_is_delivered(
    system: System, settings: Settings, database: Database, receiver: Receiver, tmp_path: Path
) -> None:
    async with system.api(FAILPOINTS="cancel:after=kill", DELIVER_NOTIFICATIONS="false") as api:
        created = await api.client.post("/jobs/count", json={"batches": 3})
        job_id = UUID(created.json()["job_id"])
        await subscribing.subscribe(
            database,
            (await jobs.read(database, job_id)).owner_id,
            sealing=Sealing(settings),
            target={"url": receiver.url},
            events=["job.cancelled"],
        )
        with pytest.raises(httpx.TransportError):
            await api.client.delete(f"/jobs/{job_id}")
        assert await api.process.wait(EXIT_SECONDS) == -9

    async with notify(settings, tmp_path, "notify"):
        [received] = await receiver.wait_for(1)

    assert received.json["data"]["job_id"] == str(job_id)


async def test_the_api_delivers_by_itself_and_a_receiver_that_was_down_gets_everything_in_order(
    system: System, settings: Settings, database: Database, owner_id: UUID
) -> None:
    async with receiving() as first:
        port = first.port
    await subscribing.subscribe(
        database, owner_id, sealing=Sealing(settings), target={"url": f"http://127.0.0.1:{port}/"}
    )
    for _ in range(3):
        await jobs.complete(database, await jobs.running(database, owner_id, rows=5))

    async def has_failed() -> bool:
        return any(delivery.tries for delivery in await subscribing.deliveries(database))

    async with system.api(WEBHOOK_ALLOWED_NETWORKS="127.0.0.0/8"):
        await until(has_failed)
        async with receiving(port=port) as back:

            async def all_came() -> bool:
                await subscribing.make_due(database)  # instead of a wait for the retries
                return await is_delivered(database)

            await until(all_came)

    seqs: dict[str, list[int]] = {}
    for received in back.received:
        data = received.json["data"]
        seqs.setdefault(data["job_id"], []).append(data["seq"])
    assert len(seqs) == 3
    assert all(list(dict.fromkeys(of_job)) == sorted(set(of_job)) for of_job in seqs.values())
    assert all(len(set(of_job)) == 2 for of_job in seqs.values())


async def test_notify_stops_on_sigterm_with_success_and_puts_back_what_is_in_flight(
    settings: Settings, database: Database, receiver: Receiver, owner_id: UUID, tmp_path: Path
) -> None:
    receiver.respond = receivers.never
    subscription = await subscribing.subscribe(
        database, owner_id, sealing=Sealing(settings), target={"url": receiver.url}
    )
    async with database.connection() as connection:
        await subscribing.flood(connection, subscription, 1)

    async with notify(settings, tmp_path, "notify") as process:
        await receiver.wait_for(1)
        process.send(signal.SIGTERM)
        assert await process.wait(EXIT_SECONDS) == 0

    [delivery] = await subscribing.deliveries(database)
    assert (delivery.status, delivery.tries) == ("pending", 0)


async def test_no_log_has_a_secret_a_url_or_an_answer(
    settings: Settings, database: Database, receiver: Receiver, owner_id: UUID, tmp_path: Path
) -> None:
    receiver.respond = receivers.answer(500, b"an answer of the receiver")
    secret = b"a secret of a subscription, long"
    subscription = await subscribing.subscribe(
        database,
        owner_id,
        sealing=Sealing(settings),
        secrets=[(secret, None)],
        target={"url": f"{receiver.url}?token=of-the-url"},
    )
    async with database.connection() as connection:
        await subscribing.flood(connection, subscription, 3)

    async with notify(settings, tmp_path, "notify") as process:
        await receiver.wait_for(2)
        process.send(signal.SIGTERM)
        await process.wait(EXIT_SECONDS)
        log = process.log

    assert "notify_started" in log
    for text in ("of-the-url", str(receiver.port), "an answer of", base64.b64encode(secret).decode()):
        assert text not in log
