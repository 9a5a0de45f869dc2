"""The table of reports."""

from typing import Any
from uuid import UUID

from sqlalchemy import Column
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel


class ModelReport(SQLModel, table=True):
    """The report of a version, apart from the version because it is large and rarely read."""

    __tablename__ = "model_reports"

    version_id: UUID = Field(primary_key=True, foreign_key="model_versions.id", ondelete="CASCADE")
    report: dict[str, Any] = Field(sa_column=Column(JSONB, nullable=False))
