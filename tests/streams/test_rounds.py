"""Reads of owners' logs in rounds: one statement for all that wait."""

import asyncio
from collections.abc import Sequence
from uuid import UUID

import asyncpg
import pytest

from app.core import background, ids
from app.core.database import Database
from app.core.errors import DatabaseUnavailable
from app.streams import owner_log
from app.streams.followers import HubClosed
from app.streams.owner_log import BEGINNING, OwnerPosition, Page
from app.streams.rounds import MAX_LOGS_AT_ONCE, LogRounds
from tests.support import jobs
from tests.support.accounts import Account
from tests.support.following import until_final
from tests.support.waiting import TIMEOUT_SECONDS

HOUR = 3600.0

Asked = list[Sequence[tuple[UUID, OwnerPosition]]]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Asked:
    """What each statement read."""
    found: Asked = []
    read = owner_log.read_many

    async def noted(
        connection: asyncpg.Connection, requests: Sequence[tuple[UUID, OwnerPosition]]
    ) -> list[Page]:
        found.append(requests)
        return await read(connection, requests)

    monkeypatch.setattr(owner_log, "read_many", noted)
    return found


async def test_each_reader_gets_the_page_of_its_owner_from_one_statement(
    alice: Account, mallory: Account, store: Database, asked: Asked
) -> None:
    mine = await jobs.running(store, alice.id)
    theirs = await jobs.create(store, mallory.id)
    stranger = ids.new_id()
    await until_final(store)
    rounds = LogRounds(store, HOUR)

    async with asyncio.timeout(TIMEOUT_SECONDS), background.running(rounds.run_forever()):
        pages = await asyncio.gather(
            *(rounds.read(owner_id, BEGINNING) for owner_id in (alice.id, mallory.id, stranger, alice.id))
        )
    first = pages[0].events[0]

    assert len(asked) == 1
    assert sorted(asked[0]) == sorted((owner_id, BEGINNING) for owner_id in (alice.id, mallory.id, stranger))
    assert [[(entry.event.job_id, entry.event.seq) for entry in page.events] for page in pages] == [
        [(mine.id, 1), (mine.id, 2)],
        [(theirs, 1)],
        [],
        [(mine.id, 1), (mine.id, 2)],
    ]
    assert first.position.job_id == mine.id
    assert [(page.is_last, page.has_held_back) for page in pages] == [(True, False)] * 4


async def test_what_is_asked_within_a_round_waits_for_the_next(
    alice: Account, store: Database, asked: Asked
) -> None:
    rounds = LogRounds(store, 0.2)

    async with asyncio.timeout(TIMEOUT_SECONDS), background.running(rounds.run_forever()):
        await rounds.read(alice.id, BEGINNING)
        await asyncio.gather(*(rounds.read(ids.new_id(), BEGINNING) for _ in range(MAX_LOGS_AT_ONCE + 1)))

    assert [len(requests) for requests in asked] == [1, MAX_LOGS_AT_ONCE, 1]


async def test_a_page_is_smaller_when_many_are_read_but_never_empty(
    alice: Account, mallory: Account, store: Database
) -> None:
    for owner in (alice, mallory):
        await jobs.complete(store, await jobs.running(store, owner.id))
    await until_final(store)

    async with store.connection() as connection:
        asked = [(alice.id, BEGINNING), (mallory.id, BEGINNING)]
        pages = await owner_log.read_many(connection, asked, max_bytes=2)

    assert [(len(page.events), page.is_last) for page in pages] == [(1, False), (1, False)]


async def test_each_reader_hears_that_postgres_is_away_and_may_ask_again(
    alice: Account, store: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fails(*_: object) -> list[Page]:
        raise DatabaseUnavailable

    rounds = LogRounds(store, 0.01)
    async with asyncio.timeout(TIMEOUT_SECONDS), background.running(rounds.run_forever()):
        with monkeypatch.context() as patch:
            patch.setattr(owner_log, "read_many", fails)
            failed = await asyncio.gather(
                *(rounds.read(owner_id, BEGINNING) for owner_id in (alice.id, ids.new_id())),
                return_exceptions=True,
            )
        page = await rounds.read(alice.id, BEGINNING)

    assert [type(error) for error in failed] == [DatabaseUnavailable] * 2
    assert page.events == []


async def test_a_read_that_waits_when_the_process_ends_is_closed(alice: Account, store: Database) -> None:
    rounds = LogRounds(store, HOUR)
    async with asyncio.timeout(TIMEOUT_SECONDS):
        async with background.running(rounds.run_forever()):
            await rounds.read(alice.id, BEGINNING)
            waiting = asyncio.create_task(rounds.read(alice.id, BEGINNING))
            await asyncio.sleep(0)

        with pytest.raises(HubClosed):
            await waiting
        with pytest.raises(HubClosed):
            await rounds.read(ids.new_id(), BEGINNING)
