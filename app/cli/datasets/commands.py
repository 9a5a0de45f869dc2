"""The commands of `headrace datasets`. Each imports the client when it runs, so that `--help` stays fast."""

from pathlib import Path
from typing import Annotated

import typer

from app.cli.datasets.options import FileOptions
from app.cli.jobs.options import ServerOptions
from app.cli.option_groups import with_option_groups
from app.cli.options import AsJson, examples

datasets = typer.Typer(help="Upload, inspect and delete datasets over HTTP.")

DatasetName = Annotated[
    str, typer.Argument(metavar="DATASET", help="An id, or a name: the newest dataset of that name.")
]


@datasets.command(
    epilog=examples(
        "headrace datasets upload reviews.csv",
        "headrace datasets upload sales.csv.gz --delimiter ';' --null-value NA --column-type zip=id",
        "zcat sales.gz | headrace datasets upload - --name sales --file-format csv",
    )
)
@with_option_groups
def upload(
    server: ServerOptions,
    file_options: FileOptions,
    file: Annotated[
        str,
        typer.Argument(
            metavar="FILE", help="A .csv, .tsv, .jsonl, .ndjson or .parquet, also with .gz; - is stdin."
        ),
    ],
    name: Annotated[
        str | None, typer.Option("--name", metavar="NAME", help="Default: the name of the file.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Upload a file as a dataset; print its id, and how its columns were read.

    With --json, prints the dataset.
    """
    from app.cli.datasets import actions

    actions.upload(server, file=file, name=name, file_options=file_options.given, as_json=as_json)


@datasets.command("list", epilog=examples("headrace datasets list", "headrace datasets list --name sales"))
@with_option_groups
def list_datasets(
    server: ServerOptions,
    name: Annotated[
        str | None, typer.Option("--name", metavar="NAME", help="Only datasets with this name.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, metavar="N", help="Number of datasets to list.")] = 20,
    as_json: AsJson = False,
) -> None:
    """List your datasets, newest first.

    With --json, prints one document: the datasets are in `items`.
    """
    from app.cli.datasets import actions

    actions.list_datasets(server, name=name, limit=limit, as_json=as_json)


@datasets.command(epilog=examples("headrace datasets show reviews.csv"))
@with_option_groups
def show(server: ServerOptions, dataset: DatasetName, as_json: AsJson = False) -> None:
    """Show a dataset with its columns, their types, and why a column is text."""
    from app.cli.datasets import actions

    actions.show(server, dataset=dataset, as_json=as_json)


@datasets.command(
    epilog=examples("headrace datasets rows reviews.csv", "headrace datasets rows reviews.csv -n 3 --json")
)
@with_option_groups
def rows(
    server: ServerOptions,
    dataset: DatasetName,
    count: Annotated[
        int, typer.Option("--rows", "-n", min=1, max=100, metavar="N", help="Number of rows.")
    ] = 10,
    as_json: AsJson = False,
) -> None:
    """Show the first rows of a dataset, as jobs read them.

    With --json, prints one document: the rows are in `rows`.
    """
    from app.cli.datasets import actions

    actions.rows(server, dataset=dataset, count=count, as_json=as_json)


@datasets.command(epilog=examples("headrace datasets profile reviews.csv"))
@with_option_groups
def profile(server: ServerOptions, dataset: DatasetName, as_json: AsJson = False) -> None:
    """Show missing and distinct values, statistics and warnings of each column."""
    from app.cli.datasets import actions

    actions.profile(server, dataset=dataset, as_json=as_json)


@datasets.command(
    epilog=examples(
        "headrace datasets download reviews.csv > reviews.csv",
        "headrace datasets download reviews.csv --output copy.csv",
    )
)
@with_option_groups
def download(
    server: ServerOptions,
    dataset: DatasetName,
    output: Annotated[
        Path | None, typer.Option(metavar="FILE", help="File to write instead of stdout.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Download the file of a dataset, byte for byte as it was uploaded.

    With --json, which needs --output, prints one document with the size of the file.
    """
    from app.cli.datasets import actions

    actions.download(server, dataset=dataset, output=output, as_json=as_json)


@datasets.command(epilog=examples("headrace datasets delete 019aa7c1-f3e2-7bd0-8c5d-3f1e2a4b6c8d"))
@with_option_groups
def delete(
    server: ServerOptions,
    dataset_names: Annotated[
        list[str],
        typer.Argument(metavar="DATASET...", help="Ids, or names: the newest dataset of each name."),
    ],
    as_json: AsJson = False,
) -> None:
    """Delete datasets with their files. Fails while a job that has not ended needs one.

    With --json, prints one object per dataset.
    """
    from app.cli.datasets import actions

    actions.delete(server, datasets=dataset_names, as_json=as_json)
