"""The step `join`: adds columns of another dataset, whose rows are found by the digests of their keys.

It holds 24 bytes for each row of the other dataset, and reads the rows that match from its file.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from app.datasets.reading import RowReader
from app.jobs.preprocessing import checking
from app.jobs.preprocessing.steps import Join
from worker.context import JobError
from worker.preprocessing import digests
from worker.preprocessing.chunk import Chunk
from worker.preprocessing.digests import Digests
from worker.preprocessing.operation import Operation

Numbers = npt.NDArray[np.int64]


class DuplicateKeys(JobError):
    """Two rows of the joined dataset have the same keys; never retried."""

    def __init__(self, step: str, first: int, second: int) -> None:
        message = (
            f"{step}: rows {first} and {second} of the joined dataset have the same keys, of which one row"
            " would become several; deduplicate that dataset first"
        )
        super().__init__("duplicate_keys", message, is_retryable=False)


class Joining(Operation):
    """Adds columns of another dataset."""

    def __init__(self, number: int, step: Join, other: RowReader) -> None:
        """Index the other dataset. Raises DuplicateKeys."""
        super().__init__(number, step)
        self._step = step
        self._other = other
        names = [column.name for column in other.columns]
        self._added = checking.added_columns(step, names)
        self._digests, self._rows = self._index()

    def apply(self, chunk: Chunk) -> Chunk:
        """Return the rows with the columns of the rows that match."""
        found, is_match = self._find(digests_of_keys(chunk, list(self._step.on)))
        if self._step.how == "inner":
            chunk, found = chunk.keep(pa.array(is_match)), found[is_match]
            is_match = np.ones(len(found), np.bool_)
        if not self._added:
            return chunk
        added = self._take(found, is_match)
        table, names = chunk.table, chunk.table.column_names
        for name in self._added:
            field = added.schema.field(name).with_name(checking.joined_name(self._step, name, names))
            table = table.append_column(field, added.column(name))
        return Chunk(table, chunk.numbers)

    def _index(self) -> tuple[Digests, Numbers]:
        """Return the digests of all rows with keys, sorted, and the rows in this order."""
        keys = list(self._step.on.values())
        found: list[tuple[Digests, Numbers]] = []
        for first, table in self._other.pieces(0, len(self._other), keys):
            numbers = np.arange(first, first + table.num_rows)
            of_keys, has_keys = digests_of_keys(Chunk(table, pa.array(numbers)), keys)
            found.append((of_keys[has_keys], numbers[has_keys]))
        all_digests = np.concatenate([one for one, _ in found])
        order = np.argsort(all_digests, kind="stable")
        all_digests, rows = all_digests[order], np.concatenate([one for _, one in found])[order]
        repeated = np.flatnonzero(all_digests[1:] == all_digests[:-1])
        if len(repeated):
            first = repeated[np.argmin(rows[repeated + 1])]
            raise DuplicateKeys(self.label, int(rows[first]) + 1, int(rows[first + 1]) + 1)
        return all_digests, rows

    def _find(self, keys: tuple[Digests, npt.NDArray[np.bool_]]) -> tuple[Numbers, npt.NDArray[np.bool_]]:
        """Return the row of the other dataset that matches each row, and whether there is one."""
        of_keys, has_keys = keys
        if not len(self._digests):
            return np.zeros(len(of_keys), np.int64), np.zeros(len(of_keys), np.bool_)
        positions = np.minimum(np.searchsorted(self._digests, of_keys), len(self._digests) - 1)
        return self._rows[positions], has_keys & (self._digests[positions] == of_keys)

    def _take(self, rows: Numbers, is_match: npt.NDArray[np.bool_]) -> pa.Table:
        """Return the added columns of these rows; null for those that do not match."""
        wanted = np.unique(rows[is_match])
        taken = self._other.take(wanted.tolist(), self._added).combine_chunks()
        positions = np.searchsorted(wanted, rows)
        return taken.take(pa.array(np.where(is_match, positions, 0), mask=~is_match))


def digests_of_keys(chunk: Chunk, names: Sequence[str]) -> tuple[Digests, npt.NDArray[np.bool_]]:
    """Return the digest of the keys of each row, and whether none of its keys is missing."""
    has_keys = np.ones(len(chunk), np.bool_)
    for name in names:
        has_keys &= chunk.table.column(name).is_valid().to_numpy()
    return digests.of_rows(chunk, names), has_keys
