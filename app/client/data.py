"""What jobs read and write: rows, datasets, models. Frozen, and with all that the server said in `raw`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID


@dataclass(frozen=True, slots=True)
class RowError:
    """Why there is no prediction for a row."""

    index: int
    code: str
    message: str

    @classmethod
    def parse(cls, document: Mapping[str, Any]) -> "RowError":
        """Read it from JSON."""
        return cls(int(document["index"]), document["code"], document.get("message", ""))


@dataclass(frozen=True, slots=True)
class Row:
    """What came of one row of the input: a prediction, or an error. `id` is the row's own, if it has one.

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
        """Read it from JSON."""
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
    """What `predict` gives: predictions in the order of the rows, None where there is an error.

    >>> said = client.predict(["What a lovely day"])
    >>> said.predictions[0]["label"], said.model
    ('positive', 'sentiment@1')
    """

    predictions: Sequence[Any]
    row_errors: Sequence[RowError]
    model: str | None
    job_id: str
    raw: Mapping[str, Any] = field(repr=False, compare=False)

    @classmethod
    def parse(cls, document: Mapping[str, Any]) -> "Predictions":
        """Read it from JSON."""
        return cls(
            predictions=document["predictions"],
            row_errors=[RowError.parse(error) for error in document.get("row_errors") or ()],
            model=document.get("model"),
            job_id=document["job_id"],
            raw=document,
        )


@dataclass(frozen=True, slots=True)
class Dataset:
    """An uploaded file of rows. `columns` are the types of its columns by their names.

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
        """Read it from JSON."""
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
    """A model that you can predict with. `reference` names it, with its owner, and means its latest version.

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
        """Read it from JSON."""
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
"""Whatever says which dataset is meant."""


def dataset_id(dataset: AnyDataset) -> str:
    """The id of the dataset that is meant."""
    return dataset.id if isinstance(dataset, Dataset) else str(dataset)


def instant(document: Mapping[str, Any], name: str) -> datetime | None:
    """An instant in a document, if it is there."""
    text = document.get(name)
    return None if text is None else datetime.fromisoformat(text)
