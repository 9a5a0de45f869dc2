"""The steps that keep some of the rows: filter, deduplicate, sample."""

from collections.abc import Callable, Mapping
from functools import partial, reduce
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from app.datasets.conversion.columns import BOOLEAN
from app.jobs.preprocessing.steps import Condition, Deduplicate, Filter, Operator, Sample
from worker.preprocessing import digests, keys
from worker.preprocessing.casting import to_scalar
from worker.preprocessing.chunk import Chunk
from worker.preprocessing.digests import DigestSet
from worker.preprocessing.operation import Operation

_COMPARISONS: Final[Mapping[Operator, Callable[[Any, Any], pa.ChunkedArray]]] = {
    Operator.EQ: pc.equal,
    Operator.NE: pc.not_equal,
    Operator.LT: pc.less,
    Operator.LE: pc.less_equal,
    Operator.GT: pc.greater,
    Operator.GE: pc.greater_equal,
}


class Filtering(Operation):
    """Keeps the rows that meet conditions."""

    def __init__(self, number: int, step: Filter) -> None:
        super().__init__(number, step)
        self._conditions = step.conditions
        self._combine = pc.and_ if step.match == "all" else pc.or_

    def apply(self, chunk: Chunk) -> Chunk:
        """Return the rows that meet the conditions."""
        return chunk.keep(reduce(self._combine, map(partial(_meets, chunk), self._conditions)))


def _meets(chunk: Chunk, condition: Condition) -> pa.ChunkedArray:
    """Return which rows meet a condition; none of the flags is null."""
    values = chunk.typed(condition.column)
    match condition.op:
        case Operator.IS_MISSING:
            return pc.is_null(values)
        case Operator.IS_PRESENT:
            return pc.is_valid(values)
        case Operator.IN | Operator.NOT_IN:
            return _is_in(values, condition)
        case Operator.CONTAINS:
            flags = pc.match_substring(values, str(condition.value))
        case Operator.MATCHES:
            flags = pc.match_substring_regex(values, str(condition.value))
        case operator:
            flags = _COMPARISONS[operator](values, to_scalar(condition.value, values.type))
    return pc.fill_null(flags, pa.scalar(False, BOOLEAN))


def _is_in(values: pa.ChunkedArray, condition: Condition) -> pa.ChunkedArray:
    wanted = condition.value if isinstance(condition.value, tuple) else (condition.value,)
    scalars = [to_scalar(value, values.type).as_py() for value in wanted]
    flags = pc.is_in(values, value_set=pa.array(scalars, values.type))
    return flags if condition.op is Operator.IN else pc.and_(pc.invert(flags), pc.is_valid(values))


class Deduplication(Operation):
    """Keeps the first of equal rows. It holds 16 bytes for each distinct row."""

    def __init__(self, number: int, step: Deduplicate) -> None:
        super().__init__(number, step)
        self._columns = step.columns
        self._seen = DigestSet()

    def restart(self) -> None:
        """Forget the rows."""
        self._seen = DigestSet()

    def apply(self, chunk: Chunk) -> Chunk:
        """Return the rows that no earlier row equals."""
        found = digests.of_rows(chunk, self._columns or chunk.table.column_names)
        return chunk.keep(pa.array(self._seen.add(found)))

    def state(self) -> Mapping[str, Any]:
        """Return the digests of the rows so far."""
        return {str(index): array for index, array in enumerate(self._seen.arrays)}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take over the digests."""
        self._seen = DigestSet([state[str(index)] for index in range(len(state))])


class Sampling(Operation):
    """Keeps rows at random: those with the smallest keys."""

    needs_survey = True

    def __init__(self, number: int, step: Sample) -> None:
        super().__init__(number, step)
        self._step = step
        self._position = 0
        self._limit: int | None = None

    def restart(self) -> None:
        """Begin with the first row again."""
        self._position = 0

    def survey(self, chunk: Chunk) -> None:
        """Count the rows."""
        self._position += len(chunk)

    def settle(self) -> None:
        """Decide which key is the first that is too large."""
        count, step = self._position, self._step
        wanted = max(1, round(step.fraction * count)) if step.fraction is not None else step.rows or 1
        if wanted < count:
            all_keys = keys.random_keys(step.seed, 0, count)
            self._limit = int(np.partition(all_keys, wanted)[wanted])

    def apply(self, chunk: Chunk) -> Chunk:
        """Return the rows that were chosen."""
        first, self._position = self._position, self._position + len(chunk)
        if self._limit is None:
            return chunk
        found = keys.random_keys(self._step.seed, first, len(chunk))
        return chunk.keep(pa.array(found < np.uint64(self._limit)))

    def state(self) -> Mapping[str, Any]:
        """Return the position and the limit."""
        return {"position": self._position, "limit": self._limit}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take over the position and the limit."""
        self._position, self._limit = state["position"], state["limit"]
