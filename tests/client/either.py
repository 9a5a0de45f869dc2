"""Runs the same tests with both clients: wraps the blocking client as an asynchronous one."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from typing import Any, cast

from app.client import AsyncHeadrace, Headrace, RetryConfig

ITERATED = frozenset(
    {
        *(
            "jobs",
            "follow",
            "events",
            "logs",
            "shards",
            "results",
            "search_results",
            "export",
            "dead_letters",
        ),
        *("datasets", "models", "api_keys", "schedules", "firings"),
        *(
            "download_dataset",
            "model_versions",
            "evaluations",
            "download_model",
            "export_model",
            "follow_search",
        ),
        *("subscriptions", "deliveries", "evaluations"),
    }
)
_END = object()

HURRIED = RetryConfig(first_pause_seconds=0.01, longest_pause_seconds=0.05)
"""Reconnects at once, for tests that break many connections."""


class Threaded:
    """A blocking client that runs every call in a thread."""

    def __init__(self, client: Headrace) -> None:
        self._client = client

    def __getattr__(self, name: str) -> Callable[..., Any]:
        verb = getattr(self._client, name)
        if name in ITERATED:
            return lambda *arguments, **named: _each(verb(*arguments, **named))
        return partial(asyncio.to_thread, verb)

    async def aclose(self) -> None:
        self._client.close()


def connect(kind: str, url: str, **arguments: Any) -> AsyncHeadrace:
    """A client of this kind, with the methods of the asynchronous one."""
    if kind == "async":
        return AsyncHeadrace(url, **arguments)
    return cast("AsyncHeadrace", Threaded(Headrace(url, **arguments)))


async def _each(items: Iterator[Any]) -> AsyncIterator[Any]:
    try:
        while (item := await asyncio.to_thread(next, items, _END)) is not _END:
            yield item
    except GeneratorExit:
        items.close()  # type: ignore[attr-defined]  # they are generators
        raise
