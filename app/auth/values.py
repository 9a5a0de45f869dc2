"""The types of users, credentials and refresh tokens that queries and commands return."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Self
from uuid import UUID

from app.auth import tables
from app.auth.roles import Role


@dataclass(frozen=True)
class User:
    """An account: a row of `users`."""

    id: UUID
    username: str
    email: str | None
    password_hash: str = field(repr=False)
    role: Role
    is_active: bool
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
            request_count=row.request_count,
            last_request_at=row.last_request_at,
            created_at=row.created_at,
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
class SpentToken:
    """A refresh token that has just been used: whose it was, and the session that its successor continues."""

    user_id: UUID
    session_id: UUID

    @classmethod
    def from_row(cls, row: tables.RefreshToken) -> Self:
        """The token of a row."""
        return cls(user_id=row.user_id, session_id=row.family_id)
