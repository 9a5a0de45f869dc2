"""Queues, for operators: the flows of the client, and what they return."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import quote

from app.client.data import instant
from app.client.exchange import Exchange, json_request
from app.client.steps import Flow, Request


@dataclass(frozen=True, slots=True)
class Queue:
    """A queue, and the jobs of all users in it.

    >>> client.pause_queue("gpu", "New drivers.").reason
    'New drivers.'

    `oldest_seconds` is how long its first due job has been due, None if none is. `paused_at`, `paused_by` and
    `reason` are None unless it is paused; `paused_by` is also None once that user is deleted.
    """

    name: str
    pending: int
    running: int
    oldest_seconds: float | None
    workers: int
    slots: int
    paused_at: datetime | None
    paused_by: str | None
    reason: str | None
    raw: Mapping[str, Any] = field(repr=False, compare=False)

    @property
    def is_paused(self) -> bool:
        """Whether workers start no job of it."""
        return self.paused_at is not None

    @classmethod
    def parse(cls, document: Mapping[str, Any]) -> "Queue":
        """Parse the JSON document."""
        return cls(
            name=document["name"],
            pending=document["pending"],
            running=document["running"],
            oldest_seconds=document["oldest_seconds"],
            workers=document["workers"],
            slots=document["slots"],
            paused_at=instant(document, "paused_at"),
            paused_by=document["paused_by"],
            reason=document["reason"],
            raw=document,
        )


AnyQueue = str | Queue


class Queues:
    """The methods of the clients for queues, as flows."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    def list(self) -> Flow[Sequence[Queue]]:
        """Fetch the queues."""
        return self._exchange.read(
            lambda page: [Queue.parse(item) for item in page["items"]], Request("GET", "/queues")
        )

    def pause(self, queue: AnyQueue, reason: str) -> Flow[Queue]:
        """Pause a queue."""
        request = json_request("POST", f"{_path(queue)}/pause", {"reason": reason}, {})
        return self._exchange.read(Queue.parse, request)

    def resume(self, queue: AnyQueue) -> Flow[Queue]:
        """Resume a queue."""
        return self._exchange.read(Queue.parse, Request("POST", f"{_path(queue)}/resume"))


def _path(queue: AnyQueue) -> str:
    return f"/queues/{quote(queue if isinstance(queue, str) else queue.name, safe='')}"
