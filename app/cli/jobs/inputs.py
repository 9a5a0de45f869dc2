"""Reads the input of a job: texts from arguments, a file or stdin, and files to upload."""

import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, cast
from uuid import UUID

from app.cli.errors import CommandFailed, UsageError
from app.client import Dataset, Headrace
from app.client.options import UploadOptions

_FLAGS: Final = {
    "delimiter": "--delimiter",
    "encoding": "--encoding",
    "null_values": "--null-value",
    "columns": "--column-type",
}


def read_texts(texts: Sequence[str], file: Path | None) -> list[str]:
    """The texts to predict: the arguments, or the lines of a file or of stdin. Raises CommandFailed."""
    if texts and file:
        raise UsageError("Give texts or a file of texts, not both.")
    if texts:
        return list(texts)
    if file is None and sys.stdin.isatty():
        raise UsageError("No texts: pass them as arguments, with --file, or on stdin.")
    try:
        content = sys.stdin.buffer.read() if file is None or str(file) == "-" else file.read_bytes()
        text = content.decode()
    except OSError as error:
        raise CommandFailed(f"cannot read {file}: {error.strerror}", code="file_not_readable") from error
    except UnicodeDecodeError:
        raise CommandFailed("the texts are not UTF-8", code="file_not_readable") from None
    # Not splitlines(), which also splits at U+2028 and form feeds.
    lines = [line.removesuffix("\r") for line in text.removesuffix("\n").split("\n")] if text else []
    if not lines:
        raise UsageError("No texts: the input is empty.")
    return lines


def ensure_upload(dataset: str | None, file_options: Mapping[str, Any]) -> None:
    """Raise UsageError if options describe a file and there is no file to upload."""
    has_file = dataset is not None and _dataset_id(dataset) is None
    if file_options and not has_file:
        flags = ", ".join(_FLAGS[name] for name in file_options)
        raise UsageError(f"{flags}: only applies to a file that is uploaded. Pass one with --dataset.")


def open_dataset(
    client: Headrace, dataset: str, file_options: Mapping[str, Any], *, is_quiet: bool
) -> Dataset | UUID:
    """The dataset with this id, or the one that the upload of this file creates. Raises CommandFailed."""
    if (dataset_id := _dataset_id(dataset)) is not None:
        return dataset_id
    try:
        uploaded = client.upload(dataset, **cast("UploadOptions", file_options))
    except OSError as error:
        raise CommandFailed(f"cannot read {dataset}: {error.strerror}", code="file_not_readable") from error
    if not is_quiet:
        print(f"dataset {uploaded.id}: {uploaded.rows} rows", file=sys.stderr)
    return uploaded


def _dataset_id(dataset: str) -> UUID | None:
    with suppress(ValueError):
        return UUID(dataset)
    return None
