"""Requests and responses of the administration of accounts."""

from pydantic import BaseModel, model_validator

from app.auth.roles import Role
from app.auth.schemas import UserView
from app.http.body import StrictBody


class UserChange(StrictBody):
    """What to change about an account."""

    role: Role | None = None
    is_active: bool | None = None

    @model_validator(mode="after")
    def _changes_something(self) -> "UserChange":
        if self.role is None and self.is_active is None:
            raise ValueError("give role or is_active")
        return self


class UserPage(BaseModel):
    """One page of accounts, newest first; `next_cursor` is null on the last page."""

    items: list[UserView]
    next_cursor: str | None
