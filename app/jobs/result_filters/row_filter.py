"""What filters and summaries look at in a result row, and which rows match a filter."""

import hashlib
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from app.jobs.results import ResultBatch


class _Prediction(msgspec.Struct, gc=False):
    label: Any = None
    score: Any = None
    value: Any = None


class ResultLine(msgspec.Struct, gc=False):
    """The line of a row, without the members that neither filters nor summaries read."""

    prediction: _Prediction | None = None
    error: Any = None

    @classmethod
    def decode(cls, line: bytes) -> "ResultLine":
        """Read the line of a row. A prediction that is no object has no label and no score."""
        try:
            return _decode(line)
        except msgspec.ValidationError:
            return cls(None, _decode_any(line).get("error"))

    @property
    def label(self) -> str | None:
        """The label of the prediction; one that is no text as JSON, None without any."""
        found = None if self.prediction is None else self.prediction.label
        return found if found is None or isinstance(found, str) else msgspec.json.encode(found).decode()

    @property
    def number(self) -> float | None:
        """The score of the prediction, or else its value; None without a number."""
        if self.prediction is None:
            return None
        found = self.prediction.value if self.prediction.score is None else self.prediction.score
        return found if isinstance(found, int | float) and not isinstance(found, bool) else None


_decode: Final = msgspec.json.Decoder(ResultLine).decode
_decode_any: Final = msgspec.json.Decoder(dict[str, Any]).decode


@dataclass(frozen=True)
class RowFilter:
    """Which rows to return; None means any. A row matches if it matches every filter.

    `below` is an exclusive bound of the score, or of the value of a prediction without a score.
    """

    label: str | None = None
    below: float | None = None
    errors: bool | None = None

    @property
    def tag(self) -> str:
        """A short text that differs between filters, for an ETag; empty if every row matches."""
        return "" if self.is_empty else f"-{hashlib.sha256(repr(self).encode()).hexdigest()[:16]}"

    @property
    def is_empty(self) -> bool:
        """Whether every row matches."""
        return self == RowFilter()

    def matching(self, piece: ResultBatch) -> frozenset[int]:
        """Return the numbers of the rows that match, counted within the piece."""
        lines = enumerate(piece.lines)
        return frozenset(number for number, line in lines if self._matches(ResultLine.decode(line)))

    def _matches(self, row: ResultLine) -> bool:
        if self.errors is not None and (row.error is not None) is not self.errors:
            return False
        if self.label is not None and row.label != self.label:
            return False
        return self.below is None or ((number := row.number) is not None and number < self.below)
