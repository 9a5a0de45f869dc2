"""Determines the format of an upload from its Content-Type or its file name."""

from pathlib import PurePosixPath
from typing import Final

from app.datasets.errors import UnsupportedFormat
from app.datasets.values import Format

CSV: Final = "text/csv"
NDJSON: Final = "application/x-ndjson"
PARQUET: Final = "application/vnd.apache.parquet"

MEDIA_TYPES: Final = {Format.CSV: CSV, Format.JSONL: NDJSON, Format.PARQUET: PARQUET}

_BY_MEDIA_TYPE: Final = {
    CSV: Format.CSV,
    "application/csv": Format.CSV,
    NDJSON: Format.JSONL,
    "application/ndjson": Format.JSONL,
    "application/jsonl": Format.JSONL,
    "application/x-jsonlines": Format.JSONL,
    PARQUET: Format.PARQUET,
    "application/x-parquet": Format.PARQUET,
}
_BY_SUFFIX: Final = {
    ".csv": Format.CSV,
    ".jsonl": Format.JSONL,
    ".ndjson": Format.JSONL,
    ".parquet": Format.PARQUET,
}
# Defaults of clients that do not know the type, such as curl.
_UNSPECIFIC: Final = frozenset(
    {"", "application/octet-stream", "application/x-www-form-urlencoded", "application/vnd.ms-excel"}
)
_MAX_SHOWN: Final = 100


def find(content_type: str, filename: str) -> Format:
    """The format of a file by its content type or, if that is unspecific, by the suffix of its name.

    Raises UnsupportedFormat.
    """
    media_type, _, parameters = content_type.partition(";")
    media_type = media_type.strip().lower()
    if media_type in _UNSPECIFIC:
        found = _BY_SUFFIX.get(PurePosixPath(filename).suffix.lower())
    else:
        found = _BY_MEDIA_TYPE.get(media_type)
    if found is None or not _is_utf8(parameters):
        raise UnsupportedFormat(got=(content_type or "of no content type")[:_MAX_SHOWN])
    return found


def _is_utf8(parameters: str) -> bool:
    for parameter in parameters.lower().split(";"):
        name, _, value = parameter.strip().partition("=")
        if name == "charset":
            return value.strip('"') in ("utf-8", "utf8", "us-ascii")
    return True
