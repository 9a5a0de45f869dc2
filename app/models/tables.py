"""Tables of models, their versions and aliases."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, Column, Index, Text, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel

from app.core.schema import LOWER_NAME, enum_check, enum_column, timestamp_column
from app.models.versions import Visibility


class Model(SQLModel, table=True):
    """A model. `last_version` never decreases, so that a version number is never reused."""

    __tablename__ = "models"
    __table_args__ = (
        enum_check("visibility", Visibility),
        Index("uq_models_of_owner", "owner_id", "name", unique=True),
        Index("ix_models_public_of_name", "name", postgresql_where=text("visibility = 'public'")),
        Index("ix_models_found_by_name", "owner_id", LOWER_NAME),
        Index(
            "ix_models_public_found_by_name",
            LOWER_NAME,
            "id",
            postgresql_where=text("visibility = 'public'"),
        ),
    )

    id: UUID = Field(primary_key=True)
    owner_id: UUID = Field(foreign_key="users.id", ondelete="CASCADE")
    name: str = Field(sa_type=Text)
    visibility: Visibility = Field(sa_column=enum_column(Visibility, default=Visibility.PRIVATE))
    last_version: int = Field(default=0, sa_column_kwargs={"server_default": "0"})
    description: str | None = Field(default=None, sa_type=Text)
    tags: dict[str, str] = Field(sa_column=Column(JSONB, nullable=False, server_default="{}"))
    created_at: datetime = Field(sa_column=timestamp_column(default_now=True))


class ModelVersion(SQLModel, table=True):
    """One version: its file in storage, its inputs and outputs, and its lineage."""

    __tablename__ = "model_versions"
    __table_args__ = (UniqueConstraint("model_id", "version"),)

    id: UUID = Field(primary_key=True)
    model_id: UUID = Field(foreign_key="models.id", ondelete="CASCADE")
    version: int
    runtime: str = Field(sa_type=Text)
    artifact_key: str = Field(sa_type=Text)
    bytes: int = Field(sa_type=BigInteger)
    sha256: str = Field(sa_type=Text)
    task: str | None = Field(default=None, sa_type=Text)
    columns: list[dict[str, Any]] | None = Field(default=None, sa_type=JSONB)
    classes: list[str] | None = Field(default=None, sa_type=JSONB)
    metrics: dict[str, Any] = Field(sa_column=Column(JSONB, nullable=False, server_default="{}"))
    params: dict[str, Any] = Field(sa_column=Column(JSONB, nullable=False, server_default="{}"))
    lineage: dict[str, Any] = Field(sa_column=Column(JSONB, nullable=False, server_default="{}"))
    description: str | None = Field(default=None, sa_type=Text)
    tags: dict[str, str] = Field(sa_column=Column(JSONB, nullable=False, server_default="{}"))
    created_at: datetime = Field(sa_column=timestamp_column(default_now=True))


class ModelAlias(SQLModel, table=True):
    """A name that points to one version of a model and can be moved to another."""

    __tablename__ = "model_aliases"
    __table_args__ = (Index("ix_model_aliases_of_version", "version_id"),)

    model_id: UUID = Field(primary_key=True, foreign_key="models.id", ondelete="CASCADE")
    alias: str = Field(primary_key=True, sa_type=Text)
    version_id: UUID = Field(foreign_key="model_versions.id", ondelete="CASCADE")


class ModelEvaluation(SQLModel, table=True):
    """What a job measured. It outlives the job, which is why the job is no foreign key."""

    __tablename__ = "model_evaluations"
    __table_args__ = (
        Index("ix_model_evaluations_latest_of_model", "owner_id", "model_id", text("job_id DESC")),
        Index("ix_model_evaluations_of_model", "model_id"),
        Index("ix_model_evaluations_of_version", "version_id"),
    )

    job_id: UUID = Field(primary_key=True)
    owner_id: UUID = Field(foreign_key="users.id", ondelete="CASCADE")
    model_id: UUID | None = Field(default=None, foreign_key="models.id", ondelete="CASCADE")
    version_id: UUID | None = Field(default=None, foreign_key="model_versions.id", ondelete="CASCADE")
    version: int
    dataset_id: UUID | None = None
    target: str = Field(sa_type=Text)
    rows: int = Field(sa_type=BigInteger)
    errors: int = Field(sa_type=BigInteger)
    metrics: dict[str, Any] = Field(sa_column=Column(JSONB, nullable=False))
    evaluated_at: datetime = Field(sa_column=timestamp_column(default_now=True))
