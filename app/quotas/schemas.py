"""What quotas look like over HTTP."""

from typing_extensions import TypedDict


class StorageView(TypedDict):
    """How many bytes you store, and may store; a limit of null is none."""

    used_bytes: int
    limit_bytes: int | None
