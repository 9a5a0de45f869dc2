"""Routes of accounts, for administrators. `app.auth.routes` has the route that creates them."""

from typing import Annotated, Final
from uuid import UUID

from fastapi import APIRouter, Query, Request
from starlette.status import HTTP_204_NO_CONTENT

from app.auth import usernames
from app.auth.actors import actor_of
from app.auth.deps import Administrator
from app.auth.errors import LastAdministrator, UserNotFound
from app.auth.permissions import Permission
from app.auth.roles import Role
from app.auth.schemas import UserView
from app.auth.users import commands, queries
from app.auth.users.queries import UserFilter
from app.auth.users.schemas import UserChange, UserPage
from app.core import paging
from app.core.errors import InvalidCursor
from app.http import problems
from app.http.body import CleanStr
from app.http.deps import DatabaseDep
from app.http.paging import PageQueryDep
from app.http.routing import BoundedRoute

_UNKNOWN: Final = UserNotFound(user="019aa7c1-f3e2-7bd0-8c5d-3f1e2a4b6c8d")

router = APIRouter(route_class=BoundedRoute, prefix="/users", tags=["users"])


@router.get(
    "",
    operation_id="listUsers",
    summary="List the users, newest first",
    response_description="One page of users",
    responses=problems.responses(InvalidCursor),
)
async def list_users(
    user: Administrator,
    database: DatabaseDep,
    wanted: PageQueryDep,
    role: Role | None = None,
    is_active: bool | None = None,
    username: Annotated[
        CleanStr | None,
        Query(max_length=usernames.MAX_LENGTH_AS_TYPED, description="Beginning of the username."),
    ] = None,
) -> UserPage:
    """Returns one page of accounts. Deleted accounts are not listed, even while their data is removed."""
    matching = UserFilter(role, is_active, username)
    async with database.connection() as connection:
        page = await queries.page(connection, matching, before=wanted.before, limit=wanted.limit)
    return UserPage(
        items=[UserView.model_validate(account) for account in page.items],
        next_cursor=page.next_cursor(lambda last: paging.encode_cursor(last.id)),
    )


@router.get(
    "/{user_id}",
    operation_id="getUser",
    summary="Get a user",
    response_description="The user",
    responses=problems.responses(_UNKNOWN),
)
async def get_user(user_id: UUID, user: Administrator, database: DatabaseDep) -> UserView:
    """Returns the account of a user."""
    async with database.connection() as connection:
        return UserView.model_validate(await queries.get(connection, user_id))


@router.patch(
    "/{user_id}",
    operation_id="changeUser",
    summary="Change the role or the share of a user, or disable or enable the account",
    response_description="The changed user",
    responses=problems.responses(_UNKNOWN, LastAdministrator),
)
async def change_user(
    user_id: UUID, body: UserChange, request: Request, user: Administrator, database: DatabaseDep
) -> UserView:
    """Takes effect on the user's tokens within a second. Disabling also ends all sessions; jobs go on.

    `share` decides how many jobs of the user run beside those of other users who wait: twice as many with 2.
    """
    if body.role is Role.ADMIN:
        user.ensure(Permission.CREDENTIALS)
    async with database.transaction() as connection:
        changed = await commands.change(
            connection,
            user_id,
            role=body.role,
            is_active=body.is_active,
            share=body.share,
            by=actor_of(request, user),
        )
    return UserView.model_validate(changed)


@router.delete(
    "/{user_id}",
    operation_id="deleteUser",
    summary="Delete a user with everything that belongs to them",
    status_code=HTTP_204_NO_CONTENT,
    responses=problems.responses(_UNKNOWN, LastAdministrator),
)
async def delete_user(user_id: UUID, request: Request, user: Administrator, database: DatabaseDep) -> None:
    """Closes the account at once. Jobs are cancelled and then deleted in the background, with all files.

    So are datasets and models, public models too, each once no unfinished job uses it. The username is not
    given out again.
    """
    async with database.transaction() as connection:
        await commands.close(connection, user_id, by=actor_of(request, user))
