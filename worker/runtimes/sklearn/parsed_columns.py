"""The parsed columns of a batch: numbers stay floats until a model needs one array of everything."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class ParsedColumns:
    """Columns of equally many rows, each an array of floats or of objects."""

    columns: Sequence[npt.NDArray[Any]]

    @property
    def count(self) -> int:
        """The number of rows."""
        return len(self.columns[0])

    def are_numbers(self, indices: Collection[int]) -> bool:
        """Return whether all these columns are floats."""
        return all(self.columns[index].dtype != object for index in indices)

    def to_objects(self, indices: Collection[int] | None = None) -> npt.NDArray[np.object_]:
        """Return an array of shape (rows, columns), with None in all columns but these; None for all."""
        objects = np.empty((self.count, len(self.columns)), dtype=object)
        for index in range(len(self.columns)) if indices is None else indices:
            objects[:, index] = self.columns[index]
        return objects

    def to_floats(self) -> npt.NDArray[np.float64]:
        """Return an array of shape (rows, columns), with NaN in the columns that are not floats."""
        floats = np.full((self.count, len(self.columns)), np.nan)
        for index, column in enumerate(self.columns):
            if column.dtype != object:
                floats[:, index] = column
        return floats
