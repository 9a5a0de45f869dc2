"""What is collected in memory is written again and again, through errors, and once more at the end."""

import asyncio

from app.core import write_behind
from app.core.errors import DatabaseUnavailable

TIMEOUT_SECONDS = 30


async def test_a_failed_write_is_repeated_and_the_last_one_comes_after_the_body() -> None:
    outcomes = iter([DatabaseUnavailable(), ValueError("a bug"), None])
    calls: list[str] = []
    succeeded = asyncio.Event()

    async def write() -> None:
        calls.append("write")
        if (error := next(outcomes, None)) is not None:
            raise error

    async def write_all() -> None:
        calls.append("write_all")

    async with (
        asyncio.timeout(TIMEOUT_SECONDS),
        write_behind.writing("x", write, seconds=0.001, write_all=write_all, on_success=succeeded.set),
    ):
        await succeeded.wait()

    assert calls[:3] == ["write"] * 3
    assert calls[-1] == "write_all"


async def test_an_unavailable_database_at_the_end_is_no_error() -> None:
    async def write() -> None:
        raise DatabaseUnavailable

    async with write_behind.writing("x", write, seconds=TIMEOUT_SECONDS):
        pass
