"""What a user has, and may have."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Quota:
    """How much a user has of one thing, and may have; `limit` is None if there is no limit."""

    used: int
    limit: int | None

    @classmethod
    def parse(cls, document: Mapping[str, Any]) -> "Quota":
        """Parse the JSON document."""
        return cls(used=document["used"], limit=document["limit"])


@dataclass(frozen=True, slots=True)
class Quotas:
    """The quotas of a user.

    >>> client.quotas().stored_bytes
    Quota(used=48231, limit=21474836480)
    """

    active_jobs: Quota
    running_jobs: Quota
    stored_bytes: Quota
    model_bytes: Quota
    streams: Quota
    schedules: Quota
    subscriptions: Quota
    raw: Mapping[str, Any] = field(repr=False, compare=False)

    @classmethod
    def parse(cls, document: Mapping[str, Any]) -> "Quotas":
        """Parse the JSON document."""
        return cls(
            active_jobs=Quota.parse(document["active_jobs"]),
            running_jobs=Quota.parse(document["running_jobs"]),
            stored_bytes=Quota.parse(document["stored_bytes"]),
            model_bytes=Quota.parse(document["model_bytes"]),
            streams=Quota.parse(document["streams"]),
            schedules=Quota.parse(document["schedules"]),
            subscriptions=Quota.parse(document["subscriptions"]),
            raw=document,
        )
