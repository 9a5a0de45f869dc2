"""The commands of trainings. Each imports the client when it runs, so that `--help` stays fast."""

from typing import Annotated

import typer

from app.cli.datasets.options import DatasetOptions, FileOptions
from app.cli.jobs.options import JobOptions, RowOptions, ServerOptions, Watch
from app.cli.option_groups import with_option_groups
from app.cli.options import AsJson
from app.cli.training.options import Folds, TrainingOptions


@with_option_groups
def train(
    server: ServerOptions,
    source: DatasetOptions,
    training: TrainingOptions,
    file_options: FileOptions,
    job: JobOptions,
    target: Annotated[str, typer.Option(metavar="COLUMN", help="Column to predict.")],
    folds: Folds = None,
    watch: Watch = False,
    as_json: AsJson = False,
) -> None:
    """Train a model on a dataset; print the job's id.

    With --json, prints the job that was created, and with --watch then one event per line. With --folds,
    prints the id of a search with one trial, which `headrace search watch` shows.
    """
    if folds is not None:
        from app.cli.searches import actions as searches

        searches.create(
            server,
            source=source,
            target=target,
            space=None,
            search_options={"folds": folds},
            file_options=file_options.given,
            options={**training.given, **job.given},
            watch=watch,
            as_json=as_json,
        )
        return
    from app.cli.training import actions

    actions.train(
        server,
        source=source,
        target=target,
        file_options=file_options.given,
        options={**training.given, **job.given},
        watch=watch,
        as_json=as_json,
    )


@with_option_groups
def evaluate(
    server: ServerOptions,
    source: DatasetOptions,
    file_options: FileOptions,
    rows: RowOptions,
    job: JobOptions,
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="name, name@version, name@alias or owner/name.")
    ],
    target: Annotated[str, typer.Option(metavar="COLUMN", help="Column with the true values.")],
    watch: Watch = False,
    as_json: AsJson = False,
) -> None:
    """Measure a model on a dataset whose true values are known; print the job's id.

    `headrace jobs show` prints the metrics. With --json, prints the job that was created, and with --watch
    then one event per line.
    """
    from app.cli.training import actions

    actions.evaluate(
        server,
        model=model,
        target=target,
        source=source,
        file_options=file_options.given,
        options={**rows.given, **job.given},
        watch=watch,
        as_json=as_json,
    )
