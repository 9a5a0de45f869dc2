"""The types of API keys that queries and commands return."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Self
from uuid import UUID

from app.auth.permissions import Scope
from app.auth.roles import Role
from app.core.rows import Row


@dataclass(frozen=True)
class ApiKey:
    """An API key without its secret: a row of `api_keys`, with the name of its owner."""

    id: UUID
    owner: str
    name: str
    scopes: tuple[Scope, ...]
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None

    @classmethod
    def from_row(cls, row: Row) -> Self:
        """Read a row of `api_keys`, with `owner`."""
        return cls(
            id=row["id"],
            owner=row["owner"],
            name=row["name"],
            scopes=tuple(Scope(scope) for scope in row["scopes"]),
            created_at=row["created_at"],
            expires_at=row["expires_at"],
            last_used_at=row["last_used_at"],
        )


@dataclass(frozen=True)
class ValidKey:
    """A key that has not expired, and its active owner: what authentication needs."""

    id: UUID
    key_hash: bytes = field(repr=False)
    user_id: UUID
    role: Role
    scopes: frozenset[Scope]
    expires_at: datetime | None

    @classmethod
    def from_row(cls, row: Row) -> Self:
        """Read a row of `api_keys`, with the owner's role."""
        return cls(
            id=row["id"],
            key_hash=row["key_hash"],
            user_id=row["user_id"],
            role=Role(row["role"]),
            scopes=frozenset(Scope(scope) for scope in row["scopes"]),
            expires_at=row["expires_at"],
        )
