"""Requests and responses about invitations."""

from datetime import datetime
from typing import Final
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from app.auth.roles import Role
from app.http.body import StrictBody

_WEEK_SECONDS: Final = 7 * 86_400
MAX_LIFETIME_SECONDS: Final = 90 * 86_400

_EXAMPLE: Final[dict[str, JsonValue]] = {
    "invitation_id": "019aa7c1-f3e2-7bd0-8c5d-3f1e2a4b6c8d",
    "role": "user",
    "created_at": "2026-03-01T12:00:00Z",
    "expires_at": "2026-03-08T12:00:00Z",
}


class InvitationRequest(StrictBody):
    """An invitation for one new account."""

    role: Role = Role.USER
    expires_in_seconds: int = Field(default=_WEEK_SECONDS, ge=60, le=MAX_LIFETIME_SECONDS)


class InvitationView(BaseModel):
    """An invitation that has not been used."""

    model_config = ConfigDict(from_attributes=True, json_schema_extra={"examples": [_EXAMPLE]})

    invitation_id: UUID = Field(validation_alias="id")
    role: Role = Field(description="Role of the account that it creates.")
    created_at: datetime
    expires_at: datetime


class InvitationIssued(InvitationView):
    """A new invitation, with its token: the only response that has it."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{**_EXAMPLE, "token": "b25lIHRva2VuLCBvbmUgYWNjb3VudA"}]}
    )

    token: str = Field(repr=False, description="Pass it as `invitation` in `POST /users`.")


class InvitationPage(BaseModel):
    """One page of open invitations, newest first; `next_cursor` is null on the last page."""

    items: list[InvitationView]
    next_cursor: str | None
