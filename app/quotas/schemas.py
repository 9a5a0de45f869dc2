"""Quotas as the API shows them."""

from typing_extensions import TypedDict


class StorageView(TypedDict):
    """How many bytes you store, and may store. `limit_bytes` is null if there is no limit."""

    used_bytes: int
    limit_bytes: int | None
