"""Tables of the statistics of jobs. `folding` writes them, once for each attempt that has ended."""

from datetime import datetime
from typing import Final
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, Column, Double, Index, Text, text
from sqlmodel import Field, SQLModel

from app.core.schema import timestamp_column

REPEATED: Final = "kind = '' AND step <> 'minute'"
"""Which rows repeat the sums of others."""

ONCE: Final = "(kind <> '' OR step = 'minute')"
"""Which rows do not: together they count each attempt once."""


class JobStats(SQLModel, table=True):
    """Sums over the attempts that ended in one minute, hour or day (UTC), and over the jobs that they ended.

    The nil owner stands for all users. Its rows have no model, and those of minutes have no kind, queue,
    model and code: such a column is empty. Hours and days also have rows that repeat the sums of others,
    without kind, queue and code: one for each user, and for all users one for each model. The outcome is
    empty for jobs that ended without an attempt. The measured attempts are those whose CPU seconds are known.
    """

    __tablename__ = "job_stats"
    __table_args__ = (
        CheckConstraint("step IN ('minute', 'hour', 'day')", name="step"),
        Index("ix_job_stats_oldest", "step", "at"),
        Index("ix_job_stats_repeated", "step", "at", postgresql_where=text(REPEATED)),
    )

    owner_id: UUID = Field(primary_key=True)
    step: str = Field(primary_key=True, sa_type=Text)
    at: datetime = Field(sa_column=timestamp_column(primary_key=True))
    kind: str = Field(primary_key=True, sa_type=Text)
    queue: str = Field(primary_key=True, sa_type=Text)
    model: str = Field(primary_key=True, sa_type=Text)
    outcome: str = Field(primary_key=True, sa_type=Text)
    job_status: str = Field(primary_key=True, sa_type=Text)
    code: str = Field(primary_key=True, sa_type=Text)
    jobs: int = Field(sa_type=BigInteger)
    attempts: int = Field(sa_type=BigInteger)
    run_seconds: float = Field(sa_type=Double)
    run_seconds_max: float | None = Field(default=None, sa_type=Double)
    wait_seconds: float = Field(sa_type=Double)
    wait_seconds_max: float | None = Field(default=None, sa_type=Double)
    rows: int = Field(sa_type=BigInteger)
    measured_attempts: int = Field(sa_type=BigInteger)
    measured_jobs: int = Field(sa_type=BigInteger)
    measured_rows: int = Field(sa_type=BigInteger)
    cpu_seconds: float = Field(sa_type=Double)
    memory_peak_bytes: int | None = Field(default=None, sa_type=BigInteger)
    last_job_id: UUID | None = None


class JobDurations(SQLModel, table=True):
    """A histogram of how long attempts ran or waited: how many are in each bucket of `buckets`.

    Hours and days also have rows without kind and queue, which repeat those of each user.
    """

    __tablename__ = "job_durations"
    __table_args__ = (
        CheckConstraint("step IN ('minute', 'hour', 'day')", name="step"),
        CheckConstraint("measure IN ('run', 'wait')", name="measure"),
        Index("ix_job_durations_oldest", "step", "at"),
        Index("ix_job_durations_repeated", "step", "at", postgresql_where=text(REPEATED)),
    )

    owner_id: UUID = Field(primary_key=True)
    step: str = Field(primary_key=True, sa_type=Text)
    at: datetime = Field(sa_column=timestamp_column(primary_key=True))
    kind: str = Field(primary_key=True, sa_type=Text)
    queue: str = Field(primary_key=True, sa_type=Text)
    measure: str = Field(primary_key=True, sa_type=Text)
    bucket: int = Field(primary_key=True)
    attempts: int = Field(sa_type=BigInteger)


class JobPeaks(SQLModel, table=True):
    """The highest number of attempts that ran at the same moment of an hour."""

    __tablename__ = "job_peaks"
    __table_args__ = (Index("ix_job_peaks_oldest", "hour"),)

    owner_id: UUID = Field(primary_key=True)
    hour: datetime = Field(sa_column=timestamp_column(primary_key=True))
    peak: int = Field(sa_type=BigInteger)


class JobEnd(SQLModel, table=True):
    """The end of a job that no attempt records: its cancellation while it waited. Deleted once folded.

    `seq` is the number of the event, because a job can be cancelled, retried and cancelled again.
    """

    __tablename__ = "job_ends"

    job_id: UUID = Field(primary_key=True)
    seq: int = Field(primary_key=True)
    owner_id: UUID
    kind: str = Field(sa_type=Text)
    queue: str = Field(sa_type=Text)
    model: str = Field(sa_column=Column(Text, nullable=False, server_default=""))
    status: str = Field(sa_type=Text)
    code: str = Field(sa_column=Column(Text, nullable=False, server_default=""))
    run_seconds: float | None = Field(default=None, sa_type=Double)
    ended_at: datetime = Field(sa_column=timestamp_column(default_now=True))
