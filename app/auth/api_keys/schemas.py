"""Requests and responses about API keys."""

from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Final, Self
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue

from app.auth.api_keys.values import ApiKey
from app.auth.permissions import Scope
from app.http.body import CleanStr, StrictBody, at_most

MAX_NAME_LENGTH: Final = 100
MAX_LIFETIME_SECONDS: Final = 100 * 365 * 86_400

_EXAMPLE: Final[dict[str, JsonValue]] = {
    "key_id": "019aa7c1-f3e2-7bd0-8c5d-3f1e2a4b6c8d",
    "owner": "ada",
    "name": "nightly import",
    "scopes": ["datasets:*", "jobs:write"],
    "created_at": "2026-03-01T12:00:00Z",
    "expires_at": "2026-05-30T12:00:00Z",
    "last_used_at": "2026-03-02T03:00:00Z",
}


def _ensure_legible(name: str) -> str:
    if not name.isprintable() or name.isspace():
        raise ValueError("a name has visible characters, and no control characters")
    return name


KeyName = Annotated[
    CleanStr,
    AfterValidator(_ensure_legible),
    Field(
        min_length=1, max_length=MAX_NAME_LENGTH, description="What it is for.", examples=["nightly import"]
    ),
]


class ApiKeyRequest(StrictBody):
    """A new API key."""

    name: KeyName
    scopes: Annotated[list[Scope], at_most(len(Scope)), Field(min_length=1)]
    expires_in_seconds: int | None = Field(
        default=None,
        ge=1,
        le=MAX_LIFETIME_SECONDS,
        description="Default: as long as the server allows, which may be for ever.",
    )


class ApiKeyView(BaseModel):
    """An API key, without its secret."""

    model_config = ConfigDict(from_attributes=True, json_schema_extra={"examples": [_EXAMPLE]})

    key_id: UUID = Field(validation_alias="id")
    owner: str = Field(description="Username of the owner.")
    name: str
    scopes: list[Scope]
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None = Field(description="Up to a minute late.")


class ApiKeyCreated(ApiKeyView):
    """A new API key, with its secret: the only response that has it."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{**_EXAMPLE, "key": f"hr_019aa7c1f3e27bd08c5d3f1e2a4b6c8d_{'x' * 49}"}]
        }
    )

    key: str = Field(repr=False, description="Send it in the header `Authorization: Bearer …`.")

    @classmethod
    def of(cls, api_key: ApiKey, key: str) -> Self:
        """Return the view of a new key."""
        return cls.model_validate({**asdict(api_key), "key": key})


class ApiKeyPage(BaseModel):
    """One page of API keys, newest first; `next_cursor` is null on the last page."""

    items: list[ApiKeyView]
    next_cursor: str | None
