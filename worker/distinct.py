"""A column by its distinct values: each is parsed once, however many rows have it."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from worker.cells import BadCell


@dataclass(frozen=True)
class Distinct:
    """The distinct values of a column, and for each row the place of its value among them.

    They are in the order of their first rows. A value may be among them more than once.
    """

    values: Sequence[Any]
    places: npt.NDArray[np.integer[Any]]

    def parse_numbers(
        self, parse: Callable[[Any], float]
    ) -> tuple[npt.NDArray[np.float64], dict[int, BadCell]]:
        """Return a number for each row, and the error of each row whose value `parse` refuses: it has NaN."""
        parsed = np.empty(len(self.values))
        errors = self._parse(range(len(self.values)), parse, parsed, math.nan)
        return parsed[self.places], errors

    def parse_texts(
        self, parse: Callable[[Any], Any], invalid: Any = None
    ) -> tuple[npt.NDArray[np.object_], dict[int, BadCell]]:
        """Return an object for each row, and the error of each row whose value `parse` refuses.

        Such a row has `invalid`. A text that is not empty is taken as it is: `parse` would return it.
        """
        parsed = np.fromiter(self.values, object, len(self.values))
        others = [place for place, value in enumerate(self.values) if not (isinstance(value, str) and value)]
        errors = self._parse(others, parse, parsed, invalid)
        return parsed[self.places], errors

    def _parse(
        self,
        wanted: Iterable[int],
        parse: Callable[[Any], Any],
        parsed: npt.NDArray[Any],
        invalid: Any,
    ) -> dict[int, BadCell]:
        """Put the parsed values into an array; return the errors by row."""
        refused: dict[int, BadCell] = {}
        for place in wanted:
            try:
                parsed[place] = parse(self.values[place])
            except BadCell as error:
                parsed[place] = invalid
                refused[place] = error
        if not refused:
            return {}
        return {row: refused[place] for row, place in enumerate(self.places.tolist()) if place in refused}
