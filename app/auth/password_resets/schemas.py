"""Requests and responses about passwords."""

from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from app.auth.schemas import NewPassword
from app.http.body import CleanSecret, StrictBody


class PasswordChange(StrictBody):
    """A new password, and the current one."""

    current_password: Annotated[CleanSecret, Field(max_length=1024)]
    new_password: NewPassword


class PasswordResetIssued(BaseModel):
    """A token with which a user sets a new password."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"token": "b25lIHRva2VuLCBvbmUgcGFzc3dvcmQ", "expires_at": "2026-03-02T12:00:00Z"}]
        }
    )

    token: str = Field(description="Give it to the user, for `POST /password-resets`. It is shown only once.")
    expires_at: datetime


class PasswordReset(StrictBody):
    """A reset token, and the new password."""

    token: Annotated[CleanSecret, Field(min_length=1, max_length=1024)]
    new_password: NewPassword
