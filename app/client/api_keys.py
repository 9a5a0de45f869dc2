"""API keys: creates, lists and revokes them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal
from urllib.parse import quote
from uuid import UUID

from app.client.data import instant
from app.client.exchange import Exchange, json_request, parse_json
from app.client.steps import Flow, Request

Scope = Literal["jobs:read", "jobs:write", "models:*", "datasets:*", "notifications:*", "predict", "admin"]


@dataclass(frozen=True, slots=True)
class ApiKey:
    """An API key. `key` is its text, which only `create_api_key` returns; `raw` is the rest of the document.

    >>> created = client.create_api_key("nightly import", ["datasets:*"], expires_in_seconds=86_400)
    >>> service = Headrace(url, api_key=created.key)
    """

    id: str
    name: str
    owner: str
    scopes: Sequence[str]
    created_at: datetime | None
    expires_at: datetime | None
    last_used_at: datetime | None
    raw: Mapping[str, Any] = field(repr=False, compare=False)
    key: str | None = field(default=None, repr=False)

    @classmethod
    def parse(cls, document: Mapping[str, Any]) -> "ApiKey":
        """Parse the JSON document."""
        return cls(
            id=document["key_id"],
            name=document["name"],
            owner=document.get("owner", ""),
            scopes=tuple(document.get("scopes") or ()),
            created_at=instant(document, "created_at"),
            expires_at=instant(document, "expires_at"),
            last_used_at=instant(document, "last_used_at"),
            raw={name: value for name, value in document.items() if name != "key"},
            key=document.get("key"),
        )


AnyApiKey = str | UUID | ApiKey
"""An API key or its id."""


class ApiKeys:
    """The methods of the clients for API keys, as flows."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    def create(self, name: str, scopes: Sequence[str], expires_in_seconds: int | None) -> Flow[ApiKey]:
        """Create an API key, without retries: each request creates one."""
        if isinstance(scopes, str):
            raise TypeError("scopes must be a list of scopes, not a string")
        body: dict[str, Any] = {"name": name, "scopes": list(scopes)}
        if expires_in_seconds is not None:
            body["expires_in_seconds"] = expires_in_seconds
        response = yield from self._exchange.once(json_request("POST", "/api-keys", body, {}))
        return parse_json(ApiKey.parse, response)

    def list(self, owner: str | None, page_size: int) -> Flow[None]:
        """Emit API keys, newest first."""
        filters = {} if owner is None else {"owner": owner}
        return self._exchange.pages("/api-keys", ApiKey.parse, page_size, filters)

    def revoke(self, key: AnyApiKey) -> Flow[None]:
        """Revoke an API key. It is not an error if an attempt whose response was lost has revoked it."""
        key_id = key.id if isinstance(key, ApiKey) else str(key)
        return self._exchange.delete(Request("DELETE", f"/api-keys/{quote(key_id, safe='')}"))
