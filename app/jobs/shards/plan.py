"""How many shards a job gets, and how many rows each of them."""

from math import ceil
from typing import Final

import msgspec

MAX_SHARDS: Final = 1000
"""Shards of a job, and of all jobs of a bulk request."""

AUTO_ROWS: Final = 100_000
"""A job with fewer rows is divided only if the request says so."""

ROWS_OF_SHARD: Final = 50_000
SHARDS_OF_SLOT: Final = 4
"""Several shards for each slot: a slot that is done early takes another."""

MIN_ROWS_OF_SHARD: Final = 5_000
"""Shards of fewer rows take longer to claim than to compute."""


class Divisible(msgspec.Struct, frozen=True):
    """A job that may be divided between its batches. `wanted` shards; None means as many as fit."""

    batch_rows: int
    wanted: int | None = None
    max_failed: int = 0


class ShardPlan(msgspec.Struct, frozen=True):
    """The shards of a job, each with so many `rows`; the last one may have fewer.

    If more than `max_failed` of them fail, the others are ended.
    """

    shards: int
    rows: int
    max_failed: int = 0


def plan(total: int, divisible: Divisible, *, slots: int) -> ShardPlan | None:
    """Return the shards of a job for these slots; None if it is not divided.

    A shard has whole batches, so there may be fewer shards than wanted.
    """
    wanted = _fitting(total, slots) if divisible.wanted is None else min(divisible.wanted, MAX_SHARDS)
    if wanted < 2:
        return None
    rows = ceil(ceil(total / wanted) / divisible.batch_rows) * divisible.batch_rows
    shards = ceil(total / rows)
    return None if shards < 2 else ShardPlan(shards, rows, divisible.max_failed)


def may_divide(total: int, divisible: Divisible) -> bool:
    """Whether the job is divided with enough slots."""
    return total >= AUTO_ROWS if divisible.wanted is None else divisible.wanted > 1


def _fitting(total: int, slots: int) -> int:
    if total < AUTO_ROWS:
        return 1
    return min(max(total // ROWS_OF_SHARD, SHARDS_OF_SLOT * slots), total // MIN_ROWS_OF_SHARD, MAX_SHARDS)
