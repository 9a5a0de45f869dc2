"""API keys in the database, whatever their owner may grant."""

from collections.abc import Collection
from dataclasses import dataclass
from uuid import UUID

from app.auth.api_keys import key_format
from app.auth.permissions import Scope
from app.core import ids
from app.core.database import Database
from tests.support import rows


@dataclass(frozen=True)
class Key:
    """An API key, and the headers of a request with it."""

    id: UUID
    text: str

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.text}"}


async def create(database: Database, owner_id: UUID, *scopes: Scope, expires_in: float | None = None) -> Key:
    """Insert a key. With a negative `expires_in`, in seconds, it has expired."""
    return await insert(database, owner_id, new(), scopes, expires_in=expires_in)


def new() -> Key:
    """A well-formed key that the database does not know."""
    key_id = ids.new_id()
    return Key(key_id, key_format.new_key(key_id))


async def insert(
    database: Database,
    owner_id: UUID,
    key: Key,
    scopes: Collection[Scope] = tuple(Scope),
    *,
    expires_in: float | None = None,
) -> Key:
    """Insert this key."""
    await rows.execute(
        database,
        "INSERT INTO api_keys (id, user_id, name, key_hash, scopes, expires_at)"
        " VALUES ($1, $2, 'test', $3, $4, now() + make_interval(secs => $5))",
        key.id,
        owner_id,
        key_format.hash_key(key.text),
        sorted(scopes),
        expires_in,
    )
    return key
