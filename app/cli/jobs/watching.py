"""Watches jobs until they end."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from app.cli.jobs.connection import RETRY
from app.client import AsyncHeadrace, Event, HeadraceError


class Display(Protocol):
    """Shows the events of several jobs as they arrive."""

    def show(self, event: Event) -> None:
        """Show an event."""

    def show_interruption(self, job_id: str, seconds: float) -> None:
        """Show that the stream of a job broke, and will be resumed after a pause."""

    def show_error(self, job_id: str) -> None:
        """Show that a job cannot be watched."""


async def watch(
    account: Mapping[str, Any], job_ids: Sequence[str], display: Display, *, after: int = 0
) -> Mapping[str, Event | HeadraceError]:
    """Show the events of jobs after the number `after` until all have ended; return how each ended."""
    async with AsyncHeadrace(**account, retry_config=RETRY) as client:
        ends = await asyncio.gather(*(_watch_one(client, job_id, display, after) for job_id in job_ids))
    return dict(zip(job_ids, ends, strict=True))


async def _watch_one(
    client: AsyncHeadrace, job_id: str, display: Display, after: int
) -> Event | HeadraceError:
    def on_interruption(_seq: int, seconds: float) -> None:
        display.show_interruption(job_id, seconds)

    last: Event | None = None
    try:
        await client.job(job_id)  # fails at once for a wrong id or URL; a stream would be retried
        async for event in client.follow(job_id, after, on_interruption=on_interruption):
            last = event
            display.show(event)
    except HeadraceError as error:
        display.show_error(job_id)
        return error
    return last or HeadraceError(f"Job {job_id} had already ended.", code="job_already_finished")
