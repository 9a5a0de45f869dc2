"""Refused sign-ins leave few entries, however many there are."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from app.audit.actions import Action, AuditOutcome
from app.audit.refusals import Refusals, open_refusals
from app.audit.values import Actor
from app.core import background, write_behind
from app.core.database import Database
from app.core.errors import DatabaseUnavailable
from tests.audit.tampering import entries
from tests.support import jobs, rows
from tests.support.waiting import until

HERE = Actor(network="192.0.2.1", request_id="r-1")
LONG = 3600.0


class Unavailable(Database):
    """A database that nobody reaches; counts who tried."""

    def __init__(self) -> None:
        self.asked = 0

    def connection(self):  # type: ignore[no-untyped-def]  # it never returns a connection
        """Raise DatabaseUnavailable."""
        self.asked += 1
        raise DatabaseUnavailable


@pytest.fixture
def refusals(database: Database) -> Refusals:
    """Counts repetitions for longer than any test takes."""
    return Refusals(database, period_seconds=LONG, max_names=3, max_counted=8)


async def refuse(
    refusals: Refusals, name: str = "ada", outcome: AuditOutcome = AuditOutcome.FAILED, *, by: Actor = HERE
) -> None:
    await refusals.record(by, Action.SIGN_IN, outcome, name)


async def repeats(database: Database) -> list[int | None]:
    return [entry["details"].get("repeats") for entry in await entries(database)]


async def test_two_hundred_thousand_refusals_leave_two_entries(
    refusals: Refusals, database: Database
) -> None:
    await jobs.user(database, "ada")
    for _ in range(200_000):
        await refuse(refusals)
    first = await entries(database)
    await refusals.write_all()

    [one, rest] = await entries(database)
    assert first == [one]
    assert (one["request_id"], one["details"]) == ("r-1", {"username": "ada"})
    assert (rest["request_id"], rest["details"]) == (None, {"username": "ada", "repeats": 199_999})
    assert (rest["outcome"], rest["network"], rest["object_id"]) == ("failed", HERE.network, one["object_id"])


async def test_of_refusals_at_once_one_is_the_first(refusals: Refusals, database: Database) -> None:
    await asyncio.gather(*(refuse(refusals) for _ in range(50)))
    await refusals.write_all()

    assert await repeats(database) == [None, 49]


async def test_each_account_network_and_outcome_is_counted_separately(
    refusals: Refusals, database: Database
) -> None:
    await refuse(refusals)
    await refuse(refusals, "bob")
    await refuse(refusals, outcome=AuditOutcome.THROTTLED)
    await refuse(refusals, by=Actor(network="192.0.2.2"))

    assert await repeats(database) == [None] * 4


async def test_many_names_from_one_network_are_counted_together(
    refusals: Refusals, database: Database
) -> None:
    for number in range(100):
        await refuse(refusals, f"user-{number}")
    await refusals.write_all()

    assert await repeats(database) == [None, None, None, None, 96]


async def test_many_networks_are_counted_together(refusals: Refusals, database: Database) -> None:
    for number in range(100):
        await refuse(refusals, by=Actor(network=f"192.0.2.{number}"))
    await refusals.write_all()

    found = await entries(database)
    assert [entry["details"].get("repeats") for entry in found] == [None] * 9 + [91]
    assert found[-1]["network"] is None


async def test_the_repetitions_of_a_period_are_recorded_when_it_is_over(database: Database) -> None:
    refusals = Refusals(database, period_seconds=0.05)
    for _ in range(3):
        await refuse(refusals)

    async def are_recorded() -> bool:
        return sum(1 + (count or 0) - (count is not None) for count in await repeats(database)) == 3

    async with background.running(write_behind.repeat("refusals", refusals.write_due, seconds=0.05)):
        assert await until(are_recorded, seconds=30)
    before = len(await entries(database))
    await refuse(refusals)  # a new period
    assert len(await entries(database)) == before + 1


async def test_the_last_repetitions_are_recorded_at_the_end(database: Database) -> None:
    async with open_refusals(database) as refusals:
        for _ in range(3):
            await refuse(refusals)

    assert await repeats(database) == [None, 2]


async def test_while_postgres_is_away_a_throttled_attempt_asks_it_once_a_period() -> None:
    away = Unavailable()
    refusals = Refusals(away, period_seconds=LONG)

    for _ in range(100):
        await refuse(refusals, outcome=AuditOutcome.THROTTLED)

    assert away.asked == 1


async def test_while_postgres_is_away_no_wrong_password_passes_unrecorded() -> None:
    refusals = Refusals(Unavailable(), period_seconds=LONG)

    for _ in range(2):
        with pytest.raises(DatabaseUnavailable):
            await refuse(refusals)


@pytest.mark.parametrize("write", [Refusals.write_due, Refusals.write_all])
async def test_while_postgres_is_away_repetitions_are_kept(
    refusals: Refusals, database: Database, write: Callable[[Refusals], Awaitable[None]]
) -> None:
    for _ in range(3):
        await refuse(refusals)
    refusals._period_seconds = 0.0  # it is over

    refusals._database = Unavailable()
    with pytest.raises(DatabaseUnavailable):
        await write(refusals)
    refusals._database = database
    await write(refusals)

    assert await repeats(database) == [None, 2]


async def test_repetitions_of_a_refusal_that_cannot_be_recorded_are_kept(database: Database) -> None:
    refusals = Refusals(database, period_seconds=LONG)
    async with rows.transaction(database) as connection:
        await connection.execute("LOCK TABLE audit_log IN ACCESS EXCLUSIVE MODE")
        first = asyncio.create_task(refuse(refusals))
        await rows.wait_until_blocked(database)
        for _ in range(2):
            await refuse(refusals)
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
    await refusals.write_all()

    assert await repeats(database) == [2]
