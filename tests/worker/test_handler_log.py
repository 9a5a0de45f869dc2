"""How a worker stores the lines of its handlers: together, not more than are kept, and before the end."""

import tracemalloc

import pytest

from app.core import background
from app.core.database import open_database
from app.core.resources import Resources
from app.jobs.logs import lines
from app.jobs.transition_types import ClaimedJob
from tests.conftest import Servers
from tests.support import jobs, logs, proxy, rows
from tests.support.waiting import until
from worker.children import messages
from worker.handler_log import HandlerLog, HandlerLogs

INSERT = "INSERT INTO job_logs"


def line(text: object, level: str = "info") -> messages.Log:
    return messages.Log(level=level, text=str(text))


@pytest.fixture
async def job(resources: Resources) -> ClaimedJob:
    return await jobs.running(resources.database)


async def parts(resources: Resources) -> list[tuple[int, int]]:
    """Return the numbers and sizes of all parts that are stored, in lines."""
    found = await rows.fetch(
        resources.database, "SELECT part, cardinality(texts) AS lines FROM job_logs ORDER BY 1"
    )
    return [(row["part"], row["lines"]) for row in found]


async def test_lines_are_stored_together_and_again_only_when_there_are_more(
    resources: Resources, job: ClaimedJob
) -> None:
    opened = HandlerLog(resources.database, job.id, job.attempt)
    for number in range(2500):
        opened.write(line(number))
    await opened.flush()
    await opened.flush()
    opened.write(line("last"))
    await opened.flush()

    assert await parts(resources) == [(1, 1000), (2, 1000), (3, 500), (4, 1)]
    assert await logs.texts(resources.database, job.id) == [*map(str, range(2500)), "last"]


async def test_a_part_ends_before_it_is_too_large(resources: Resources, job: ClaimedJob) -> None:
    opened = HandlerLog(resources.database, job.id, job.attempt)
    long = "é" * lines.MAX_TEXT_CHARACTERS  # two bytes each
    for _ in range(9):
        opened.write(line(long))
    await opened.flush()

    sizes = await rows.fetch(resources.database, "SELECT bytes FROM job_logs ORDER BY part")
    assert [row["bytes"] for row in sizes] == [64_000, 64_000, 16_000]


async def test_a_flood_keeps_its_last_lines_and_their_numbers(resources: Resources, job: ClaimedJob) -> None:
    opened = HandlerLog(resources.database, job.id, job.attempt, max_lines=10, max_bytes=1000)
    for number in range(1, 101):
        opened.write(line(number))
    await opened.flush()
    assert [number for number, _, _ in await logs.read(resources.database, job.id)] == [*range(91, 101)]

    opened.write(line("y" * 600))
    opened.write(line("z" * 600))
    await opened.flush()
    assert (await logs.read(resources.database, job.id))[-2:] == [(100, 1, "100"), (102, 1, "z" * 600)]


async def test_a_child_cannot_fill_the_worker_with_words_for_levels(
    resources: Resources, job: ClaimedJob
) -> None:
    """A child in the hands of a user's file sends what it likes, up to the size of a message."""
    opened = HandlerLog(resources.database, job.id, job.attempt)
    tracemalloc.start()
    try:
        for number in range(100):
            opened.write(line(number, "x" * 1_000_000 + str(number)))
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert held < 10_000_000


async def test_the_beginning_of_an_endless_line_is_kept(resources: Resources, job: ClaimedJob) -> None:
    opened = HandlerLog(resources.database, job.id, job.attempt)
    opened.write(line("x" * (lines.MAX_BYTES + 1)))
    await opened.flush()

    assert await logs.texts(resources.database, job.id) == ["x" * lines.MAX_TEXT_CHARACTERS]


async def test_a_long_log_is_cut_at_its_beginning(resources: Resources, job: ClaimedJob) -> None:
    opened = HandlerLog(resources.database, job.id, job.attempt, max_lines=3000)
    for number in range(1, 8001):
        opened.write(line(number))
        if number % 1000 == 0:
            await opened.flush()

    assert [number for number, _, _ in await logs.read(resources.database, job.id)] == [*range(5001, 8001)]


async def test_each_later_attempt_cuts_the_log_when_it_begins(resources: Resources) -> None:
    """Or many attempts with few lines each would make it endless."""
    job_id = await jobs.create(resources.database)
    for _ in range(5):
        job = await jobs.claim(resources.database)
        opened = HandlerLog(resources.database, job.id, job.attempt, max_lines=20)
        for number in range(10):
            opened.write(line(number))
        await opened.flush()
        await jobs.release(resources.database, job)

    assert {attempt for _, attempt, _ in await logs.read(resources.database, job_id)} == {4, 5}


async def test_an_attempt_that_writes_much_is_written_less_often(
    resources: Resources, job: ClaimedJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr("worker.handler_log.monotonic", lambda: now)
    opened = HandlerLog(resources.database, job.id, job.attempt)
    assert not opened.is_due  # without a line
    opened.write(line("short"))
    assert opened.is_due
    await opened.flush()
    for text, seconds in (("short", 1.0), ("x" * 8000, 1.0), (None, 9.765625)):
        for _ in range(80 if text is None else 1):
            opened.write(line("x" * 8000 if text is None else text))
        assert not opened.is_due
        now += 1.0
        assert opened.is_due
        await opened.flush()
        opened.write(line("next"))
        now += seconds - 0.01
        assert not opened.is_due
        now += 0.01
        assert opened.is_due
        await opened.flush()


@pytest.mark.parametrize("is_lost_before", [True, False])
async def test_lines_whose_way_was_cut_are_stored_once(
    servers: Servers, resources: Resources, job: ClaimedJob, is_lost_before: bool
) -> None:
    async with (
        proxy.proxy_postgres(servers.embedded.postgres) as network,
        open_database(proxy.postgres_url(network, resources.settings.database_url), pool_size=2) as far_away,
    ):
        opened = HandlerLog(far_away, job.id, job.attempt)
        fault = network.break_before if is_lost_before else network.lose_reply
        happened = fault(INSERT)
        for number in range(1500):
            opened.write(line(number))
        await opened.flush_at_end()
        assert happened.is_set()

    assert await logs.texts(resources.database, job.id) == [*map(str, range(1500))]


async def test_lines_that_postgres_refuses_do_not_hold_up_the_attempt(
    resources: Resources, job: ClaimedJob
) -> None:
    await rows.execute(resources.database, "ALTER TABLE job_logs ADD CHECK (texts <> ARRAY['bad'])")
    opened = HandlerLog(resources.database, job.id, job.attempt)
    opened.write(line("bad"))
    await opened.flush_at_end()
    opened.write(line("good"))
    await opened.flush_at_end()

    assert await logs.texts(resources.database, job.id) == ["good"]


async def test_the_worker_writes_the_lines_of_all_attempts_while_they_run(resources: Resources) -> None:
    one, other = await jobs.running(resources.database), await jobs.running(resources.database)
    all_logs = HandlerLogs(resources.database, flush_seconds=0.01)

    async def stored() -> bool:
        return [await logs.texts(resources.database, job.id) for job in (one, other)] == [["a"], ["b"]]

    async with background.running(all_logs.flush_forever()):
        with (
            all_logs.opened(one.id, one.attempt) as first,
            all_logs.opened(other.id, other.attempt) as second,
        ):
            first.write(line("a"))
            second.write(line("b"))
            await until(stored)
