"""What becomes of a parent, decided from a count of its shards. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import msgspec

from app.jobs.schemas import JobError
from app.jobs.states import Status

MAX_MISSING: Final = 100
"""Ranges of missing rows that an error lists."""

MAX_WARNINGS: Final = 50
"""Differences from the rows of the training that a result lists."""

SHARDS_FAILED: Final = "shards_failed"
TOO_MANY_ROW_ERRORS: Final = "too_many_row_errors"


@dataclass(frozen=True)
class FailedShard:
    """A shard that has failed: its rows, the last one included, and why."""

    first_row: int
    last_row: int
    error: JobError


@dataclass(frozen=True)
class Tally:
    """The shards of a parent at one moment.

    `began_at` is when the first of them started in this run of the parent. `missing` are the ranges of rows
    that shards have not computed and, unless they are retried, will not: first and last row, in order. There
    are none if the cancellation is requested: nobody asks for them then.
    """

    id: UUID
    status: Status
    shards: int
    total: int
    max_failed_shards: int
    max_row_errors: int | None
    is_cancel_requested: bool
    done: int
    errors: int
    open: int
    completed: int
    failed: int
    began_at: datetime | None
    first_failed: FailedShard | None
    missing: Sequence[tuple[int, int]]

    @property
    def has_too_many_row_errors(self) -> bool:
        """Whether more rows have failed than the request allows."""
        return self.max_row_errors is not None and self.errors > self.max_row_errors

    @property
    def step(self) -> str:
        """The step that the parent shows."""
        return f"{self.completed} of {self.shards} shards"


@dataclass(frozen=True)
class ShardDrift:
    """Where the rows of a shard differ from those of the training: the `drift` of its result."""

    first_row: int
    last_row: int
    drift: Sequence[dict[str, Any]]


@dataclass(frozen=True)
class Settlement:
    """How a parent ends. `error` lacks the attempt, which the statement adds."""

    status: Status
    result: dict[str, Any] | None = None
    error: dict[str, Any] | None = None


def is_doomed(tally: Tally) -> bool:
    """Whether the parent cannot complete any more, so that its open shards are ended."""
    return (
        tally.is_cancel_requested or tally.failed > tally.max_failed_shards or tally.has_too_many_row_errors
    )


def begins(tally: Tally) -> bool:
    """Whether a pending parent runs: a shard has started, or all have ended since."""
    is_over = tally.open == 0
    return (
        tally.status is Status.PENDING
        and not tally.is_cancel_requested
        and (tally.began_at is not None or is_over)
    )


def settle(tally: Tally, drift: Sequence[ShardDrift] = ()) -> Settlement:
    """Return how a parent without open shards ends. A requested cancel decides before a failure.

    `drift` is that of the shards that have compared their rows with those of the training, in order.
    """
    if tally.is_cancel_requested:
        return Settlement(Status.CANCELLED)
    if tally.has_too_many_row_errors:
        return Settlement(Status.FAILED, error=_too_many_row_errors(tally))
    if tally.completed < tally.shards:
        return Settlement(Status.FAILED, error=_shards_failed(tally))
    result = {"total": tally.total, "errors": tally.errors, **_differences(drift)}
    return Settlement(Status.COMPLETED, result=result)


def encode(value: dict[str, Any] | None) -> str | None:
    """Return the JSON text of a result or an error."""
    return None if value is None else msgspec.json.encode(value).decode()


def merge_ranges(ranges: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Join ranges that follow each other."""
    merged: list[tuple[int, int]] = []
    for first, last in ranges:
        if merged and merged[-1][1] + 1 == first:
            merged[-1] = (merged[-1][0], last)
        else:
            merged.append((first, last))
    return merged


def _differences(drift: Sequence[ShardDrift]) -> dict[str, Any]:
    """Return the differences of all shards, each with its rows; nothing if no shard has compared any."""
    if not drift:
        return {}
    found = [
        {
            **warning,
            "message": f"Rows {shard.first_row}-{shard.last_row}: {warning['message']}",
            "first_row": shard.first_row,
            "last_row": shard.last_row,
        }
        for shard in drift
        for warning in shard.drift
    ][:MAX_WARNINGS]
    return {"warnings": [warning["message"] for warning in found], "drift": found}


def _too_many_row_errors(tally: Tally) -> dict[str, Any]:
    return {
        "code": TOO_MANY_ROW_ERRORS,
        "message": f"{tally.errors} of {tally.done} rows failed; max_row_errors is {tally.max_row_errors}",
        "retryable": False,
    }


def _shards_failed(tally: Tally) -> dict[str, Any]:
    error: dict[str, Any] = {
        "code": SHARDS_FAILED,
        "message": f"{tally.failed} of {tally.shards} shards failed.",
        "retryable": True,
        "missing": [list(found) for found in merge_ranges(tally.missing)[:MAX_MISSING]],
    }
    first = tally.first_failed
    if first is None:
        not_completed = tally.shards - tally.completed
        return {**error, "message": f"{not_completed} of {tally.shards} shards did not complete."}
    return {
        **error,
        "message": f"{error['message']} First: rows {first.first_row}-{first.last_row}: "
        f"{first.error['message']}",
        "retryable": first.error["retryable"],
        "cause": first.error["code"],
    }
