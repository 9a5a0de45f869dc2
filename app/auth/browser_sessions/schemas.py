"""Request and response bodies of browser sessions."""

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from app.auth.schemas import UserView
from app.http.body import CleanSecret, CleanStr, StrictBody


class CreateSession(StrictBody):
    """A username and a password."""

    username: CleanStr = Field(max_length=1024, examples=["ada"])
    password: Annotated[CleanSecret, Field(max_length=1024, examples=["correct horse battery"])]


class SessionTokens(BaseModel):
    """An access token and its user. The refresh token is in the cookie."""

    access_token: str = Field(
        description="Send it in the header `Authorization: Bearer …`. Keep it in memory only.",
        examples=["eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIuLi4ifQ.c2lnbmF0dXJl"],
    )
    token_type: Literal["bearer"] = "bearer"  # noqa: S105  # a scheme, not a secret
    expires_in: int = Field(description="Seconds until the access token expires.", examples=[1800])
    user: UserView
