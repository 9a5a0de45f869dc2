"""Tables of quotas. The triggers that write them are in migration 0006."""

from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, Column, Identity, text
from sqlmodel import Field, Index, SQLModel


class UserQuotas(SQLModel, table=True):
    """The quotas that an administrator has set for a user; null means the default."""

    __tablename__ = "user_quotas"
    __table_args__ = (
        CheckConstraint("max_active_jobs >= 1 AND max_streams >= 1", name="at_least_one"),
        CheckConstraint(
            "max_running_jobs >= 0 AND max_stored_bytes >= 0 AND max_model_bytes >= 0", name="not_negative"
        ),
        CheckConstraint("max_schedules >= 0", name="max_schedules"),
        CheckConstraint("max_subscriptions >= 0", name="max_subscriptions"),
        Index("ix_user_quotas_running", "user_id", postgresql_where=text("max_running_jobs IS NOT NULL")),
    )

    user_id: UUID = Field(primary_key=True, foreign_key="users.id", ondelete="CASCADE")
    max_active_jobs: int | None = None
    max_running_jobs: int | None = None
    max_stored_bytes: int | None = Field(default=None, sa_type=BigInteger)
    max_model_bytes: int | None = Field(default=None, sa_type=BigInteger)
    max_streams: int | None = None
    max_schedules: int | None = None
    max_subscriptions: int | None = None


class StoredBytes(SQLModel, table=True):
    """One change of the bytes that a user stores. Their sum is what the user stores.

    Rows are only appended, so that writers never wait for each other; maintenance adds them up.
    """

    __tablename__ = "stored_bytes"

    owner_id: UUID = Field(primary_key=True)
    id: int = Field(sa_column=Column(BigInteger, Identity(always=True), primary_key=True))
    bytes: int = Field(sa_type=BigInteger)
