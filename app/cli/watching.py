"""Watching jobs on a terminal."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Final

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)

from app.cli import learning
from app.client import AsyncHeadrace, Event, HeadraceError, RetryConfig

PATIENCE: Final = RetryConfig(retry_seconds=5.0)
"""Somebody sits before the screen, and the URL may be wrong; once a job is watched, there is time."""

WIDE: Final = 200
SHOWN_OF_ID: Final = 12
"""The end of an id: its beginning is the time, and the same for jobs of the same moment."""

COLOURS: Final = {"completed": "green", "failed": "red", "cancelled": "yellow", "running": "cyan"}


class Watching:
    """A progress bar for each job, on stderr; and above them a line for each epoch of a training."""

    def __init__(self, account: Mapping[str, Any], after: int) -> None:
        self._account = account
        self._after = after
        console = Console(stderr=True)
        self._progress = Progress(
            SpinnerColumn(finished_text=" "),
            TextColumn("{task.fields[job_id]}"),
            BarColumn(bar_width=20),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.description}"),
            console=console if console.is_terminal else Console(stderr=True, width=WIDE),
        )

    async def run(self, job_ids: Sequence[str]) -> Mapping[str, Event | HeadraceError]:
        """Watch until each job has ended; what each ended with."""
        async with AsyncHeadrace(**self._account, retry_config=PATIENCE) as client:
            with self._progress:
                ends = await asyncio.gather(*(self._watch(client, job_id) for job_id in job_ids))
        return dict(zip(job_ids, ends, strict=True))

    async def _watch(self, client: AsyncHeadrace, job_id: str) -> Event | HeadraceError:
        bar = self._progress.add_task("", total=None, job_id=escape(job_id[-SHOWN_OF_ID:]))

        def say(_seq: int, seconds: float) -> None:
            self._progress.update(bar, description=f"[yellow]cut off; again in {seconds:.1f} s[/]")

        last: Event | None = None
        try:
            await client.job(job_id)  # so that a wrong id or URL is known at once
            async for event in client.follow(job_id, self._after, on_interruption=say):
                last = event
                self._draw(bar, event)
            self._progress.stop_task(bar)
            return last or HeadraceError(f"Job {job_id} had ended before.")
        except HeadraceError as error:
            self._progress.update(bar, description="[red]not watched[/]")
            return error

    def _draw(self, bar: TaskID, event: Event) -> None:
        colour = COLOURS.get(event.status, "default")
        said = event.step if not event.is_final else learning.outcome(event.result or {})
        step = f" · {escape(said)}" if said else ""
        if event.metrics is not None:
            line = f"{event.job_id[-SHOWN_OF_ID:]}  {event.step}  {learning.after_epoch(event.metrics)}"
            self._progress.console.print(line, markup=False, highlight=False)
        self._progress.update(
            bar,
            completed=event.done,
            total=event.total,
            description=f"[{colour}]{escape(event.status)}[/]{step}",
        )
