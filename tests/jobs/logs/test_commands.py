"""Writing logs: who may, in which order, once, and not without end."""

import asyncio
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from app.core.database import Database
from app.jobs.logs import lines
from app.jobs.logs.lines import Part
from tests.machine.database import OneConnection
from tests.support import jobs, logs, rows


async def test_the_lines_of_all_attempts_are_numbered_in_one_order(database: Database) -> None:
    first = await jobs.running(database)
    await logs.write(database, logs.part(first, ["a", "b"]), logs.part(first, ["c"], number=2))
    await jobs.release(database, first)
    second = await jobs.claim(database)
    await logs.write(database, logs.part(second, ["d"]))

    assert await logs.read(database, first.id) == [(1, 1, "a"), (2, 1, "b"), (3, 1, "c"), (4, 2, "d")]


async def test_the_numbers_of_lines_that_were_not_kept_are_left_out(database: Database) -> None:
    job = await jobs.running(database)
    await logs.write(database, logs.part(job, ["a"]), logs.part(job, ["z"], number=2, skipped=24))

    assert await logs.read(database, job.id) == [(1, 1, "a"), (26, 1, "z")]


async def test_a_part_that_is_sent_again_is_stored_once(database: Database) -> None:
    job = await jobs.running(database)
    part = logs.part(job, ["a", "b"])

    assert await logs.write(database, part, part) == [True, False]
    assert await logs.texts(database, job.id) == ["a", "b"]


@pytest.mark.parametrize("end", [jobs.release, jobs.fail, jobs.complete])
async def test_an_attempt_that_has_ended_writes_nothing(database: Database, end: object) -> None:
    job = await jobs.running(database)
    await end(database, job)  # type: ignore[operator]  # they differ in what they return

    assert await logs.write(database, logs.part(job, ["late"])) == [False]


async def test_an_attempt_that_was_lost_writes_nothing_beside_its_successor(database: Database) -> None:
    lost = await jobs.running(database)
    await rows.execute(database, "DELETE FROM workers")
    await jobs.rescue(database)
    successor = await jobs.claim(database)
    await logs.write(database, logs.part(successor, ["mine"]))

    assert await logs.write(database, logs.part(lost, ["late"])) == [False]
    assert await logs.read(database, lost.id) == [(1, 2, "mine")]


async def test_a_line_that_comes_while_its_attempt_ends_is_not_stored(database: Database) -> None:
    job = await jobs.running(database)
    async with rows.transaction(database) as connection:
        await jobs.release(OneConnection(connection), job)
        writing = asyncio.create_task(logs.write(database, logs.part(job, ["late"])))
        await rows.wait_until_blocked(database)

    assert await writing == [False]


async def test_an_attempt_does_not_end_while_its_lines_are_written(database: Database) -> None:
    job = await jobs.running(database)
    async with rows.transaction(database) as connection:
        await logs.write(OneConnection(connection), logs.part(job, ["in time"]))
        ending = asyncio.create_task(jobs.release(database, job))
        await rows.wait_until_blocked(database)
        assert not ending.done()

    assert await ending is not None
    assert await logs.texts(database, job.id) == ["in time"]


async def test_the_database_dates_a_line_by_its_age(database: Database) -> None:
    job = await jobs.running(database)
    await logs.write(database, logs.part(job, ["a"], age_seconds=600))

    [at] = await rows.value(database, "SELECT written_at FROM job_logs")
    assert abs(at - (datetime.now(UTC) - timedelta(minutes=10))) < timedelta(seconds=30)


async def test_the_oldest_parts_go_when_newer_ones_hold_enough_lines(database: Database) -> None:
    first = await jobs.running(database)
    await logs.write(database, *(logs.part(first, ["x"] * 4, number=number) for number in (1, 2, 3)))
    await jobs.release(database, first)
    second = await jobs.claim(database)
    await logs.write(database, logs.part(second, ["y"] * 4))
    other = await jobs.running(database)
    await logs.write(database, logs.part(other, ["of another job"]))

    await logs.trim(database, first.id, max_lines=8)
    assert [number for number, _, _ in await logs.read(database, first.id)] == [*range(9, 17)]
    await logs.trim(database, first.id, max_lines=9)
    assert len(await logs.read(database, first.id)) == 8

    await logs.write(database, logs.part(second, ["z"], number=2))
    assert (await logs.read(database, first.id))[-1] == (17, 2, "z")
    assert await logs.texts(database, other.id) == ["of another job"]


async def test_the_oldest_parts_go_when_newer_ones_hold_enough_text(database: Database) -> None:
    job = await jobs.running(database)
    await logs.write(database, *(logs.part(job, ["é" * 50], number=number) for number in (1, 2, 3)))

    await logs.trim(database, job.id, max_lines=100, max_bytes=101)
    assert len(await logs.read(database, job.id)) == 2
    await logs.trim(database, job.id, max_lines=100, max_bytes=100)
    assert len(await logs.read(database, job.id)) == 1


async def test_the_table_refuses_what_is_no_log(database: Database) -> None:
    job = await jobs.running(database)
    line = logs.part(job, ["a"]).lines[0]
    with pytest.raises(asyncpg.CheckViolationError):
        await rows.execute(
            database, "INSERT INTO job_logs VALUES ($1, 1, 1, 1, 2, 0, '{}', '{}', '{}')", job.id
        )
    assert await logs.write(database, Part(job.id, job.attempt, 1, 0, [line])) == [True]
    with pytest.raises(asyncpg.CheckViolationError):
        await rows.execute(database, "UPDATE job_logs SET levels = '{loud}'")


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("plain é 中 🎉", "plain é 中 🎉"),
        ("one\ntwo\tthree\n", "one\ntwo\tthree"),
        ("10 %\r20 %\r\n", "10 %\n20 %"),
        ("\x1b[1;31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07text", "text"),
        ("a\x00b\x08c\x1bd\x9b2J", "a�b�c�d�2J"),
        ("x" * 9000, "x" * 8000),
    ],
)
def test_a_text_is_cut_and_cannot_control_a_terminal(text: str, kept: str) -> None:
    assert lines.clean(text) == kept
