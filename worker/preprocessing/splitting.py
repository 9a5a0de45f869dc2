"""The step `split`: divides the rows at cuts in the order of their keys.

Rows have keys: random numbers, digests of their group, or their time. Each part but the first begins at a
cut, the key at its rank among all keys. Rows with equal keys stay together; random keys are all different,
so the sizes of those parts are exact. A stratified split has cuts of its own for each value of the column.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from app.datasets.conversion.columns import NUMBER
from app.jobs.preprocessing.steps import Split
from worker.preprocessing import digests, keys
from worker.preprocessing.chunk import Chunk
from worker.preprocessing.filling import MAX_DISTINCT
from worker.preprocessing.operation import Operation, TooManyValues

Array = npt.NDArray[Any]


class Splitting(Operation):
    """Divides the rows into parts. It holds at most 32 bytes for each row while it decides."""

    needs_survey = True

    def __init__(self, number: int, step: Split, *, max_distinct: int = MAX_DISTINCT) -> None:
        super().__init__(number, step)
        self._step = step
        self._max_distinct = max_distinct
        self._fractions = [part.fraction for part in step.parts]
        self._position = 0
        self._missing = 0
        self._keys: list[Array] = []
        self._codes: dict[Any, int] = {}
        self._cuts: list[list[Any]] = []

    @property
    def parts(self) -> tuple[str, ...]:
        """The names of the parts."""
        return tuple(part.name for part in self._step.parts)

    def restart(self) -> None:
        """Begin with the first row again."""
        self._position = 0

    def survey(self, chunk: Chunk) -> None:
        """Collect the keys, or the values, of some rows. Raises TooManyValues."""
        self._position += len(chunk)
        if self._step.by == "stratified":
            self._keys.append(self._coded(chunk))
        elif self._step.by != "random":
            found, is_missing = self._ordered(chunk)
            self._missing += int(is_missing.sum())
            self._keys.append(found[~is_missing])

    def settle(self) -> None:
        """Find the cuts."""
        collected = np.concatenate(self._keys) if self._keys else np.empty(0, np.uint64)
        self._keys = []
        match self._step.by:
            case "random":
                self._cuts = [self._cut(keys.random_keys(self._step.seed, 0, self._position))]
            case "stratified":
                self._cuts = self._cuts_of_strata(collected)
            case _:
                self._cuts = [self._cut(collected, before=self._missing)]

    def divide(self, chunk: Chunk) -> list[Chunk]:
        """Return the rows of each part."""
        first, self._position = self._position, self._position + len(chunk)
        match self._step.by:
            case "random":
                parts = _parts(keys.random_keys(self._step.seed, first, len(chunk)), self._cuts[0])
            case "stratified":
                parts = self._parts_of_strata(chunk, keys.random_keys(self._step.seed, first, len(chunk)))
            case _:
                found, is_missing = self._ordered(chunk)
                parts = np.where(is_missing, 0, _parts(found, self._cuts[0]))
        return [chunk.keep(pa.array(parts == part)) for part in range(len(self._fractions))]

    def _cut(self, found: Array, *, before: int = 0) -> list[Any]:
        """Return the first key of each part but the first; None for a part that no key reaches.

        `before` keys come before all others.
        """
        found.sort()
        ranks = keys.ranks(self._fractions, len(found) + before)
        starts = [max(0, rank - before) for rank in ranks]
        return [found[start].item() if start < len(found) else None for start in starts]

    def _cuts_of_strata(self, codes: Array) -> list[list[Any]]:
        all_keys = keys.random_keys(self._step.seed, 0, self._position)
        order = np.argsort(codes, kind="stable")
        ends = np.cumsum(np.bincount(codes, minlength=len(self._codes)))
        return [self._cut(all_keys[rows]) for rows in np.split(order, ends[:-1])]

    def _parts_of_strata(self, chunk: Chunk, found: keys.Keys) -> Array:
        codes = self._coded(chunk)
        parts = np.zeros(len(chunk), np.int64)
        for code in np.unique(codes):
            rows = codes == code
            parts[rows] = _parts(found[rows], self._cuts[code])
        return parts

    def _coded(self, chunk: Chunk) -> Array:
        """Return a number for each row, equal for equal values of the column. Missing is a value too."""
        assert self._step.column is not None  # noqa: S101  # checked with the request
        codes = self._codes
        found = [codes.setdefault(value, len(codes)) for value in chunk.as_json(self._step.column)]
        if len(codes) > self._max_distinct:
            raise TooManyValues(self.label, self._step.column, self._max_distinct)
        return np.array(found, np.int32)

    def _ordered(self, chunk: Chunk) -> tuple[Array, npt.NDArray[np.bool_]]:
        """Return the key of each row, and whether it has none: a row without a time comes first."""
        assert self._step.column is not None  # noqa: S101  # checked with the request
        if self._step.by == "group":
            found = digests.of_values(chunk.as_json(self._step.column), self._step.seed)
            return found, np.zeros(len(chunk), np.bool_)
        values = chunk.typed(self._step.column)
        is_missing = pc.is_null(values).to_numpy()
        return _order(values), is_missing

    def state(self) -> Mapping[str, Any]:
        """Return what the survey has learnt, and the position."""
        return {
            "position": self._position,
            "missing": self._missing,
            "codes": list(self._codes),
            "cuts": self._cuts,
            **({"keys": np.concatenate(self._keys)} if self._keys else {}),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take over what the survey has learnt."""
        self._position, self._missing = state["position"], state["missing"]
        self._codes = {value: code for code, value in enumerate(state["codes"])}
        self._cuts = state["cuts"]
        self._keys = [state["keys"]] if "keys" in state else []


def _parts(found: Array, cuts: list[Any]) -> Array:
    """Return the part of each key."""
    parts = np.zeros(len(found), np.int64)
    for cut in cuts:
        if cut is not None:
            parts += found >= np.array(cut, found.dtype)
    return parts


def _order(values: pa.ChunkedArray) -> Array:
    """Return numbers in the order of times or numbers; any number for a missing value."""
    if pa.types.is_date32(values.type):
        values = values.cast(pa.int32())
    numbers = values if values.type == NUMBER else values.cast(pa.int64())
    found: Array = pc.fill_null(numbers, 0).to_numpy()
    return found
