"""Creates jobs: all attempts of a request send one idempotency key, so that they create one job."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar
from urllib.parse import quote
from uuid import uuid4

from app.client.exchange import Exchange, json_request, parse_json
from app.client.steps import Flow
from app.client.values import Submitted

T = TypeVar("T")


def create_job(
    exchange: Exchange, kind: str, body: Mapping[str, Any], idempotency_key: str | None
) -> Flow[Submitted]:
    """Create a job of the kind with this path, such as `train-model`."""
    return create(exchange, kind, body, idempotency_key, _submitted)


def create(
    exchange: Exchange,
    kind: str,
    body: Mapping[str, Any],
    idempotency_key: str | None,
    parse: Callable[[Mapping[str, Any], bool], T],
) -> Flow[T]:
    """Create what a kind makes of the body; `parse` gets the document, and whether it is a replay."""
    headers = {"idempotency-key": checked_key(idempotency_key)}
    response = yield from exchange.ask(json_request("POST", f"/jobs/{quote(kind, safe='')}", body, headers))
    is_replay = response.headers.get("idempotent-replayed") == "true"
    return parse_json(lambda document: parse(document, is_replay), response)


def checked_key(idempotency_key: str | None) -> str:
    """The caller's key, or a new one. Raises ValueError."""
    key = idempotency_key or str(uuid4())
    if not (key.isascii() and key.isprintable()):
        raise ValueError("an idempotency key may only have printable ASCII characters")
    return key


def _submitted(document: Mapping[str, Any], is_replay: bool) -> Submitted:
    return Submitted(document["job_id"], document["status"], is_replay, document)
