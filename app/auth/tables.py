"""Tables of users, refresh tokens and failed attempts."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import ARRAY, BigInteger, Column, DateTime, LargeBinary, Text, text
from sqlmodel import Field, Index, SQLModel

from app.auth.roles import Role
from app.core import ids
from app.core.schema import enum_check, enum_column, timestamp_column


class User(SQLModel, table=True):
    """A person or a program with an account."""

    __tablename__ = "users"
    __table_args__ = (enum_check("role", Role),)

    id: UUID = Field(default_factory=ids.new_id, primary_key=True)
    username: str
    username_key: str = Field(unique=True)  # `usernames.key` of the name: unique in any spelling
    email: str | None = None
    password_hash: str
    role: Role = Field(default=Role.USER, sa_column=enum_column(Role, default=Role.USER))
    is_active: bool = Field(default=True, sa_column_kwargs={"server_default": text("true")})
    request_count: int = Field(default=0, sa_type=BigInteger, sa_column_kwargs={"server_default": text("0")})
    last_request_at: datetime | None = Field(default=None, sa_column=timestamp_column(nullable=True))
    created_at: datetime = Field(default=None, sa_column=timestamp_column(default_now=True))


class RefreshToken(SQLModel, table=True):
    """One refresh token, by its hash. Each use spends it and adds a successor to the same family."""

    __tablename__ = "refresh_tokens"
    __table_args__ = (
        Index("ix_refresh_tokens_family_id", "family_id"),
        Index("ix_refresh_tokens_user_id", "user_id"),
    )

    id: UUID = Field(default_factory=ids.new_id, primary_key=True)
    family_id: UUID
    user_id: UUID = Field(foreign_key="users.id", ondelete="CASCADE")
    token_hash: bytes = Field(sa_column=Column(LargeBinary, nullable=False, unique=True))
    expires_at: datetime = Field(sa_column=timestamp_column())
    used_at: datetime | None = Field(default=None, sa_column=timestamp_column(nullable=True))
    revoked_at: datetime | None = Field(default=None, sa_column=timestamp_column(nullable=True))
    created_at: datetime = Field(default=None, sa_column=timestamp_column(default_now=True))


class Attempts(SQLModel, table=True):
    """When a network attempted something that is rate-limited. The subject is stored as a hash."""

    __tablename__ = "attempts"
    __table_args__ = (Index("ix_attempts_expired", "expires_at"),)

    subject: bytes = Field(primary_key=True, sa_type=LargeBinary)
    network: str = Field(primary_key=True, sa_type=Text)
    at: list[datetime] = Field(sa_column=Column(ARRAY(DateTime(timezone=True)), nullable=False))
    expires_at: datetime = Field(sa_column=timestamp_column())
