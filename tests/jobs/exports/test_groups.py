"""Batches of results are read ahead in groups, and no reading outlives the download."""

from collections.abc import AsyncGenerator
from contextlib import aclosing

import pytest

from app.jobs.exports import groups
from app.jobs.results import ResultBatch


class Stored:
    """Batches that count how many of them were read."""

    def __init__(self, *sizes: int, error: Exception | None = None) -> None:
        self._sizes = sizes
        self._error = error
        self.read = 0
        self.is_closed = False

    async def batches(self) -> AsyncGenerator[ResultBatch, None]:
        try:
            for index, size in enumerate(self._sizes):
                self.read += 1
                yield ResultBatch(index, index, b"x" * size)
            if self._error is not None:
                raise self._error
        finally:
            self.is_closed = True


async def test_small_batches_come_together_and_a_large_one_alone_in_their_order() -> None:
    small, large = groups.GROUP_BYTES // 4, 2 * groups.GROUP_BYTES
    stored = Stored(large, small, small, small, small, 1)

    found = [[batch.index for batch in group] async for group in groups.read(stored.batches())]

    assert found == [[0], [1, 2, 3, 4], [5]]
    assert stored.is_closed


async def test_no_more_than_one_group_is_read_ahead_and_none_after_the_end() -> None:
    stored = Stored(*[groups.GROUP_BYTES] * 10)

    async with aclosing(groups.read(stored.batches())) as read:
        await anext(read)
        await anext(read)

    assert stored.read <= 3
    assert stored.is_closed


async def test_an_error_comes_after_the_groups_before_it() -> None:
    stored = Stored(groups.GROUP_BYTES, error=ValueError("gone"))

    async with aclosing(groups.read(stored.batches())) as read:
        assert len(await anext(read)) == 1
        with pytest.raises(ValueError, match="gone"):
            await anext(read)

    assert stored.is_closed


async def test_nothing_is_no_group() -> None:
    assert [group async for group in groups.read(Stored().batches())] == []
