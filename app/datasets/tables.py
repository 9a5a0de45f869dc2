"""The tables of datasets and their profiles."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, Column, Index, Text, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel

from app.core.schema import LOWER_NAME, enum_check, enum_column, timestamp_column
from app.datasets.values import Format


class Dataset(SQLModel, table=True):
    """A dataset. Its row is inserted only after both of its files are complete in storage.

    `bytes` and `sha256` are those of the uploaded file, `rows_bytes` and `rows_sha256` those of the Parquet
    file that jobs read. `options` say how the upload was read, `lineage` how a job made the dataset.
    """

    __tablename__ = "datasets"
    __table_args__ = (
        enum_check("format", Format),
        Index("ix_datasets_newest_of_owner", "owner_id", text("id DESC")),
        Index("ix_datasets_newest_of_name", "owner_id", "name", text("id DESC")),
        Index("ix_datasets_found_by_name", "owner_id", LOWER_NAME, text("id DESC")),
    )

    id: UUID = Field(primary_key=True)
    owner_id: UUID = Field(foreign_key="users.id", ondelete="CASCADE")
    name: str = Field(sa_type=Text)
    format: Format = Field(sa_column=enum_column(Format))
    bytes: int = Field(sa_type=BigInteger)
    sha256: str = Field(sa_type=Text)
    rows: int = Field(sa_type=BigInteger)
    columns: list[dict[str, Any]] = Field(sa_column=Column(JSONB, nullable=False))
    options: dict[str, Any] = Field(sa_column=Column(JSONB, nullable=False, server_default="{}"))
    rows_bytes: int = Field(sa_type=BigInteger)
    rows_sha256: str = Field(sa_type=Text)
    created_at: datetime = Field(sa_column=timestamp_column(default_now=True))
    lineage: dict[str, Any] | None = Field(default=None, sa_column=Column(JSONB))


class DatasetProfile(SQLModel, table=True):
    """The profile of a dataset, computed when it was first asked for."""

    __tablename__ = "dataset_profiles"

    dataset_id: UUID = Field(primary_key=True, foreign_key="datasets.id", ondelete="CASCADE")
    profile: dict[str, Any] = Field(sa_column=Column(JSONB, nullable=False))
    created_at: datetime = Field(sa_column=timestamp_column(default_now=True))
