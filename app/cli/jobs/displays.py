"""The ways to show watched jobs: progress bars for people, JSON lines for programs, or nothing."""

from types import TracebackType
from typing import Final, Self

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

from app.cli import training_text
from app.cli.jobs.table import COLOURS
from app.cli.output import print_json
from app.cli.tables import WIDTH_WITHOUT_TERMINAL
from app.client import Event

_ID_CHARACTERS: Final = 12
"""The last characters of an id: the first encode the time, and are equal for jobs created together."""


class JsonDisplay:
    """Prints each event to stdout as a JSON object on a line."""

    def show(self, event: Event) -> None:
        """Print an event as the server sent it."""
        print_json(event.raw)

    def show_interruption(self, job_id: str, seconds: float) -> None:
        """Print nothing: no event is lost."""

    def show_error(self, job_id: str) -> None:
        """Print nothing: the command prints the error at its end."""


class SilentDisplay:
    """Shows nothing, for a command whose output is something else."""

    def show(self, event: Event) -> None:
        """Print nothing."""

    def show_interruption(self, job_id: str, seconds: float) -> None:
        """Print nothing: no event is lost."""

    def show_error(self, job_id: str) -> None:
        """Print nothing: the command prints the error at its end."""


class ProgressDisplay:
    """Draws a progress bar per job on stderr, and prints lines above them: epochs and warnings."""

    def __init__(self) -> None:
        console = Console(stderr=True)
        self._bars: dict[str, TaskID] = {}
        self._progress = Progress(
            SpinnerColumn(finished_text=" "),
            TextColumn("{task.fields[job_id]}"),
            BarColumn(bar_width=20),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.description}"),
            console=console if console.is_terminal else Console(stderr=True, width=WIDTH_WITHOUT_TERMINAL),
        )

    def __enter__(self) -> Self:
        """Start to draw."""
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Draw the last state, and stop."""
        self._progress.stop()

    def show(self, event: Event) -> None:
        """Update the bar of the event's job."""
        if event.metrics is not None:
            metrics = training_text.describe_epoch(event.metrics)
            line = f"{event.job_id[-_ID_CHARACTERS:]}  {event.step}  {metrics}"
            self._progress.console.print(line, markup=False, highlight=False)
        colour = COLOURS.get(event.status, "default")
        detail = training_text.describe_result(event.result or {}) if event.is_final else event.step
        suffix = f" · {escape(detail)}" if detail else ""
        bar = self._bar(event.job_id)
        self._progress.update(
            bar,
            completed=event.done,
            total=event.total,
            description=f"[{colour}]{escape(event.status)}[/]{suffix}",
        )
        if event.is_final:
            self._progress.stop_task(bar)
        for warning in event.warnings:
            line = f"{event.job_id[-_ID_CHARACTERS:]}  warning: {warning}"
            self._progress.console.print(line, markup=False, highlight=False, style="yellow")

    def show_interruption(self, job_id: str, seconds: float) -> None:
        """Write next to the bar that the connection broke."""
        self._progress.update(
            self._bar(job_id), description=f"[yellow]connection lost, retrying in {seconds:.1f} s[/]"
        )

    def show_error(self, job_id: str) -> None:
        """Write next to the bar that the job is not watched."""
        self._progress.update(self._bar(job_id), description="[red]not watched[/]")

    def _bar(self, job_id: str) -> TaskID:
        if job_id not in self._bars:
            self._bars[job_id] = self._progress.add_task(
                "", total=None, job_id=escape(job_id[-_ID_CHARACTERS:])
            )
        return self._bars[job_id]
