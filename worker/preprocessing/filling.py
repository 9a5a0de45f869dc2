"""The step `fill`: replaces missing values by a value, or by a statistic that a survey computes."""

import math
from collections import Counter
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc

from app.datasets.conversion.columns import NUMBER
from app.jobs.preprocessing.steps import Fill, Statistic
from worker.preprocessing.casting import to_scalar
from worker.preprocessing.chunk import Chunk
from worker.preprocessing.operation import Operation, TooManyValues

MAX_DISTINCT: Final = 100_000


class Filling(Operation):
    """Replaces missing values by a value of the request."""

    def __init__(self, number: int, step: Fill) -> None:
        super().__init__(number, step)
        self._step = step

    def apply(self, chunk: Chunk) -> Chunk:
        """Return the rows without missing values in these columns."""
        for name in self._step.columns:
            values = chunk.typed(name)
            chunk = chunk.replaced(name, pc.fill_null(values, to_scalar(self._step.value, values.type)))
        return chunk


class StatisticFilling(Operation):
    """Replaces missing values by a statistic. A column without any value stays as it is."""

    needs_survey = True

    def __init__(self, number: int, step: Fill, *, max_distinct: int = MAX_DISTINCT) -> None:
        super().__init__(number, step)
        self._step = step
        self._max_distinct = max_distinct
        self._sums = dict.fromkeys(step.columns, (0.0, 0))
        self._numbers: dict[str, list[npt.NDArray[np.float64]]] = {name: [] for name in step.columns}
        self._counts: dict[str, Counter[Any]] = {name: Counter() for name in step.columns}
        self._found: dict[str, Any] = {}

    def survey(self, chunk: Chunk) -> None:
        """Add the values of some rows to what the statistic is made of. Raises TooManyValues."""
        for name in self._step.columns:
            match self._step.statistic:
                case Statistic.MEAN:
                    total, count = self._sums[name]
                    numbers = _numbers(chunk, name).tolist()
                    self._sums[name] = math.fsum([total, *numbers]), count + len(numbers)
                case Statistic.MEDIAN:
                    self._numbers[name].append(_numbers(chunk, name))
                case _:
                    self._count(name, [value for value in chunk.as_json(name) if value is not None])

    def settle(self) -> None:
        """Compute the statistic of each column."""
        for name in self._step.columns:
            self._found[name] = self._statistic(name)
        self._numbers.clear()
        self._counts.clear()

    def apply(self, chunk: Chunk) -> Chunk:
        """Return the rows with the statistic in place of missing values."""
        for name in self._step.columns:
            values = chunk.typed(name)
            if self._step.statistic is not Statistic.MOST_FREQUENT:
                values = values.cast(NUMBER, safe=False)
            if self._found[name] is not None:
                values = pc.fill_null(values, to_scalar(self._found[name], values.type))
            chunk = chunk.replaced(name, values)
        return chunk

    def _count(self, name: str, values: list[Any]) -> None:
        counts = self._counts[name]
        counts.update(values)
        if len(counts) > self._max_distinct:
            raise TooManyValues(self.label, name, self._max_distinct)

    def _statistic(self, name: str) -> Any:
        match self._step.statistic:
            case Statistic.MEAN:
                total, count = self._sums[name]
                return total / count if count else None
            case Statistic.MEDIAN:
                numbers = np.concatenate([np.empty(0), *self._numbers[name]])
                return float(np.median(numbers)) if len(numbers) else None
            case _:
                # Of several that are equally frequent, the one that came first.
                most = self._counts[name].most_common(1)
                return most[0][0] if most else None

    def state(self) -> Mapping[str, Any]:
        """Return what the survey has learnt."""
        numbers = {
            f"numbers-{index}": np.concatenate([np.empty(0), *self._numbers.get(name, [])])
            for index, name in enumerate(self._step.columns)
        }
        counts = {name: list(counter.items()) for name, counter in self._counts.items()}
        return {"sums": self._sums, "counts": counts, "found": self._found, **numbers}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take over what the survey has learnt."""
        self._sums = {name: (total, count) for name, (total, count) in state["sums"].items()}
        self._numbers = {name: [state[f"numbers-{index}"]] for index, name in enumerate(self._step.columns)}
        self._counts = {name: Counter(dict(items)) for name, items in state["counts"].items()}
        self._found = state["found"]


def _numbers(chunk: Chunk, name: str) -> npt.NDArray[np.float64]:
    """Return the values of a column that are not missing."""
    found: npt.NDArray[np.float64] = chunk.typed(name).drop_null().cast(NUMBER, safe=False).to_numpy()
    return found
