"""Responses about sessions."""

from datetime import datetime
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field


class SessionView(BaseModel):
    """A sign-in that has not ended: everything that its tokens do belongs to it."""

    model_config = ConfigDict(
        from_attributes=True,
        json_schema_extra={
            "examples": [
                {
                    "session_id": "019aa7c1-f3e2-7bd0-8c5d-3f1e2a4b6c8d",
                    "client": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
                    "network": "192.0.2.17",
                    "created_at": "2026-03-01T08:00:00Z",
                    "last_used_at": "2026-03-01T12:00:00Z",
                    "expires_at": "2026-03-15T12:00:00Z",
                    "is_current": True,
                }
            ]
        },
    )

    session_id: UUID
    client: str | None = Field(description="`User-Agent` of the last sign-in or refresh.")
    network: str | None = Field(description="IPv4 address or IPv6 /64 of the last sign-in or refresh.")
    created_at: datetime
    last_used_at: datetime = Field(description="Time of the last sign-in or refresh.")
    expires_at: datetime
    is_current: bool = Field(description="Whether this request belongs to the session.")


class SessionList(BaseModel):
    """Your open sessions, the last used first."""

    items: list[SessionView]
