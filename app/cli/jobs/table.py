"""Prints jobs as a table."""

from collections.abc import Sequence
from typing import Final

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from app.client import Job

COLOURS: Final = {"completed": "green", "failed": "red", "cancelled": "yellow", "running": "cyan"}
_ID_WIDTH: Final = 36
_WIDTH_WITHOUT_TERMINAL: Final = 200


def print_table(jobs: Sequence[Job]) -> None:
    """Print one row per job to stdout; complete values if stdout is not a terminal."""
    table = Table(box=None, pad_edge=False)
    table.add_column("job", no_wrap=True, min_width=_ID_WIDTH)
    for column in ("status", "progress", "kind", "priority", "queue", "created"):
        table.add_column(column, no_wrap=True, justify="right" if column == "progress" else "left")
    for job in jobs:
        colour = COLOURS.get(job.status, "default")
        created = "" if job.created_at is None else f"{job.created_at.astimezone():%Y-%m-%d %H:%M:%S}"
        table.add_row(
            job.id,
            f"[{colour}]{escape(job.status)}[/]",
            f"{job.progress:.0f} %",
            escape(job.kind),
            job.priority or "",
            escape(job.queue or ""),
            created,
        )
    console = Console()
    if not console.is_terminal:
        console = Console(width=_WIDTH_WITHOUT_TERMINAL)
    console.print(table)
