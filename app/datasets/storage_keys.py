"""Keys of the files of datasets in storage."""

from uuid import UUID


def content_key(dataset_id: UUID) -> str:
    """Return the key of the file as uploaded."""
    return f"datasets/{dataset_id}/content"


def rows_key(dataset_id: UUID) -> str:
    """Return the key of the rows as Parquet, which jobs read."""
    return f"datasets/{dataset_id}/rows.parquet"
