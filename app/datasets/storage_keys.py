"""Keys of the files of datasets in storage."""

from typing import Final
from uuid import UUID

CONTENT: Final = "content"
ROWS: Final = "rows.parquet"
FILES: Final = frozenset({CONTENT, ROWS})


def content_key(dataset_id: UUID) -> str:
    """Return the key of the file as uploaded."""
    return file_key(dataset_id, CONTENT)


def rows_key(dataset_id: UUID) -> str:
    """Return the key of the rows as Parquet, which jobs read."""
    return file_key(dataset_id, ROWS)


def file_key(dataset_id: UUID, name: str) -> str:
    """Return the key of one of the files of a dataset."""
    return f"datasets/{dataset_id}/{name}"


def dataset_of(key: str) -> UUID:
    """Return the dataset to which a file belongs."""
    return UUID(key.split("/")[1])
