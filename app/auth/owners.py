"""Whose jobs a caller may list: their own or, with the permission `operate`, those of other users."""

from typing import Annotated, Final
from uuid import UUID

from fastapi import Query

from app.auth import queries, usernames
from app.auth.errors import UserNotFound
from app.auth.identities import Identity
from app.auth.permissions import Permission
from app.core.database import Database
from app.http.body import CleanStr

EVERYONE: Final = "*"

OwnerQuery = Annotated[
    CleanStr | None,
    Query(
        min_length=1,
        max_length=usernames.MAX_LENGTH_AS_TYPED,
        description="Username of another owner, or `*` for all users; needs the permission `operate`.",
    ),
]


async def find(database: Database, caller: Identity, owner: str | None) -> UUID | None:
    """Return the id of the owner whose jobs a request lists; None means all owners. Default: the caller.

    Raises PermissionDenied, UserNotFound.
    """
    if owner is None:
        return caller.id
    caller.ensure(Permission.OPERATE)
    if owner == EVERYONE:
        return None
    async with database.connection() as connection:
        found = await queries.user_id(connection, owner)
    if found is None:
        raise UserNotFound(user=owner)
    return found
