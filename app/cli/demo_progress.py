"""Shows a job of the demo on the terminal, from its event stream."""

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)

from app.cli import training_text
from app.cli.errors import CommandFailed
from app.client import AsyncHeadrace, Job, Submitted


async def follow(console: Console, client: AsyncHeadrace, submitted: Submitted) -> Job:
    """Draw a job's progress, print a line for each epoch, and return the completed job.

    Raises CommandFailed if the job fails or is cancelled.
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
                metrics = training_text.describe_epoch(event.metrics)
                progress.console.print(f"  {event.step}: {metrics}", markup=False)
            progress.update(
                bar, completed=event.done, total=event.total, description=event.step or event.status
            )
    job = await client.job(submitted)
    if job.status != "completed":
        reason = "" if job.error is None else f": {job.error.message}"
        raise CommandFailed(f"job {job.id} {job.status}{reason}", code=f"job_{job.status}")
    return job
