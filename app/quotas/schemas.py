"""Quotas as the API shows and takes them."""

from typing import Annotated

from pydantic import BaseModel, Field
from typing_extensions import TypedDict

from app.http.body import StrictBody
from app.quotas.values import OwnQuotas, Quotas, Usage

_MAX_INT: int = 2**31 - 1
_MAX_BIGINT: int = 2**63 - 1

Number = Annotated[int, Field(le=_MAX_INT)]
Bytes = Annotated[int, Field(ge=0, le=_MAX_BIGINT)]


class StorageView(TypedDict):
    """How many bytes you store, and may store. `limit_bytes` is null if there is no limit."""

    used_bytes: int
    limit_bytes: int | None


class QuotaView(BaseModel):
    """How much a user has of one thing, and may have."""

    used: int
    limit: int | None = Field(description="Null if there is no limit.")
    is_default: bool = Field(description="Whether it is the limit of all users for whom none is set.")


class QuotasView(BaseModel):
    """The quotas of a user. Streams are those on the process that answers, and their limit is per process."""

    active_jobs: QuotaView
    running_jobs: QuotaView
    stored_bytes: QuotaView
    model_bytes: QuotaView
    streams: QuotaView
    schedules: QuotaView
    subscriptions: QuotaView

    @classmethod
    def of(cls, own: OwnQuotas, defaults: Quotas, usage: Usage, streams: int) -> "QuotasView":
        """Describe the quotas of a user."""
        limits = own.over(defaults)
        return cls(
            active_jobs=_view(usage.active_jobs, limits.max_active_jobs, own.max_active_jobs),
            running_jobs=_view(usage.running_jobs, limits.max_running_jobs, own.max_running_jobs),
            stored_bytes=_view(usage.stored_bytes, limits.max_stored_bytes, own.max_stored_bytes),
            model_bytes=_view(usage.model_bytes, limits.max_model_bytes, own.max_model_bytes),
            streams=_view(streams, limits.max_streams, own.max_streams),
            schedules=_view(usage.schedules, limits.max_schedules, own.max_schedules),
            subscriptions=_view(usage.subscriptions, limits.max_subscriptions, own.max_subscriptions),
        )


class QuotasChange(StrictBody):
    """The quotas of one user, all of them; null, or no value, means the default."""

    max_active_jobs: Number | None = Field(None, ge=1, description="Jobs and shards that have not ended.")
    max_running_jobs: Number | None = Field(None, ge=0, description="0 means no limit.")
    max_stored_bytes: Bytes | None = Field(
        None, description="Datasets, models, payloads, results and checkpoints of jobs; 0 means no limit."
    )
    max_model_bytes: Bytes | None = Field(None, description="Models alone; 0 means no limit.")
    max_streams: Number | None = Field(None, ge=1, description="Open streams, on each process.")
    max_schedules: Number | None = Field(None, ge=0, description="0 means no limit.")
    max_subscriptions: Number | None = Field(
        None, ge=0, description="Subscriptions to notifications; 0 means no limit."
    )

    def to_quotas(self) -> OwnQuotas:
        """The quotas to set."""
        return OwnQuotas(**self.model_dump())


def _view(used: int, limit: int, own: int | None) -> QuotaView:
    return QuotaView(used=used, limit=limit or None, is_default=own is None)
