"""The types of users, sessions, invitations and tokens that queries and commands return."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Self
from uuid import UUID

from app.auth import tables
from app.auth.roles import Role
from app.core.rows import Row


@dataclass(frozen=True)
class User:
    """An account: a row of `users`."""

    id: UUID
    username: str
    email: str | None
    password_hash: str = field(repr=False)
    role: Role
    is_active: bool
    share: float
    request_count: int
    last_request_at: datetime | None
    created_at: datetime

    @classmethod
    def from_row(cls, row: tables.User) -> Self:
        """The account of a row."""
        return cls(
            id=row.id,
            username=row.username,
            email=row.email,
            password_hash=row.password_hash,
            role=row.role,
            is_active=row.is_active,
            share=row.share,
            request_count=row.request_count,
            last_request_at=row.last_request_at,
            created_at=row.created_at,
        )


@dataclass(frozen=True)
class Account:
    """An account as administrators see it: a row of `users`, without the password."""

    id: UUID
    username: str
    email: str | None
    role: Role
    is_active: bool
    share: float
    request_count: int
    last_request_at: datetime | None
    created_at: datetime

    @classmethod
    def from_row(cls, row: Row) -> Self:
        """Read a row of `users`."""
        return cls(
            id=row["id"],
            username=row["username"],
            email=row["email"],
            role=Role(row["role"]),
            is_active=row["is_active"],
            share=row["share"],
            request_count=row["request_count"],
            last_request_at=row["last_request_at"],
            created_at=row["created_at"],
        )


@dataclass(frozen=True)
class Session:
    """A sign-in, and where it was last used."""

    id: UUID
    client: str | None
    network: str | None
    created_at: datetime
    last_used_at: datetime
    expires_at: datetime

    @classmethod
    def from_row(cls, row: Row) -> Self:
        """Read a row of `sessions`."""
        return cls(
            id=row["id"],
            client=row["client"],
            network=row["network"],
            created_at=row["created_at"],
            last_used_at=row["last_used_at"],
            expires_at=row["expires_at"],
        )


@dataclass(frozen=True)
class Invitation:
    """An invitation that has not been used, without its token."""

    id: UUID
    role: Role
    created_at: datetime
    expires_at: datetime

    @classmethod
    def from_row(cls, row: Row) -> Self:
        """Read a row of `invitations`."""
        return cls(
            id=row["id"], role=Role(row["role"]), created_at=row["created_at"], expires_at=row["expires_at"]
        )


@dataclass(frozen=True, slots=True)
class Credential:
    """What authenticates a caller, apart from the token itself: the account, and its session or API key."""

    user_id: UUID
    session_id: UUID | None = None
    key_id: UUID | None = None


@dataclass(frozen=True)
class IssuedToken:
    """A new refresh token, and the session in which it was issued."""

    refresh_token: str = field(repr=False)
    session_id: UUID


@dataclass(frozen=True)
class TokenSet:
    """What a user gets who signs in or refreshes a token."""

    user: User
    access_token: str = field(repr=False)
    expires_in: int  # seconds, of the access token
    refresh_token: str = field(repr=False)
    session_id: UUID


@dataclass(frozen=True)
class SpentToken:
    """A refresh token that has just been used: whose it was, and the session that its successor continues."""

    user_id: UUID
    session_id: UUID

    @classmethod
    def from_row(cls, row: tables.RefreshToken) -> Self:
        """The token of a row."""
        return cls(user_id=row.user_id, session_id=row.family_id)
