"""Routes of invitations."""

from dataclasses import asdict
from datetime import timedelta
from typing import Final
from uuid import UUID

from fastapi import APIRouter, Request, Response
from starlette.status import HTTP_201_CREATED, HTTP_204_NO_CONTENT

from app.audit import commands as audit
from app.audit.actions import Action, ObjectType
from app.audit.values import Entry
from app.auth.actors import actor_of
from app.auth.deps import Administrator
from app.auth.errors import InvitationNotFound
from app.auth.invitations import commands, queries
from app.auth.invitations.schemas import (
    InvitationIssued,
    InvitationPage,
    InvitationRequest,
    InvitationView,
)
from app.auth.permissions import Permission
from app.auth.roles import Role
from app.core import paging
from app.core.errors import InvalidCursor
from app.http import problems
from app.http.deps import DatabaseDep
from app.http.paging import PageQueryDep
from app.http.routing import BoundedRoute

_EXAMPLE_ID: Final = "019aa7c1-f3e2-7bd0-8c5d-3f1e2a4b6c8d"

router = APIRouter(route_class=BoundedRoute, prefix="/invitations", tags=["users"])


@router.post(
    "",
    operation_id="createInvitation",
    summary="Invite a user",
    status_code=HTTP_201_CREATED,
    response_description="The invitation, with its token",
)
async def create_invitation(
    body: InvitationRequest,
    request: Request,
    user: Administrator,
    database: DatabaseDep,
    response: Response,
) -> InvitationIssued:
    """Returns a token that creates one account, even while registration is closed to others."""
    if body.role is Role.ADMIN:
        user.ensure(Permission.CREDENTIALS)
    lifetime = timedelta(seconds=body.expires_in_seconds)
    async with database.transaction() as connection:
        invitation, token = await commands.issue(connection, body.role, lifetime)
        entry = Entry(
            Action.INVITATION_ISSUED,
            ObjectType.INVITATION,
            str(invitation.id),
            details={"role": str(invitation.role)},
        )
        await audit.record(connection, actor_of(request, user), entry)
    response.headers["Cache-Control"] = "no-store"
    return InvitationIssued.model_validate({**asdict(invitation), "token": token})


@router.get(
    "",
    operation_id="listInvitations",
    summary="List the open invitations, newest first",
    response_description="One page of invitations",
    responses=problems.responses(InvalidCursor),
)
async def list_invitations(
    user: Administrator, database: DatabaseDep, wanted: PageQueryDep
) -> InvitationPage:
    """Returns the invitations that can still be used, without their tokens."""
    async with database.connection() as connection:
        page = await queries.page(connection, before=wanted.before, limit=wanted.limit)
    return InvitationPage(
        items=[InvitationView.model_validate(invitation) for invitation in page.items],
        next_cursor=page.next_cursor(lambda last: paging.encode_cursor(last.id)),
    )


@router.delete(
    "/{invitation_id}",
    operation_id="revokeInvitation",
    summary="Revoke an invitation",
    status_code=HTTP_204_NO_CONTENT,
    responses=problems.responses(InvitationNotFound(invitation_id=_EXAMPLE_ID)),
)
async def revoke_invitation(
    invitation_id: UUID, request: Request, user: Administrator, database: DatabaseDep
) -> None:
    """The invitation can no longer be used."""
    async with database.transaction() as connection:
        if not await commands.revoke(connection, invitation_id):
            raise InvitationNotFound(invitation_id=str(invitation_id))
        entry = Entry(Action.INVITATION_REVOKED, ObjectType.INVITATION, str(invitation_id))
        await audit.record(connection, actor_of(request, user), entry)
