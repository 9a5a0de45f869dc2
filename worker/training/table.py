"""Convert training rows to an Arrow table, whether they come from a dataset or from the request."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import pyarrow as pa

from worker import cells
from worker.context import BadInput

MAX_COLUMNS: Final = 5000


def to_arrow(data: pa.Table | Sequence[Any]) -> pa.Table:
    """Return the rows as a table. Raises BadInput for rows that are not objects, and for invalid columns.

    A column of inline rows that mixes texts and numbers becomes text. A missing name becomes null.
    """
    table = data if isinstance(data, pa.Table) else _rows_to_arrow(data)
    if table.num_rows == 0:
        raise BadInput("the training data has no rows")
    if table.num_columns > MAX_COLUMNS:
        raise BadInput(f"the rows have {table.num_columns} columns; the limit is {MAX_COLUMNS}")
    names = table.column_names
    if len(set(names)) < len(names):
        duplicate = next(name for name in names if names.count(name) > 1)
        raise BadInput(f"two columns have the name {duplicate!r}; rename one")
    return table


def _rows_to_arrow(rows: Sequence[Any]) -> pa.Table:
    names: dict[str, None] = {}
    for index, row in enumerate(rows):
        if not isinstance(row, Mapping):
            raise BadInput(
                f"row {index} is {cells.preview(row)}; send an object with a value for each column"
            )
        names.update(dict.fromkeys(row))
    return pa.table({name: _to_array([row.get(name) for row in rows]) for name in names})


def _to_array(values: list[Any]) -> pa.Array:
    try:
        return pa.array(values)
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError):
        return pa.array([_to_text(value) for value in values], pa.string())


def _to_text(value: Any) -> str | None:
    return str(value) if isinstance(value, dict | list) else cells.to_label(value)
