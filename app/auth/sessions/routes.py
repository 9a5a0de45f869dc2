"""Routes of sessions: list them, end them."""

from typing import Annotated, Final
from uuid import UUID

from fastapi import APIRouter, Query, Request
from starlette.status import HTTP_204_NO_CONTENT

from app.audit import commands as audit
from app.audit.actions import Action, ObjectType
from app.audit.values import Entry
from app.auth.actors import actor_of
from app.auth.deps import AccountOwner, CredentialsAdministrator
from app.auth.errors import SessionNotFound, UserNotFound
from app.auth.sessions import commands, queries
from app.auth.sessions.schemas import SessionList, SessionView
from app.auth.users import queries as users
from app.http import problems
from app.http.deps import DatabaseDep
from app.http.routing import BoundedRoute

_EXAMPLE_ID: Final = "019aa7c1-f3e2-7bd0-8c5d-3f1e2a4b6c8d"

router = APIRouter(route_class=BoundedRoute, tags=["users"])


@router.get(
    "/users/me/sessions",
    operation_id="listSessions",
    summary="List your sessions",
    response_description="Your open sessions",
)
async def list_sessions(user: AccountOwner, database: DatabaseDep) -> SessionList:
    """Returns your sign-ins that have not ended. An access token of an earlier version belongs to none."""
    async with database.connection() as connection:
        found = await queries.open_sessions(connection, user.id)
    return SessionList(
        items=[
            SessionView(
                session_id=session.id,
                client=session.client,
                network=session.network,
                created_at=session.created_at,
                last_used_at=session.last_used_at,
                expires_at=session.expires_at,
                is_current=session.id == user.session_id,
            )
            for session in found
        ]
    )


@router.delete(
    "/users/me/sessions",
    operation_id="endSessions",
    summary="Sign out everywhere",
    status_code=HTTP_204_NO_CONTENT,
)
async def end_sessions(
    request: Request,
    user: AccountOwner,
    database: DatabaseDep,
    keep_current: Annotated[bool, Query(description="Keep the session of this request open.")] = False,
) -> None:
    """Ends all your sessions: refresh tokens at once, access tokens within a second.

    API keys are not affected.
    """
    async with database.transaction() as connection:
        ended = await commands.end_all(connection, user.id, kept_id=user.session_id if keep_current else None)
        entry = Entry(Action.ALL_SESSIONS_ENDED, ObjectType.USER, str(user.id), details={"sessions": ended})
        await audit.record(connection, actor_of(request, user), entry)


@router.delete(
    "/users/me/sessions/{session_id}",
    operation_id="endSession",
    summary="End a session",
    status_code=HTTP_204_NO_CONTENT,
    responses=problems.responses(SessionNotFound(session_id=_EXAMPLE_ID)),
)
async def end_session(session_id: UUID, request: Request, user: AccountOwner, database: DatabaseDep) -> None:
    """Ends one of your sessions: its refresh token at once, its access tokens within a second."""
    async with database.transaction() as connection:
        if not await commands.end(connection, user.id, session_id):
            raise SessionNotFound(session_id=str(session_id))
        action = Action.SIGN_OUT if session_id == user.session_id else Action.SESSION_ENDED
        entry = Entry(action, ObjectType.SESSION, str(session_id))
        await audit.record(connection, actor_of(request, user), entry)


@router.delete(
    "/users/{user_id}/sessions",
    operation_id="endSessionsOfUser",
    summary="Sign a user out everywhere",
    status_code=HTTP_204_NO_CONTENT,
    responses=problems.responses(UserNotFound(user=_EXAMPLE_ID)),
)
async def end_sessions_of_user(
    user_id: UUID, request: Request, user: CredentialsAdministrator, database: DatabaseDep
) -> None:
    """Ends all sessions of a user. The user can sign in again; disable the account to prevent that."""
    async with database.transaction() as connection:
        account = await users.get(connection, user_id)
        ended = await commands.end_all(connection, user_id)
        entry = Entry(
            Action.ALL_SESSIONS_ENDED,
            ObjectType.USER,
            str(user_id),
            details={"username": account.username, "sessions": ended},
        )
        await audit.record(connection, actor_of(request, user), entry)
