"""Rows, datasets and models as frozen dataclasses; `raw` has the server's whole document."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID


@dataclass(frozen=True, slots=True)
class RowError:
    """The error of a row that has no prediction."""

    index: int
    code: str
    message: str

    @classmethod
    def parse(cls, document: Mapping[str, Any]) -> "RowError":
        """Parse the JSON document."""
        return cls(int(document["index"]), document["code"], document.get("message", ""))


@dataclass(frozen=True, slots=True)
class Row:
    """The result of one input row: a prediction or an error. `id` is the row's own id, if it has one.

    >>> row = next(client.results(job))
    >>> row.index, row.prediction["label"]
    (0, 'positive')
    """

    index: int
    input_index: int
    prediction: Any
    raw: Mapping[str, Any] = field(repr=False, compare=False)
    id: Any = None
    error: RowError | None = None

    @classmethod
    def parse(cls, document: Mapping[str, Any]) -> "Row":
        """Parse the JSON document."""
        index = int(document["index"])
        error = document.get("error")
        return cls(
            index=index,
            input_index=document.get("input_index", index),
            prediction=document.get("prediction"),
            raw=document,
            id=document.get("id"),
            error=None if error is None else RowError.parse({"index": index, **error}),
        )


@dataclass(frozen=True, slots=True)
class Predictions:
    """The result of `predict`: predictions in the order of the rows, None for a row with an error.

    >>> result = client.predict(["What a lovely day"])
    >>> result.predictions[0]["label"], result.model
    ('positive', 'sentiment@1')
    """

    predictions: Sequence[Any]
    row_errors: Sequence[RowError]
    model: str | None
    job_id: str
    raw: Mapping[str, Any] = field(repr=False, compare=False)

    @classmethod
    def parse(cls, document: Mapping[str, Any]) -> "Predictions":
        """Parse the JSON document."""
        return cls(
            predictions=document["predictions"],
            row_errors=[RowError.parse(error) for error in document.get("row_errors") or ()],
            model=document.get("model"),
            job_id=document["job_id"],
            raw=document,
        )


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
class Model:
    """A model that you can predict with. `reference` names it with its owner: the latest version.

    >>> [model.name for model in client.models()]
    ['sentiment']
    """

    name: str
    owner: str | None
    reference: str
    latest_version: int | None
    aliases: Mapping[str, int]
    visibility: str | None
    created_at: datetime | None
    raw: Mapping[str, Any] = field(repr=False, compare=False)

    @classmethod
    def parse(cls, document: Mapping[str, Any]) -> "Model":
        """Parse the JSON document."""
        return cls(
            name=document["name"],
            owner=document.get("owner"),
            reference=document.get("reference", document["name"]),
            latest_version=document.get("latest_version"),
            aliases=document.get("aliases") or {},
            visibility=document.get("visibility"),
            created_at=instant(document, "created_at"),
            raw=document,
        )


AnyDataset = str | UUID | Dataset
"""A dataset or its id."""


def dataset_id(dataset: AnyDataset) -> str:
    """The id of a dataset."""
    return dataset.id if isinstance(dataset, Dataset) else str(dataset)


def instant(document: Mapping[str, Any], name: str) -> datetime | None:
    """The date and time in a member of a document, if present."""
    text = document.get(name)
    return None if text is None else datetime.fromisoformat(text)
