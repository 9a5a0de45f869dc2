"""Rows and predictions as frozen dataclasses; `raw` has the server's whole document."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any


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

    `input` is the row itself, if it was asked for.

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
    input: Any = None

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
            input=document.get("input"),
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


def instant(document: Mapping[str, Any], name: str) -> datetime | None:
    """The date and time in a member of a document, if present."""
    text = document.get(name)
    return None if text is None else datetime.fromisoformat(text)
