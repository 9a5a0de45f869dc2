"""`headrace predict`. It imports the client when it runs, so that `--help` stays fast."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from app.cli.datasets.options import DatasetOptions, FileOptions
from app.cli.jobs.options import JobOptions, ModelReference, RowOptions, ServerOptions, without_none
from app.cli.option_groups import with_option_groups
from app.cli.options import AsJson

OutputFormat = Literal["text", "ndjson", "csv", "parquet"]


@with_option_groups
def predict(
    server: ServerOptions,
    source: DatasetOptions,
    file_options: FileOptions,
    row_options: RowOptions,
    job: JobOptions,
    texts: Annotated[
        list[str] | None,
        typer.Argument(metavar="TEXT...", help="Texts to predict; default: stdin, one text per line."),
    ] = None,
    row: Annotated[
        list[str] | None,
        typer.Option(
            metavar="JSON", help="Row to predict, such as '{\"rooms\": 3}' or '[3, \"Oslo\"]'; repeatable."
        ),
    ] = None,
    file: Annotated[
        Path | None, typer.Option("--file", metavar="FILE", help="File with one text per line; - is stdin.")
    ] = None,
    format: Annotated[
        OutputFormat | None,
        typer.Option(help="Default: as the name of --output ends, or else text: a line per row."),
    ] = None,
    model: ModelReference = None,
    output: Annotated[
        Path | None, typer.Option(metavar="FILE", help="File to write instead of stdout.")
    ] = None,
    delete_dataset: Annotated[
        bool,
        typer.Option(
            "--delete-dataset",
            help="Delete the dataset of an uploaded file when its rows are predicted.",
            show_default=False,
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Predict texts, rows or a whole file, wait, and write the predictions in the order of the rows.

    Up to 100 texts or rows are predicted at once; for more, and for datasets, a job is submitted and watched.
    With --json, prints one row per line; with --output as well, one document with the job and the file.
    """
    from app.cli.predictions import actions

    actions.predict(
        server,
        source=source,
        texts=texts or [],
        rows=row or [],
        file=file,
        file_options=file_options.given,
        options={**without_none(model=model), **row_options.given, **job.given},
        format=format,
        output=output,
        delete_dataset=delete_dataset,
        as_json=as_json,
    )
