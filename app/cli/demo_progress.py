"""A job of the demo on the terminal, from its event stream, as it happens."""

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)

from app.cli import learning
from app.cli.errors import CannotStart
from app.client import AsyncHeadrace, Job, Submitted


async def follow(console: Console, client: AsyncHeadrace, submitted: Submitted) -> Job:
    """Draw a job's progress, and write a line for each epoch; the job once it has completed.

    Raises CannotStart if it ends otherwise.
    """
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description:<12}"),
        BarColumn(bar_width=40),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console) as progress:
        bar = progress.add_task("pending", total=None)
        async for event in client.follow(submitted):
            if event.metrics is not None:
                progress.console.print(f"  {event.step}: {learning.after_epoch(event.metrics)}", markup=False)
            progress.update(
                bar, completed=event.done, total=event.total, description=event.step or event.status
            )
    job = await client.job(submitted)
    if job.status != "completed":
        reason = "" if job.error is None else f": {job.error.message}"
        raise CannotStart(f"the job {job.id} ended as {job.status}{reason}")
    return job
