"""Request and response bodies of the token endpoint."""

from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from app.http.body import CleanSecret, CleanStr, StrictBody

PASSWORD: Final = "password"  # noqa: S105  # a grant type, not a secret
REFRESH_TOKEN: Final = "refresh_token"  # noqa: S105  # a grant type, not a secret
GRANT_TYPES: Final = (PASSWORD, REFRESH_TOKEN)


class SignIn(BaseModel):
    """A grant of OAuth 2 (RFC 6749, sections 4.3 and 6). Other fields are ignored, as it requires."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"username": "ada", "password": "correct horse battery"}]}
    )

    grant_type: CleanStr = Field(
        default=PASSWORD,
        max_length=1024,
        description="`password` with `username` and `password`, or `refresh_token` with `refresh_token`.",
    )
    username: CleanStr | None = Field(default=None, max_length=1024)
    password: Annotated[CleanSecret, Field(max_length=1024)] | None = None
    refresh_token: Annotated[CleanSecret, Field(max_length=1024)] | None = None


class Refresh(StrictBody):
    """A refresh token, to exchange for a new token pair."""

    refresh_token: Annotated[CleanSecret, Field(min_length=1, max_length=1024)]


class TokenPair(BaseModel):
    """An access token, and the refresh token that replaces it."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "access_token": "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIuLi4ifQ.c2lnbmF0dXJl",
                    "token_type": "bearer",
                    "expires_in": 1800,
                    "refresh_token": "Zm9yIG9uZSB1c2Ugb25seSwgdGhlbiBhIG5ldyBvbmU",
                }
            ]
        }
    )

    access_token: str = Field(description="Send it in the header `Authorization: Bearer …`.")
    token_type: Literal["bearer"] = "bearer"  # noqa: S105  # a scheme, not a secret
    expires_in: int = Field(description="Seconds until the access token expires.")
    refresh_token: str = Field(description="Valid once.")
