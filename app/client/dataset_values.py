"""Datasets as frozen dataclasses; `raw` has the server's whole document."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from app.client.data import instant


@dataclass(frozen=True, slots=True)
class Dataset:
    """An uploaded file of rows. `columns` maps column names to types.

    >>> dataset = client.upload("reviews.csv")
    >>> dataset.rows, dataset.columns
    (2, {'id': 'integer', 'review': 'text'})
    """

    id: str
    name: str
    format: str
    rows: int
    bytes: int
    columns: Mapping[str, str]
    sha256: str | None
    created_at: datetime | None
    raw: Mapping[str, Any] = field(repr=False, compare=False)

    @classmethod
    def parse(cls, document: Mapping[str, Any]) -> "Dataset":
        """Parse the JSON document."""
        return cls(
            id=document["dataset_id"],
            name=document["name"],
            format=document.get("format", ""),
            rows=int(document["rows"]),
            bytes=int(document.get("bytes", 0)),
            columns={column["name"]: column["type"] for column in document.get("columns") or ()},
            sha256=document.get("sha256"),
            created_at=instant(document, "created_at"),
            raw=document,
        )


@dataclass(frozen=True, slots=True)
class DatasetPreview:
    """The first rows of a dataset, as jobs read them; `total` is the number of all rows.

    >>> client.preview_dataset(dataset, rows=1).rows
    [{'id': 1, 'review': 'It works.'}]
    """

    columns: Mapping[str, str]
    rows: Sequence[Mapping[str, Any]]
    total: int
    raw: Mapping[str, Any] = field(repr=False, compare=False)

    @classmethod
    def parse(cls, document: Mapping[str, Any]) -> "DatasetPreview":
        """Parse the JSON document."""
        return cls(
            columns={column["name"]: column["type"] for column in document["columns"]},
            rows=document["rows"],
            total=int(document["total"]),
            raw=document,
        )


AnyDataset = str | UUID | Dataset
"""A dataset, its id, or its name: the newest of your datasets with that name."""


def dataset_member(dataset: AnyDataset) -> dict[str, str]:
    """The member of a body that names a dataset. A text that looks like an id is an id."""
    if isinstance(dataset, Dataset):
        return {"dataset_id": dataset.id}
    try:
        return {"dataset_id": str(UUID(str(dataset)))}
    except ValueError:
        return {"dataset": str(dataset)}


@dataclass(frozen=True, slots=True)
class DatasetProfile:
    """The figures of each column, by its name; docs/datasets.md defines them.

    >>> profile = client.profile_dataset("reviews.csv")
    >>> profile.rows, profile.columns["stars"]["mean"]
    (2, 3.5)
    """

    rows: int
    duplicate_rows: int
    columns: Mapping[str, Mapping[str, Any]]
    raw: Mapping[str, Any] = field(repr=False, compare=False)

    @classmethod
    def parse(cls, document: Mapping[str, Any]) -> "DatasetProfile":
        """Parse the JSON document."""
        return cls(
            rows=int(document["rows"]),
            duplicate_rows=int(document["duplicate_rows"]),
            columns={column["name"]: column for column in document["columns"]},
            raw=document,
        )
