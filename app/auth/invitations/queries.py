"""Reads of invitations."""

from typing import Final
from uuid import UUID

import asyncpg

from app.auth import tokens
from app.auth.values import Invitation
from app.core import paging
from app.core.paging import Page, to_page
from app.core.sql import Statement

# May this invitation be used?
_IS_VALID: Final = Statement(
    "SELECT EXISTS (SELECT FROM invitations WHERE token_hash = :token_hash AND expires_at > now())"
)

# Which invitations may still be used, newest first, from before this one?
_PAGE: Final = Statement(
    paging.bounded(
        """SELECT * FROM invitations WHERE expires_at > now() AND (:before::uuid IS NULL OR id < :before)
        ORDER BY id DESC LIMIT :limit""",
        size="octet_length(role)",
        order="id DESC",
    )
)


async def is_valid(connection: asyncpg.Connection, token: str) -> bool:
    """Whether an invitation could be used now. Creating the account decides it."""
    found: bool = await _IS_VALID.fetchval(connection, token_hash=tokens.hash_opaque_token(token))
    return found


async def page(connection: asyncpg.Connection, *, before: UUID | None, limit: int) -> Page[Invitation]:
    """Return a page of open invitations, newest first, starting after the id `before`."""
    rows = await _PAGE.fetch(connection, before=before, limit=limit + 1)
    return to_page(rows, limit, Invitation.from_row)
