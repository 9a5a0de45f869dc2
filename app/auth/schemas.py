"""Request and response bodies of accounts."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from app.auth import usernames
from app.auth.passwords import MAX_LENGTH, MIN_LENGTH
from app.auth.roles import Role
from app.http.body import CleanSecret, CleanStr, StrictBody

Username = Annotated[CleanStr, AfterValidator(usernames.accept), Field(examples=["ada"])]
Email = Annotated[CleanStr, Field(max_length=254, pattern=r"^[^@\s]+@[^@\s]+$", examples=["ada@example.com"])]

# Without a length constraint: `passwords` checks the length, and a constraint would duplicate the error.
NewPassword = Annotated[
    CleanSecret,
    Field(
        description=f"{MIN_LENGTH} to {MAX_LENGTH} characters; the most common passwords are rejected.",
        examples=["correct horse battery"],
    ),
]


class CreateUser(StrictBody):
    """A new account."""

    username: Username
    password: NewPassword
    email: Email | None = None
    role: Role | None = Field(
        default=None, description="Role of the account, if an administrator creates it. Default: `user`."
    )
    invitation: Annotated[CleanSecret, Field(min_length=1, max_length=1024)] | None = Field(
        default=None, description="Token of an invitation, which also decides the role."
    )


class UserView(BaseModel):
    """An account."""

    model_config = ConfigDict(
        from_attributes=True,
        json_schema_extra={
            "examples": [
                {
                    "user_id": "019aa7c1-f3e2-7bd0-8c5d-3f1e2a4b6c8d",
                    "username": "ada",
                    "email": "ada@example.com",
                    "role": "user",
                    "is_active": True,
                    "share": 1.0,
                    "request_count": 42,
                    "last_request_at": "2026-03-01T12:00:00Z",
                    "created_at": "2026-02-01T09:30:00Z",
                }
            ]
        },
    )

    user_id: UUID = Field(validation_alias="id")
    username: str
    email: str | None
    role: Role
    is_active: bool
    share: float = Field(
        description="How many slots the account gets, relative to others, while its jobs and theirs wait."
    )
    request_count: int = Field(description="Number of authenticated requests.")
    last_request_at: datetime | None
    created_at: datetime
