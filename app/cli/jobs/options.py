"""Options of `headrace jobs`. Does not import the client, so that `--help` stays fast."""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Literal

import typer

from app.cli.errors import UsageError
from app.cli.jobs.values import MAX_SHARDS, Pair, parse_instant, parse_pair, parse_shards

_SERVER = "Server"
_SCHEDULING = "Scheduling"

Priority = Literal["low", "normal", "high", "critical"]
Status = Literal["pending", "running", "completed", "failed", "cancelled"]
ExportFormat = Literal["ndjson", "csv", "parquet"]
LogLevel = Literal["debug", "info", "warning", "error"]

ModelReference = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="name, name@version, name@alias or owner/name; default sentiment."),
]
JobId = Annotated[str, typer.Argument(metavar="JOB_ID")]
JobIds = Annotated[list[str], typer.Argument(metavar="JOB_ID...")]
Watch = Annotated[bool, typer.Option("--watch", help="Show progress until the job ends.", show_default=False)]


@dataclass(frozen=True)
class ServerOptions:
    """The server and the credentials. Prefer environment variables for secrets."""

    url: Annotated[
        str | None,
        typer.Option(
            "--url",
            metavar="URL",
            help="Default: HEADRACE_URL, or localhost:8000.",
            rich_help_panel=_SERVER,
        ),
    ] = None
    username: Annotated[
        str | None, typer.Option(metavar="NAME", help="Default: HEADRACE_USERNAME.", rich_help_panel=_SERVER)
    ] = None
    password: Annotated[
        str | None,
        typer.Option(
            "--password",
            metavar="PASSWORD",
            help="Default: HEADRACE_PASSWORD, or asked for at a terminal.",
            rich_help_panel=_SERVER,
        ),
    ] = None
    token: Annotated[
        str | None,
        typer.Option(
            "--token",
            metavar="TOKEN",
            help="API key or access token instead of username and password. Default: HEADRACE_TOKEN.",
            rich_help_panel=_SERVER,
        ),
    ] = None


@dataclass(frozen=True)
class JobOptions:
    """Options of every job; the server has defaults for all of them."""

    priority: Annotated[Priority | None, typer.Option(rich_help_panel=_SCHEDULING)] = None
    queue: Annotated[str | None, typer.Option(metavar="NAME", rich_help_panel=_SCHEDULING)] = None
    gpus: Annotated[
        int | None,
        typer.Option(
            "--gpus",
            min=0,
            metavar="N",
            help="GPUs that the job needs; the queue is then gpu unless named.",
            rich_help_panel=_SCHEDULING,
        ),
    ] = None
    max_attempts: Annotated[
        int | None,
        typer.Option(metavar="N", help="Maximum number of attempts.", rich_help_panel=_SCHEDULING),
    ] = None
    soft_limit_seconds: Annotated[
        int | None,
        typer.Option(
            metavar="N", help="Seconds after which an attempt is asked to stop.", rich_help_panel=_SCHEDULING
        ),
    ] = None
    time_limit_seconds: Annotated[
        int | None,
        typer.Option(
            metavar="N", help="Seconds after which an attempt is killed.", rich_help_panel=_SCHEDULING
        ),
    ] = None
    expires_in_seconds: Annotated[
        int | None,
        typer.Option(
            metavar="N", help="Seconds to keep the results after the job ends.", rich_help_panel=_SCHEDULING
        ),
    ] = None
    run_at: Annotated[
        datetime | None,
        typer.Option(
            metavar="TIME",
            parser=parse_instant,
            help="Earliest start, such as 2026-03-01T12:00:00Z.",
            rich_help_panel=_SCHEDULING,
        ),
    ] = None
    delay_seconds: Annotated[
        float | None,
        typer.Option(metavar="N", help="Seconds to wait before the start.", rich_help_panel=_SCHEDULING),
    ] = None
    profile: Annotated[
        bool,
        typer.Option(
            "--profile",
            help="Sample where the job spends its time; read it with `profile`.",
            show_default=False,
            rich_help_panel=_SCHEDULING,
        ),
    ] = False
    metadata: Annotated[
        list[Pair] | None,
        typer.Option(
            metavar="KEY=VALUE",
            parser=parse_pair,
            help="Label that `list` can filter by; repeatable.",
            rich_help_panel=_SCHEDULING,
        ),
    ] = None
    idempotency_key: Annotated[
        str | None,
        typer.Option(
            metavar="KEY",
            help="Requests with the same key and content create one job.",
            rich_help_panel=_SCHEDULING,
        ),
    ] = None

    @property
    def given(self) -> dict[str, Any]:
        """The options that were given, by their names in the client. Raises UsageError."""
        if self.run_at is not None and self.delay_seconds is not None:
            raise UsageError("Give --run-at or --delay-seconds, not both.")
        return without_none(
            priority=self.priority,
            queue=self.queue,
            resources=None if self.gpus is None else {"gpus": self.gpus},
            max_attempts=self.max_attempts,
            soft_limit_seconds=self.soft_limit_seconds,
            time_limit_seconds=self.time_limit_seconds,
            expires_in_seconds=self.expires_in_seconds,
            run_at=self.run_at,
            delay_seconds=self.delay_seconds,
            profile=self.profile or None,
            metadata=dict(self.metadata or ()) or None,
            idempotency_key=self.idempotency_key,
        )


@dataclass(frozen=True)
class RowOptions:
    """Options of every job that runs a model over rows."""

    column: Annotated[
        str | None, typer.Option(metavar="NAME", help="Column of the dataset that holds the text.")
    ] = None
    id_column: Annotated[
        str | None, typer.Option(metavar="NAME", help="Column whose value is copied to each result.")
    ] = None
    batch_size: Annotated[int | None, typer.Option(metavar="N", help="Rows to commit at a time.")] = None
    max_row_errors: Annotated[
        int | None, typer.Option(metavar="N", help="Fail the job after more failed rows than this.")
    ] = None

    @property
    def given(self) -> dict[str, Any]:
        """The options that were given, by their names in the client."""
        return without_none(
            column=self.column,
            id_column=self.id_column,
            batch_size=self.batch_size,
            max_row_errors=self.max_row_errors,
        )


@dataclass(frozen=True)
class ShardOptions:
    """Options of a job that may be divided among workers."""

    shards: Annotated[
        str | None,
        typer.Option(
            metavar="N|auto",
            parser=parse_shards,
            help="Divide the rows of a dataset into N shards, for many workers at once; default: auto.",
        ),
    ] = None
    max_failed_shards: Annotated[
        int | None,
        typer.Option(
            min=0, max=MAX_SHARDS, metavar="N", help="Stop the other shards after more failed ones than this."
        ),
    ] = None

    @property
    def given(self) -> dict[str, Any]:
        """The options that were given, by their names in the client."""
        return without_none(
            shards=int(self.shards) if self.shards not in (None, "auto") else self.shards,
            max_failed_shards=self.max_failed_shards,
        )


@dataclass(frozen=True)
class FilterOptions:
    """Which jobs to list."""

    status: Annotated[Status | None, typer.Option(help="Only jobs with this status.")] = None
    kind: Annotated[str | None, typer.Option(metavar="NAME", help="Only jobs of this kind.")] = None
    queue: Annotated[str | None, typer.Option(metavar="NAME", help="Only jobs of this queue.")] = None
    model: Annotated[str | None, typer.Option(metavar="NAME", help="Only jobs with this model.")] = None
    schedule_id: Annotated[
        str | None, typer.Option(metavar="ID", help="Only jobs that this schedule created.")
    ] = None
    metadata: Annotated[
        list[Pair] | None,
        typer.Option(metavar="KEY=VALUE", parser=parse_pair, help="Only jobs with this label; repeatable."),
    ] = None
    group: Annotated[str | None, typer.Option(metavar="ID", help="Only jobs of this group.")] = None

    @property
    def given(self) -> dict[str, Any]:
        """The filters that were given, by their names in the client."""
        return without_none(
            status=self.status,
            kind=self.kind,
            queue=self.queue,
            model=self.model,
            schedule_id=self.schedule_id,
            metadata=dict(self.metadata or ()) or None,
            group_id=self.group,
        )


def without_none(**options: Any) -> dict[str, Any]:
    """The options that have a value."""
    return {name: value for name, value in options.items() if value is not None}
