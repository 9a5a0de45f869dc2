"""The log of a job over HTTP."""

from typing import Any
from uuid import UUID

import httpx
import pytest

from app.core import ids
from app.core.database import Database
from app.jobs.logs import levels
from app.jobs.logs.levels import LogLevel
from app.jobs.logs.schemas import JobLog
from tests.jobs.test_http import assert_problem
from tests.support import jobs, logs, rows
from tests.support.accounts import Account
from tests.support.schemas import assert_matches

HOSTILE = '<script>"\u202e\n&'


async def read(client: httpx.AsyncClient, who: Account, job_id: UUID, **params: Any) -> tuple[list[Any], int]:
    """Return the numbers of the lines, and the number after which to read on."""
    answer = await client.get(f"/jobs/{job_id}/logs", params=params, headers=who.headers)
    assert answer.status_code == 200, answer.text
    page = answer.json()
    assert_matches(JobLog, page)
    return [line["line"] for line in page["items"]], page["next_after"]


@pytest.fixture
async def job_id(store: Database, alice: Account) -> UUID:
    """A job with the lines 1 to 6, of which 3 is a warning, 4 an error, and 5 and 6 are of attempt 2."""
    first = await jobs.running(store, alice.id)
    await logs.write(
        store,
        logs.part(first, ["one", "two"], level=LogLevel.DEBUG),
        logs.part(first, ["three"], number=2, level=LogLevel.WARNING),
        logs.part(first, [HOSTILE], number=3, level=LogLevel.ERROR),
    )
    await jobs.release(store, first)
    second = await jobs.claim(store)
    await logs.write(store, logs.part(second, ["five", "six"]))
    return first.id


async def test_a_line_says_when_which_attempt_wrote_what(
    client: httpx.AsyncClient, alice: Account, job_id: UUID
) -> None:
    answer = await client.get(f"/jobs/{job_id}/logs?level=error", headers=alice.headers)

    [line] = answer.json()["items"]
    at = line.pop("at")
    assert line == {"line": 4, "attempt": 1, "level": "error", "text": HOSTILE}
    assert at.endswith("Z")


async def test_the_log_is_read_in_pages_forwards_and_backwards(
    client: httpx.AsyncClient, alice: Account, job_id: UUID
) -> None:
    assert await read(client, alice, job_id) == ([1, 2, 3, 4, 5, 6], 6)
    assert await read(client, alice, job_id, limit=4) == ([1, 2, 3, 4], 4)
    assert await read(client, alice, job_id, limit=4, after=4) == ([5, 6], 6)
    assert await read(client, alice, job_id, limit=2, after=4) == ([5, 6], 6)
    assert await read(client, alice, job_id, after=6) == ([], 6)
    assert await read(client, alice, job_id, after=60) == ([], 60)
    assert await read(client, alice, job_id, newest=True, limit=2) == ([5, 6], 6)
    assert await read(client, alice, job_id, newest=True, limit=2, before=5) == ([3, 4], 4)
    assert await read(client, alice, job_id, before=3) == ([1, 2], 2)
    assert await read(client, alice, job_id, after=1, before=3) == ([2], 2)


async def test_filters_choose_lines_and_do_not_hold_up_a_reader(
    client: httpx.AsyncClient, alice: Account, job_id: UUID
) -> None:
    assert await read(client, alice, job_id, attempt=2) == ([5, 6], 6)
    assert await read(client, alice, job_id, attempt=3) == ([], 6)
    assert await read(client, alice, job_id, level="warning") == ([3, 4], 6)
    assert await read(client, alice, job_id, level="warning", limit=1) == ([3], 3)
    assert await read(client, alice, job_id, level="info", attempt=1, newest=True) == ([3, 4], 6)


async def test_a_job_that_wrote_nothing_has_an_empty_log(
    client: httpx.AsyncClient, alice: Account, store: Database
) -> None:
    job_id = await jobs.create(store, alice.id)

    assert await read(client, alice, job_id) == ([], 0)
    assert await read(client, alice, job_id, newest=True) == ([], 0)


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=1001", "after=-1", "attempt=0", "level=loud", "before=0", f"after={10**30}"]
)
async def test_a_query_that_makes_no_sense_is_refused(
    client: httpx.AsyncClient, alice: Account, job_id: UUID, query: str
) -> None:
    answer = await client.get(f"/jobs/{job_id}/logs?{query}", headers=alice.headers)

    assert_problem(answer, 422, "validation_error")


async def test_a_log_is_its_owners_alone_and_ends_with_the_results(
    client: httpx.AsyncClient, alice: Account, mallory: Account, store: Database, job_id: UUID
) -> None:
    path = f"/jobs/{job_id}/logs"

    assert_problem(await client.get(path, headers=mallory.headers), 403, "not_your_job")
    assert_problem(
        await client.get(f"/jobs/{ids.new_id()}/logs", headers=alice.headers), 404, "job_not_found"
    )
    assert (await client.get(path)).status_code == 401

    await rows.execute(store, "UPDATE jobs SET pruned_at = now() WHERE id = $1", job_id)
    assert_problem(await client.get(path, headers=alice.headers), 410, "results_expired")


@pytest.mark.parametrize(
    ("word", "level"),
    [("warn", "warning"), ("CRITICAL", "error"), (" Error ", "error"), ("notice", "info"), ("", "info")],
)
def test_the_level_of_a_line_is_one_of_four(word: str, level: str) -> None:
    assert levels.parse(word) == level
