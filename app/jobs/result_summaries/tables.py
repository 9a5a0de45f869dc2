"""The table of summaries."""

from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, Column
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel


class JobResultSummary(SQLModel, table=True):
    """The summary of a job's results as they were after an attempt with so many rows done."""

    __tablename__ = "job_result_summaries"

    job_id: UUID = Field(primary_key=True, foreign_key="jobs.id", ondelete="CASCADE")
    attempt: int
    done: int = Field(sa_type=BigInteger)
    summary: dict[str, Any] = Field(sa_column=Column(JSONB, nullable=False))
