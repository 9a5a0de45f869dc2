"""Count the inputs of a job batch by batch, and compare them with the profile of its model at the end.

The counts have a bounded size and are the checkpoint of each batch, so an attempt that resumes counts each
row once.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final, Self

import msgspec
import numpy as np
import numpy.typing as npt

from worker import cells
from worker.cells import Content
from worker.columnar import TableRows
from worker.context import BadInput
from worker.drift import statistics
from worker.drift.profile import Categories, ColumnProfile, Numbers, Profile, present_values

MAX_UNSEEN: Final = 20
"""The first new categories of a column are named."""

MAX_NAMED: Final = 5
MAX_WARNINGS: Final = 50


class _Counts(msgspec.Struct):
    """The rows of one column so far: `values` by bin or category, those of other categories last."""

    values: list[int]
    rows: int = 0
    missing: int = 0
    unseen: dict[str, int] = {}


class Comparison:
    """The inputs of one job, beside the profile of its model."""

    def __init__(
        self, profile: Profile, names: Mapping[str, str], counts: list[_Counts] | None = None
    ) -> None:
        """`names` are those of columns that the dataset has under another name."""
        self._profile = profile
        self._names = names
        self._counts = counts or [_Counts([0] * _places(column)) for column in profile.columns]

    @classmethod
    def from_checkpoint(cls, profile: Profile, names: Mapping[str, str], checkpoint: bytes | None) -> Self:
        """Resume from a checkpoint; without one, start at the first row. Raises BadInput."""
        if checkpoint is None:
            return cls(profile, names)
        try:
            return cls(profile, names, msgspec.msgpack.decode(checkpoint, type=list[_Counts]))
        except msgspec.MsgspecError as error:
            raise BadInput(f"the checkpoint cannot be read: {error}") from error

    def checkpoint(self) -> bytes:
        """Return the counts for another attempt to resume from."""
        return msgspec.msgpack.encode(self._counts)

    def add(self, batch: TableRows) -> None:
        """Count the rows of a batch."""
        for column, counts in zip(self._profile.columns, self._counts, strict=True):
            found = _cells(batch, self._names.get(column.name, column.name), column)
            missing, present = present_values(column.content, found)
            counts.rows += len(found)
            counts.missing += missing
            match column.values:
                case Categories():
                    _add_categories(counts, column.values, Counter(present))
                case Numbers():
                    placed = column.values.place(np.asarray(present, np.float32))
                    counts.values = [sum(pair) for pair in zip(counts.values, placed, strict=True)]

    def result(self) -> dict[str, Any]:
        """Return the warnings for the result of the job: as sentences, and as data in `drift`."""
        comparisons = 2 * len(self._profile.columns)
        found = [
            warning
            for column, counts in zip(self._profile.columns, self._counts, strict=True)
            for warning in _compare(column, counts, comparisons)
        ]
        found = found[:MAX_WARNINGS]
        return {"warnings": [warning["message"] for warning in found], "drift": found}


def _places(column: ColumnProfile) -> int:
    values = column.values
    return len(values.counts) + 1 if isinstance(values, Categories) else len(values.counts)


def _add_categories(counts: _Counts, known: Categories, present: Counter[str]) -> None:
    for place, category in enumerate(known.counts):
        counts.values[place] += present.pop(category, 0)
    counts.values[-1] += present.total()
    for category, rows in present.items():
        name = cells.preview(category)
        if name in counts.unseen or len(counts.unseen) < MAX_UNSEEN:
            counts.unseen[name] = counts.unseen.get(name, 0) + rows


def _cells(batch: TableRows, name: str, column: ColumnProfile) -> npt.NDArray[Any]:
    """Return the cells of a column as its model takes them. What cannot be read counts as missing."""
    if column.content in (Content.NUMBER, Content.BOOLEAN):
        numbers = batch.to_vector(name)
        if numbers is not None:
            with np.errstate(invalid="ignore"):
                return np.where(np.abs(numbers) <= cells.MAX_NUMBER, numbers, np.nan)
    if column.content is Content.DATE and (days := batch.to_days(name)) is not None:
        return days
    parse = cells.number_parser(column.markers) if column.markers else cells.PARSERS[column.content]
    distinct = batch.distinct(name)
    if column.content in (Content.CATEGORY, Content.TEXT):
        return distinct.parse_texts(parse, None if column.content is Content.CATEGORY else "")[0]
    return distinct.parse_numbers(parse)[0]


def _compare(column: ColumnProfile, counts: _Counts, comparisons: int) -> list[dict[str, Any]]:
    return [
        warning
        for warning in (
            _unseen(column, counts),
            _shifted(column, counts, comparisons),
            _more_missing(column, counts, comparisons),
        )
        if warning is not None
    ]


def _unseen(column: ColumnProfile, counts: _Counts) -> dict[str, Any] | None:
    known, new = column.values, counts.values[-1]
    if not isinstance(known, Categories) or not known.are_all:
        return None
    if not statistics.has_unseen(tuple(known.counts.values()), new, counts.rows):
        return None
    most = sorted(counts.unseen.items(), key=lambda item: (-item[1], item[0]))[:MAX_NAMED]
    named = ", ".join(f"{name} ({rows})" for name, rows in most)
    return {
        "column": column.name,
        "kind": "unseen_categories",
        "value": _rounded(new / counts.rows),
        "message": f"{new} of {counts.rows} rows have a value of {column.name!r} that no training row has:"
        f" {named}.",
    }


def _shifted(column: ColumnProfile, counts: _Counts, comparisons: int) -> dict[str, Any] | None:
    shift = statistics.shift(_trained(column.values), counts.values, comparisons=comparisons)
    if shift is None or not shift.counts:
        return None
    what = {Content.CATEGORY: "categories", Content.TEXT: "lengths"}.get(column.content, "values")
    return {
        "column": column.name,
        "kind": "shifted",
        "value": _rounded(shift.psi),
        "limit": _rounded(shift.limit),
        "message": f"The {what} of {column.name!r} are distributed differently than in the training rows:"
        f" PSI {shift.psi:.2f}, from {shift.limit:.2f} on it counts.",
    }


def _trained(values: Numbers | Categories) -> Sequence[int]:
    return (*values.counts.values(), values.others) if isinstance(values, Categories) else values.counts


def _more_missing(column: ColumnProfile, counts: _Counts, comparisons: int) -> dict[str, Any] | None:
    if not statistics.is_more_missing(
        column.missing, column.rows, counts.missing, counts.rows, comparisons=comparisons
    ):
        return None
    share, before = counts.missing / counts.rows, column.missing / column.rows
    return {
        "column": column.name,
        "kind": "missing",
        "value": _rounded(share),
        "message": f"{column.name!r} is missing in {share:.1%} of the rows, and in {before:.1%} of the"
        " training rows.",
    }


def _rounded(number: float) -> float:
    return round(number, 4)
