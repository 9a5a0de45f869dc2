"""Options of `headrace jobs`. Does not import the client, so that `--help` stays fast."""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Literal

import typer

from app.cli.errors import UsageError
from app.cli.jobs.values import COLUMN_TYPES, Pair, parse_column_type, parse_instant, parse_pair, parse_param

_SERVER = "Server"
_FILE = "Reading the file (default: the server detects it)"
_TRAINING = "Training"
_SCHEDULING = "Scheduling"

Priority = Literal["low", "normal", "high", "critical"]
Status = Literal["pending", "running", "completed", "failed", "cancelled"]
Task = Literal["auto", "classification", "regression"]
ExportFormat = Literal["ndjson", "csv", "parquet"]

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
class FileOptions:
    """How the server reads an uploaded file."""

    delimiter: Annotated[
        str | None,
        typer.Option(metavar="CHARACTER", help="Delimiter of a CSV: , ; | or a tab.", rich_help_panel=_FILE),
    ] = None
    encoding: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Such as windows-1252; default UTF-8.", rich_help_panel=_FILE),
    ] = None
    null_value: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TEXT",
            help="Text of a missing value, such as NA; repeatable.",
            rich_help_panel=_FILE,
        ),
    ] = None
    column_type: Annotated[
        list[Pair] | None,
        typer.Option(
            metavar="COLUMN=TYPE",
            parser=parse_column_type,
            help=f"Type of a column: {', '.join(COLUMN_TYPES)}; repeatable.",
            rich_help_panel=_FILE,
        ),
    ] = None

    @property
    def given(self) -> dict[str, Any]:
        """The options that were given, by their names in the client."""
        return without_none(
            delimiter=self.delimiter,
            encoding=self.encoding,
            null_values=self.null_value or None,
            columns=dict(self.column_type or ()) or None,
        )


@dataclass(frozen=True)
class JobOptions:
    """Options of every job; the server has defaults for all of them."""

    priority: Annotated[Priority | None, typer.Option(rich_help_panel=_SCHEDULING)] = None
    queue: Annotated[str | None, typer.Option(metavar="NAME", rich_help_panel=_SCHEDULING)] = None
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
            max_attempts=self.max_attempts,
            soft_limit_seconds=self.soft_limit_seconds,
            time_limit_seconds=self.time_limit_seconds,
            expires_in_seconds=self.expires_in_seconds,
            run_at=self.run_at,
            delay_seconds=self.delay_seconds,
            metadata=dict(self.metadata or ()) or None,
            idempotency_key=self.idempotency_key,
        )


@dataclass(frozen=True)
class PredictionOptions:
    """Options of a prediction job."""

    model: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="name, name@version, name@alias or owner/name; default sentiment."),
    ] = None
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
            model=self.model,
            column=self.column,
            id_column=self.id_column,
            batch_size=self.batch_size,
            max_row_errors=self.max_row_errors,
        )


@dataclass(frozen=True)
class TrainingOptions:
    """Options of a training job."""

    feature: Annotated[
        list[str] | None,
        typer.Option(
            metavar="COLUMN",
            help="Column to predict from; repeatable. Default: all useful columns.",
            rich_help_panel=_TRAINING,
        ),
    ] = None
    task: Annotated[Task | None, typer.Option(rich_help_panel=_TRAINING)] = None
    algorithm: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="One of GET /algorithms; default auto.", rich_help_panel=_TRAINING),
    ] = None
    param: Annotated[
        list[Pair] | None,
        typer.Option(
            metavar="NAME=VALUE",
            parser=parse_param,
            help="Hyperparameter of the algorithm; repeatable.",
            rich_help_panel=_TRAINING,
        ),
    ] = None
    epochs: Annotated[
        int | None, typer.Option(metavar="N", help="Default 10.", rich_help_panel=_TRAINING)
    ] = None
    validation_fraction: Annotated[
        float | None,
        typer.Option(
            metavar="X", help="Fraction of the rows to validate on; default 0.2.", rich_help_panel=_TRAINING
        ),
    ] = None
    seed: Annotated[
        int | None,
        typer.Option(
            metavar="N", help="Trainings with the same seed give the same model.", rich_help_panel=_TRAINING
        ),
    ] = None
    model: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Name of the model; default: named after the job.",
            rich_help_panel=_TRAINING,
        ),
    ] = None

    @property
    def given(self) -> dict[str, Any]:
        """The options that were given, by their names in the client."""
        return without_none(
            features=self.feature or None,
            task=self.task,
            algorithm=self.algorithm,
            params=dict(self.param or ()) or None,
            epochs=self.epochs,
            validation_fraction=self.validation_fraction,
            seed=self.seed,
            model=self.model,
        )


@dataclass(frozen=True)
class FilterOptions:
    """Which jobs to list."""

    status: Annotated[Status | None, typer.Option(help="Only jobs with this status.")] = None
    kind: Annotated[str | None, typer.Option(metavar="NAME", help="Only jobs of this kind.")] = None
    queue: Annotated[str | None, typer.Option(metavar="NAME", help="Only jobs of this queue.")] = None
    model: Annotated[str | None, typer.Option(metavar="NAME", help="Only jobs with this model.")] = None
    metadata: Annotated[
        list[Pair] | None,
        typer.Option(metavar="KEY=VALUE", parser=parse_pair, help="Only jobs with this label; repeatable."),
    ] = None

    @property
    def given(self) -> dict[str, Any]:
        """The filters that were given, by their names in the client."""
        return without_none(
            status=self.status,
            kind=self.kind,
            queue=self.queue,
            model=self.model,
            metadata=dict(self.metadata or ()) or None,
        )


def without_none(**options: Any) -> dict[str, Any]:
    """The options that have a value."""
    return {name: value for name, value in options.items() if value is not None}
