"""Tables of users, their sessions, tokens, tickets and API keys, invitations and failed attempts."""

from datetime import datetime
from typing import Final
from uuid import UUID

from sqlalchemy import ARRAY, BigInteger, CheckConstraint, Column, DateTime, Double, LargeBinary, Text, text
from sqlmodel import Field, Index, SQLModel

from app.auth.permissions import Scope
from app.auth.roles import Role
from app.core import ids
from app.core.schema import enum_check, enum_column, timestamp_column

_SCOPES: Final = ", ".join(f"'{scope}'" for scope in Scope)


class User(SQLModel, table=True):
    """A person or a program with an account."""

    __tablename__ = "users"
    __table_args__ = (
        enum_check("role", Role),
        CheckConstraint("share >= 0.01 AND share <= 100", name="share"),
        Index("ix_users_deleted", "deleted_at", postgresql_where=text("deleted_at IS NOT NULL")),
    )

    id: UUID = Field(default_factory=ids.new_id, primary_key=True)
    username: str
    username_key: str = Field(unique=True)  # `usernames.key` of the name: unique in any spelling
    email: str | None = None
    password_hash: str
    role: Role = Field(default=Role.USER, sa_column=enum_column(Role, default=Role.USER))
    is_active: bool = Field(default=True, sa_column_kwargs={"server_default": text("true")})
    share: float = Field(default=1.0, sa_type=Double, sa_column_kwargs={"server_default": text("1")})
    request_count: int = Field(default=0, sa_type=BigInteger, sa_column_kwargs={"server_default": text("0")})
    last_request_at: datetime | None = Field(default=None, sa_column=timestamp_column(nullable=True))
    created_at: datetime = Field(default=None, sa_column=timestamp_column(default_now=True))
    deleted_at: datetime | None = Field(default=None, sa_column=timestamp_column(nullable=True))


class SignInSession(SQLModel, table=True):
    """One sign-in: the family of its refresh tokens has the same id. Access tokens end with it."""

    __tablename__ = "sessions"
    __table_args__ = (Index("ix_sessions_user_id", "user_id"), Index("ix_sessions_expired", "expires_at"))

    id: UUID = Field(primary_key=True)
    user_id: UUID = Field(foreign_key="users.id", ondelete="CASCADE")
    client: str | None = Field(default=None, sa_type=Text)  # the User-Agent header, shortened
    network: str | None = Field(default=None, sa_type=Text)
    created_at: datetime = Field(default=None, sa_column=timestamp_column(default_now=True))
    last_used_at: datetime = Field(default=None, sa_column=timestamp_column(default_now=True))
    expires_at: datetime = Field(sa_column=timestamp_column())
    ended_at: datetime | None = Field(default=None, sa_column=timestamp_column(nullable=True))


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
    # Accepted from the cookie of a browser, and nowhere else; false: never from a cookie.
    in_cookie: bool = Field(default=False, sa_column_kwargs={"server_default": text("false")})


class ApiKey(SQLModel, table=True):
    """A credential of a service, by the hash of its text. It permits no more than its scopes do."""

    __tablename__ = "api_keys"
    __table_args__ = (
        CheckConstraint(f"scopes <> '{{}}' AND scopes <@ ARRAY[{_SCOPES}]", name="scopes"),
        Index("ix_api_keys_user_id", "user_id", "id"),
        Index("ix_api_keys_expired", "expires_at", postgresql_where=text("expires_at IS NOT NULL")),
    )

    id: UUID = Field(default_factory=ids.new_id, primary_key=True)
    user_id: UUID = Field(foreign_key="users.id", ondelete="CASCADE")
    name: str = Field(sa_type=Text)
    key_hash: bytes = Field(sa_type=LargeBinary)
    scopes: list[str] = Field(sa_column=Column(ARRAY(Text), nullable=False))
    created_at: datetime = Field(default=None, sa_column=timestamp_column(default_now=True))
    expires_at: datetime | None = Field(default=None, sa_column=timestamp_column(nullable=True))
    last_used_at: datetime | None = Field(default=None, sa_column=timestamp_column(nullable=True))


class PasswordReset(SQLModel, table=True):
    """A single-use token with which a user sets a new password, by its hash."""

    __tablename__ = "password_resets"
    __table_args__ = (
        Index("ix_password_resets_user_id", "user_id"),
        Index("ix_password_resets_expired", "expires_at"),
    )

    token_hash: bytes = Field(primary_key=True, sa_type=LargeBinary)
    user_id: UUID = Field(foreign_key="users.id", ondelete="CASCADE")
    created_at: datetime = Field(default=None, sa_column=timestamp_column(default_now=True))
    expires_at: datetime = Field(sa_column=timestamp_column())


class Invitation(SQLModel, table=True):
    """A single-use token that creates one account, by its hash."""

    __tablename__ = "invitations"
    __table_args__ = (enum_check("role", Role), Index("ix_invitations_expired", "expires_at"))

    id: UUID = Field(default_factory=ids.new_id, primary_key=True)
    token_hash: bytes = Field(sa_column=Column(LargeBinary, nullable=False, unique=True))
    role: Role = Field(sa_column=enum_column(Role))
    created_at: datetime = Field(default=None, sa_column=timestamp_column(default_now=True))
    expires_at: datetime = Field(sa_column=timestamp_column())


class RetiredUsername(SQLModel, table=True):
    """The name of a deleted account, hashed. No other account gets it: `owner/model` refers to an owner."""

    __tablename__ = "retired_usernames"

    key_hash: bytes = Field(primary_key=True, sa_type=LargeBinary)
    retired_at: datetime = Field(default=None, sa_column=timestamp_column(default_now=True))


class Attempts(SQLModel, table=True):
    """When a network attempted something that is rate-limited. The subject is stored as a hash."""

    __tablename__ = "attempts"
    __table_args__ = (Index("ix_attempts_expired", "expires_at"),)

    subject: bytes = Field(primary_key=True, sa_type=LargeBinary)
    network: str = Field(primary_key=True, sa_type=Text)
    at: list[datetime] = Field(sa_column=Column(ARRAY(DateTime(timezone=True)), nullable=False))
    expires_at: datetime = Field(sa_column=timestamp_column())


class DownloadTicket(SQLModel, table=True):
    """A single-use ticket that opens one download. Stores only the hash of the ticket with its path."""

    __tablename__ = "download_tickets"
    __table_args__ = (Index("ix_download_tickets_expired", "expires_at"),)

    ticket_hash: bytes = Field(primary_key=True, sa_type=LargeBinary)
    user_id: UUID = Field(foreign_key="users.id", ondelete="CASCADE")
    session_id: UUID | None = None
    key_id: UUID | None = None
    scopes: list[str] | None = Field(default=None, sa_column=Column(ARRAY(Text), nullable=True))
    expires_at: datetime = Field(sa_column=timestamp_column())
    token_expires_at: datetime | None = Field(default=None, sa_column=timestamp_column(nullable=True))
