"""What the commands of `headrace datasets` do."""

import sys
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Final

from app.cli.datasets.inputs import upload_file
from app.cli.datasets.table import describe_columns, print_dataset, print_datasets, print_profile, print_rows
from app.cli.errors import UsageError
from app.cli.jobs.connection import account, client_errors, connect
from app.cli.jobs.options import ServerOptions
from app.cli.output import opened, print_json

PAGE_SIZE: Final = 100


@client_errors()
def upload(
    server: ServerOptions,
    *,
    file: str,
    name: str | None,
    file_options: Mapping[str, Any],
    as_json: bool,
) -> None:
    """Upload a file, and print the id of the dataset."""
    with connect(account(server)) as client:
        dataset = upload_file(client, file, name, file_options)
    if as_json:
        print_json(dataset.raw)
        return
    print(dataset.id, flush=True)
    print(f"{dataset.name}: {dataset.rows} rows; {describe_columns(dataset)}", file=sys.stderr)


@client_errors()
def list_datasets(server: ServerOptions, *, name: str | None, limit: int, as_json: bool) -> None:
    """Print datasets, newest first."""
    with connect(account(server)) as client:
        found = list(islice(client.datasets(name=name, page_size=min(limit, PAGE_SIZE)), limit))
    if as_json:
        print_json({"items": [dataset.raw for dataset in found]})
    else:
        print_datasets(found)


@client_errors()
def show(server: ServerOptions, *, dataset: str, as_json: bool) -> None:
    """Print a dataset."""
    with connect(account(server)) as client:
        found = client.dataset(dataset)
    if as_json:
        print_json(found.raw)
    else:
        print_dataset(found)


@client_errors()
def rows(server: ServerOptions, *, dataset: str, count: int, as_json: bool) -> None:
    """Print the first rows of a dataset."""
    with connect(account(server)) as client:
        preview = client.preview_dataset(dataset, rows=count)
    if as_json:
        print_json(preview.raw)
    else:
        print_rows(preview)


@client_errors()
def profile(server: ServerOptions, *, dataset: str, as_json: bool) -> None:
    """Print the profile of a dataset."""
    with connect(account(server)) as client:
        found = client.profile_dataset(dataset)
    if as_json:
        print_json(found.raw)
    else:
        print_profile(found)


@client_errors()
def download(server: ServerOptions, *, dataset: str, output: Path | None, as_json: bool) -> None:
    """Write the file of a dataset to stdout or to a file."""
    if as_json and output is None:
        raise UsageError("--json: name the file to write with --output.")
    written = 0
    with connect(account(server)) as client:
        found = client.dataset(dataset)
        with opened(output) as write:
            for piece in client.download_dataset(found):
                write(piece)
                written += len(piece)
    if as_json:
        print_json({"dataset_id": found.id, "output": str(output), "bytes": written})


@client_errors()
def delete(server: ServerOptions, *, datasets: Sequence[str], as_json: bool) -> None:
    """Delete datasets, and print each."""
    with connect(account(server)) as client:
        for name in datasets:
            dataset = client.dataset(name)
            client.delete_dataset(dataset)
            if as_json:
                print_json({"dataset_id": dataset.id, "deleted": True})
            else:
                print(f"{dataset.id} deleted", flush=True)
