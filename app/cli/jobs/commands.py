"""The commands of `headrace jobs`. Each imports the client when it runs, so that `--help` stays fast."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from app.cli.datasets.options import DatasetOptions, FileOptions
from app.cli.jobs.options import (
    ExportFormat,
    FilterOptions,
    JobId,
    JobIds,
    JobOptions,
    LogLevel,
    ModelReference,
    RowOptions,
    ServerOptions,
    ShardOptions,
    Status,
    Watch,
    without_none,
)
from app.cli.option_groups import with_option_groups
from app.cli.options import AsJson, examples
from app.cli.training.commands import train

jobs = typer.Typer(help="Submit, watch and manage jobs over HTTP.")


@jobs.command(
    epilog=examples(
        'headrace jobs submit "What a lovely day" "It broke at once." --watch',
        "headrace jobs submit --file texts.txt --priority high --metadata team=search",
        "headrace jobs submit --dataset reviews.csv --column review --json",
        "headrace jobs submit --dataset reviews.parquet --column review --shards 20 --watch",
    )
)
@with_option_groups
def submit(
    server: ServerOptions,
    source: DatasetOptions,
    rows: RowOptions,
    shards: ShardOptions,
    file_options: FileOptions,
    job: JobOptions,
    texts: Annotated[
        list[str] | None,
        typer.Argument(metavar="TEXT...", help="Texts to predict; default: stdin, one text per line."),
    ] = None,
    file: Annotated[
        Path | None, typer.Option("--file", metavar="FILE", help="File with one text per line; - is stdin.")
    ] = None,
    model: ModelReference = None,
    watch: Watch = False,
    as_json: AsJson = False,
) -> None:
    """Submit texts or a dataset for prediction; print the job's id.

    With --json, prints the job that was created, and with --watch then one event per line.
    """
    from app.cli.jobs import actions

    actions.submit(
        server,
        texts=texts or [],
        file=file,
        source=source,
        file_options=file_options.given,
        options={**without_none(model=model), **rows.given, **shards.given, **job.given},
        watch=watch,
        as_json=as_json,
    )


jobs.command(
    "train", epilog=examples("headrace jobs train --dataset houses.csv --target price --model houses --watch")
)(train)


@jobs.command("list", epilog=examples("headrace jobs list --status failed --metadata team=search --limit 5"))
@with_option_groups
def list_jobs(
    server: ServerOptions,
    filters: FilterOptions,
    limit: Annotated[int, typer.Option(min=1, metavar="N", help="Number of jobs to list.")] = 20,
    format: Annotated[
        Literal["table", "ndjson"], typer.Option(help="A table, or one JSON object per line.")
    ] = "table",
    as_json: AsJson = False,
) -> None:
    """List your jobs, newest first.

    With --json, prints one document: the jobs are in `items`.
    """
    from app.cli.jobs import actions

    actions.list_jobs(server, filters=filters.given, limit=limit, format=format, as_json=as_json)


@jobs.command(epilog=examples("headrace jobs show $JOB"))
@with_option_groups
def show(server: ServerOptions, job_id: JobId, as_json: AsJson = False) -> None:
    """Show a job with its result, its warnings and its error. With --json, prints the job."""
    from app.cli.jobs import actions

    actions.show(server, job_id=job_id, as_json=as_json)


@jobs.command(epilog=examples("headrace jobs watch $JOB"))
@with_option_groups
def watch(server: ServerOptions, job_ids: JobIds, as_json: AsJson = False) -> None:
    """Show the progress of jobs until all have ended. Exits with 1 if a job did not complete.

    Ctrl+C stops watching, not the jobs. With --json, prints one event per line.
    """
    from app.cli.jobs import actions

    actions.watch(server, job_ids=job_ids, as_json=as_json)


@jobs.command(epilog=examples("headrace jobs cancel $JOB"))
@with_option_groups
def cancel(server: ServerOptions, job_ids: JobIds, as_json: AsJson = False) -> None:
    """Cancel jobs. With --json, prints one job per line."""
    from app.cli.jobs import actions

    actions.cancel(server, job_ids=job_ids, as_json=as_json)


@jobs.command(
    epilog=examples(
        "headrace jobs results $JOB --format csv > predictions.csv",
        "headrace jobs results $JOB --format parquet --output predictions.parquet",
        "headrace jobs results $JOB --format csv --include-input > rows.csv",
    )
)
@with_option_groups
def results(
    server: ServerOptions,
    job_id: JobId,
    format: Annotated[ExportFormat | None, typer.Option(help="Default: ndjson.")] = None,
    include_input: Annotated[
        bool, typer.Option("--include-input", help="Add the input row to each result.", show_default=False)
    ] = False,
    output: Annotated[
        Path | None, typer.Option(metavar="FILE", help="File to write instead of stdout.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Download the predictions computed so far, in input order.

    With --json, prints one row per line; with --output as well, one document with the size of the file.
    """
    from app.cli.jobs import actions

    actions.results(
        server, job_id=job_id, format=format, include_input=include_input, output=output, as_json=as_json
    )


@jobs.command(epilog=examples("headrace jobs retry $JOB --from-start --watch"))
@with_option_groups
def retry(
    server: ServerOptions,
    job_id: JobId,
    from_start: Annotated[
        bool,
        typer.Option("--from-start", help="Discard the results and start over.", show_default=False),
    ] = False,
    watch: Watch = False,
    as_json: AsJson = False,
) -> None:
    """Retry a failed or cancelled job from its last committed batch.

    With --json, prints the job, and with --watch then one event per line.
    """
    from app.cli.jobs import actions

    actions.retry(server, job_id=job_id, from_start=from_start, watch=watch, as_json=as_json)


@jobs.command(
    epilog=examples("headrace jobs shards $JOB", "headrace jobs shards $JOB --status failed --json")
)
@with_option_groups
def shards(
    server: ServerOptions,
    job_id: JobId,
    status: Annotated[Status | None, typer.Option(help="Only shards with this status.")] = None,
    as_json: AsJson = False,
) -> None:
    """List the shards of a job in the order of their rows: where each runs, and how far it is.

    With --json, prints one document: the shards are in `items`.
    """
    from app.cli.jobs import actions

    actions.shards(server, job_id=job_id, status=status, as_json=as_json)


@jobs.command(epilog=examples("headrace jobs explain $JOB"))
@with_option_groups
def explain(server: ServerOptions, job_id: JobId, as_json: AsJson = False) -> None:
    """Explain why a job waits, runs or has ended."""
    from app.cli.jobs import actions

    actions.explain(server, job_id=job_id, as_json=as_json)


@jobs.command(
    epilog=examples("headrace jobs logs $JOB --follow", "headrace jobs logs $JOB --level warning --attempt 2")
)
@with_option_groups
def logs(
    server: ServerOptions,
    job_id: JobId,
    level: Annotated[
        LogLevel | None, typer.Option(help="Only lines of this level and of more important ones.")
    ] = None,
    attempt: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Only lines of this attempt; default: all.")
    ] = None,
    tail: Annotated[
        int | None, typer.Option(min=1, max=1000, metavar="N", help="Begin with the last N lines.")
    ] = None,
    follow: Annotated[
        bool,
        typer.Option("--follow", "-f", help="Wait for further lines until the job ends.", show_default=False),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Print the lines that a job has written: time, attempt, level and text. A shard has its number before.

    With --json, prints one line of the log as JSON in each line.
    """
    from app.cli.jobs import actions

    actions.logs(
        server,
        job_id=job_id,
        attempt=attempt,
        level=level,
        tail=tail,
        follow=follow,
        as_json=as_json,
    )


@jobs.command(
    epilog=examples(
        "headrace jobs profile $JOB",
        "headrace jobs profile $JOB --shard 3",
        "headrace jobs profile $JOB --stacks > job.folded",
    )
)
@with_option_groups
def profile(
    server: ServerOptions,
    job_id: JobId,
    attempt: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Default: the last attempt that has a profile."),
    ] = None,
    shard: Annotated[
        int | None,
        typer.Option(min=0, metavar="N", help="Shard of the job. Default: the last one with a profile."),
    ] = None,
    stacks: Annotated[
        bool,
        typer.Option(
            "--stacks", help="Print all stacks, as flame graph tools read them.", show_default=False
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show where a job that was created with --profile spent its time."""
    from app.cli.jobs import actions

    actions.profile(server, job_id=job_id, attempt=attempt, shard=shard, stacks=stacks, as_json=as_json)
