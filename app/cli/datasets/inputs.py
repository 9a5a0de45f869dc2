"""Names the dataset of a job, and uploads files."""

import sys
from collections.abc import Mapping
from contextlib import suppress
from shutil import copyfileobj
from tempfile import NamedTemporaryFile
from typing import Any, Final, cast
from uuid import UUID

from app.cli.datasets.options import DatasetOptions
from app.cli.errors import CommandFailed, UsageError
from app.client import Dataset, Headrace
from app.client.options import UploadOptions

STDIN: Final = "-"

_FLAGS: Final = {
    "format": "--file-format",
    "delimiter": "--delimiter",
    "encoding": "--encoding",
    "null_values": "--null-value",
    "columns": "--column-type",
}


def ensure_consistent(source: DatasetOptions, file_options: Mapping[str, Any]) -> None:
    """Raise UsageError if a dataset is named twice, or if options describe a file that is not uploaded."""
    if source.dataset is not None and source.dataset_name is not None:
        raise UsageError("Give --dataset or --dataset-name, not both.")
    if file_options and not is_upload(source):
        flags = ", ".join(_FLAGS[name] for name in file_options)
        raise UsageError(f"{flags}: only applies to a file that is uploaded. Pass one with --dataset.")


def is_upload(source: DatasetOptions) -> bool:
    """Whether the dataset is a file to upload."""
    return source.dataset is not None and _dataset_id(source.dataset) is None


def open_dataset(
    client: Headrace, source: DatasetOptions, file_options: Mapping[str, Any], *, is_quiet: bool
) -> Dataset | UUID | str | None:
    """The dataset that the options name, or the one that the upload of a file creates."""
    if source.dataset is None:
        return source.dataset_name
    if (dataset_id := _dataset_id(source.dataset)) is not None:
        return dataset_id
    uploaded = upload_file(client, source.dataset, None, file_options)
    if not is_quiet:
        print(f"dataset {uploaded.id}: {uploaded.rows} rows", file=sys.stderr)
    return uploaded


def upload_file(client: Headrace, file: str, name: str | None, options: Mapping[str, Any]) -> Dataset:
    """Upload a file; `-` is stdin. Raises CommandFailed if it cannot be read."""
    if file == STDIN:
        return _upload_stdin(client, name, options)
    try:
        return client.upload(file, name=name, **cast("UploadOptions", options))
    except OSError as error:
        raise CommandFailed(f"cannot read {file}: {error.strerror}", code="file_not_readable") from error


def _upload_stdin(client: Headrace, name: str | None, options: Mapping[str, Any]) -> Dataset:
    """Upload stdin by way of a temporary file, which may be larger than memory."""
    if sys.stdin.isatty():
        raise UsageError("-: stdin is a terminal; pipe a file into the command.")
    if "format" not in options:
        raise UsageError("-: name the format of stdin with --file-format.")
    with NamedTemporaryFile(prefix="headrace-") as file:
        copyfileobj(sys.stdin.buffer, file)
        file.flush()
        return client.upload(file.name, name=name or "stdin", **cast("UploadOptions", options))


def _dataset_id(dataset: str) -> UUID | None:
    with suppress(ValueError):
        return UUID(dataset)
    return None
