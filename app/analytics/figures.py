"""Figures about jobs that have ended, as queries return them."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Self
from uuid import UUID

from app.analytics.buckets import percentile
from app.core.rows import Row


@dataclass(frozen=True)
class Durations:
    """How long attempts ran or waited. `counts` is their histogram; None if none is kept for them."""

    total: float
    longest: float | None
    attempts: int
    counts: Mapping[int, int] | None

    @property
    def mean(self) -> float | None:
        """Seconds per attempt."""
        return self.total / self.attempts if self.attempts else None

    def percentile(self, share: float) -> float | None:
        """The seconds that this share of the attempts do not exceed."""
        if self.counts is None:
            return None
        return percentile(self.counts, share, longest=self.longest or 0.0)


@dataclass(frozen=True, kw_only=True)
class Figures:
    """Sums over ended attempts and the jobs that they ended.

    `executed` jobs ran and ended, in whichever way. `settled` jobs completed or failed, and the attempts that
    ended them, or the jobs themselves if they have shards, took `settled_seconds`. `measured_*` count what is
    known to have cost `cpu_seconds`.
    """

    jobs: int
    completed: int
    failed: int
    cancelled: int
    executed: int
    settled: int
    settled_seconds: float
    attempts: int
    retried: int
    rescued: int
    released: int
    rows: int
    run: Durations
    wait: Durations
    measured_attempts: int
    measured_jobs: int
    measured_rows: int
    cpu_seconds: float
    memory_peak_bytes: int | None
    last_job_id: UUID | None

    @classmethod
    def from_row(cls, row: Row) -> Self:
        """Read a row of sums with its histograms."""
        return cls(
            jobs=row["jobs"],
            completed=row["completed"],
            failed=row["failed"],
            cancelled=row["cancelled"],
            executed=row["executed"],
            settled=row["settled"],
            settled_seconds=row["settled_seconds"],
            attempts=row["attempts"],
            retried=row["retried"],
            rescued=row["rescued"],
            released=row["released"],
            rows=row["rows"],
            run=Durations(
                row["run_seconds"], row["run_seconds_max"], row["attempts"], _counts(row["run_counts"])
            ),
            wait=Durations(
                row["wait_seconds"], row["wait_seconds_max"], row["attempts"], _counts(row["wait_counts"])
            ),
            measured_attempts=row["measured_attempts"],
            measured_jobs=row["measured_jobs"],
            measured_rows=row["measured_rows"],
            cpu_seconds=row["cpu_seconds"],
            memory_peak_bytes=row["memory_peak_bytes"],
            last_job_id=row["last_job_id"],
        )

    @property
    def success_rate(self) -> float | None:
        """The share of completed jobs among those that completed or failed."""
        return success_rate(self.completed, self.failed)


def success_rate(completed: int, failed: int) -> float | None:
    """Return the share of completed jobs; None if none completed or failed."""
    ended = completed + failed
    return completed / ended if ended else None


@dataclass(frozen=True)
class Group:
    """The figures of one group. `key` is its kind, queue, model, code, id of a user or instant.

    `username` is None for a user who no longer exists.
    """

    key: str
    figures: Figures
    username: str | None


@dataclass(frozen=True)
class Statistics:
    """The figures of a span of time, of its largest or latest groups, and of all other groups together."""

    since: datetime
    as_of: datetime
    totals: Figures
    groups: tuple[Group, ...]
    other: Figures | None


def _counts(counts: Mapping[str, int] | None) -> dict[int, int] | None:
    return None if counts is None else {int(bucket): count for bucket, count in counts.items()}
