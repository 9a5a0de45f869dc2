"""Requests and responses of the administration of accounts."""

from typing import Annotated, Final

from pydantic import BaseModel, Field, model_validator

from app.auth.roles import Role
from app.auth.schemas import UserView
from app.http.body import StrictBody

MIN_SHARE: Final = 0.01
MAX_SHARE: Final = 100.0

Share = Annotated[float, Field(ge=MIN_SHARE, le=MAX_SHARE, allow_inf_nan=False)]


class UserChange(StrictBody):
    """What to change about an account."""

    role: Role | None = None
    is_active: bool | None = None
    share: Share | None = Field(
        None, description="How many slots the user gets, relative to others who wait. Default: 1."
    )

    @model_validator(mode="after")
    def _changes_something(self) -> "UserChange":
        if self.role is None and self.is_active is None and self.share is None:
            raise ValueError("give role, is_active or share")
        return self


class UserPage(BaseModel):
    """One page of accounts, newest first; `next_cursor` is null on the last page."""

    items: list[UserView]
    next_cursor: str | None
