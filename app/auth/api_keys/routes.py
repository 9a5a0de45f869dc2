"""Routes of API keys. All need an interactive sign-in: no API key has the permission `account`."""

from datetime import timedelta
from typing import Annotated, Final
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response
from starlette.status import HTTP_201_CREATED, HTTP_204_NO_CONTENT

from app.audit import commands as audit
from app.audit.actions import Action, ObjectType
from app.audit.values import Entry
from app.auth import usernames
from app.auth.actors import actor_of
from app.auth.api_keys import commands, queries
from app.auth.api_keys.errors import (
    ApiKeyLifetimeTooLong,
    ApiKeyNotFound,
    ScopeNotAllowed,
    TooManyApiKeys,
)
from app.auth.api_keys.schemas import ApiKeyCreated, ApiKeyPage, ApiKeyRequest, ApiKeyView
from app.auth.deps import AccountOwner
from app.auth.errors import UserNotFound
from app.auth.owners import EVERYONE
from app.auth.permissions import Permission
from app.auth.users import queries as users
from app.core import paging
from app.core.config import Settings
from app.core.errors import InvalidCursor
from app.http import problems
from app.http.body import CleanStr
from app.http.deps import DatabaseDep, SettingsDep
from app.http.paging import PageQueryDep
from app.http.routing import BoundedRoute

_EXAMPLE_ID: Final = "019aa7c1-f3e2-7bd0-8c5d-3f1e2a4b6c8d"

router = APIRouter(route_class=BoundedRoute, prefix="/api-keys", tags=["API keys"])


@router.post(
    "",
    operation_id="createApiKey",
    summary="Create an API key",
    status_code=HTTP_201_CREATED,
    response_description="The API key, with its secret",
    responses=problems.responses(
        ScopeNotAllowed(scope="jobs:write", role="viewer"),
        TooManyApiKeys(limit=50),
        ApiKeyLifetimeTooLong(limit=7_776_000),
    ),
)
async def create_api_key(
    body: ApiKeyRequest,
    request: Request,
    user: AccountOwner,
    settings: SettingsDep,
    database: DatabaseDep,
    response: Response,
) -> ApiKeyCreated:
    """Returns a key for a service: it is accepted wherever an access token is, within its scopes.

    The key is in this response only. It never permits more than your role does at the time of a request.
    """
    lifetime = _lifetime(body, settings)
    async with database.transaction() as connection:
        created, key = await commands.create(
            connection,
            user,
            name=body.name,
            scopes=body.scopes,
            lifetime=lifetime,
            max_keys=settings.max_api_keys_per_user,
        )
        entry = Entry(
            Action.API_KEY_CREATED,
            ObjectType.API_KEY,
            str(created.id),
            details={"name": created.name, "scopes": sorted(map(str, created.scopes))},
        )
        await audit.record(connection, actor_of(request, user), entry)
    response.headers["Cache-Control"] = "no-store"
    return ApiKeyCreated.of(created, key)


@router.get(
    "",
    operation_id="listApiKeys",
    summary="List your API keys, newest first",
    response_description="One page of API keys",
    responses=problems.responses(InvalidCursor, UserNotFound(user="ada")),
)
async def list_api_keys(
    user: AccountOwner,
    database: DatabaseDep,
    wanted: PageQueryDep,
    owner: Annotated[
        CleanStr | None,
        Query(
            min_length=1,
            max_length=usernames.MAX_LENGTH_AS_TYPED,
            description="Username of another owner, or `*` for all users; needs the permission"
            " `credentials`.",
        ),
    ] = None,
) -> ApiKeyPage:
    """Returns your API keys, without their secrets. A key is listed until 30 days after it has expired."""
    user_id: UUID | None = user.id
    async with database.connection() as connection:
        if owner is not None:
            user.ensure(Permission.CREDENTIALS)
            user_id = None if owner == EVERYONE else (await users.get_by_name(connection, owner)).id
        page = await queries.page(connection, user_id, before=wanted.before, limit=wanted.limit)
    return ApiKeyPage(
        items=[ApiKeyView.model_validate(key) for key in page.items],
        next_cursor=page.next_cursor(lambda last: paging.encode_cursor(last.id)),
    )


@router.delete(
    "/{key_id}",
    operation_id="revokeApiKey",
    summary="Revoke an API key",
    status_code=HTTP_204_NO_CONTENT,
    responses=problems.responses(ApiKeyNotFound(key_id=_EXAMPLE_ID)),
)
async def revoke_api_key(key_id: UUID, request: Request, user: AccountOwner, database: DatabaseDep) -> None:
    """Ends a key within a second, and its streams within 35 seconds.

    Callers with the permission `credentials` revoke the keys of all users.
    """
    owner_id = None if user.allows(Permission.CREDENTIALS) else user.id
    async with database.transaction() as connection:
        await commands.revoke(connection, key_id, user_id=owner_id)
        entry = Entry(Action.API_KEY_REVOKED, ObjectType.API_KEY, str(key_id))
        await audit.record(connection, actor_of(request, user), entry)


def _lifetime(body: ApiKeyRequest, settings: Settings) -> timedelta | None:
    """Return how long a new key is valid; None: for ever. Raises ApiKeyLifetimeTooLong."""
    wanted, longest = body.expires_in_seconds, settings.max_api_key_seconds
    if longest and wanted is not None and wanted > longest:
        raise ApiKeyLifetimeTooLong(limit=longest)
    seconds = wanted or longest
    return timedelta(seconds=seconds) if seconds else None
