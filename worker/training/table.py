"""What there is to learn from, as one thing: an Arrow table, whether it came as a file or with the job."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import pyarrow as pa

from worker import cells
from worker.context import BadInput

MAX_COLUMNS: Final = 5000


def of(data: pa.Table | Sequence[Any]) -> pa.Table:
    """The rows as a table. Raises BadInput for rows that are none.

    A column of inline rows that mixes texts with numbers becomes text; a row that lacks a name has null
    there.
    """
    table = data if isinstance(data, pa.Table) else _of_rows(data)
    if table.num_rows == 0:
        raise BadInput("there are no rows to learn from")
    if table.num_columns > MAX_COLUMNS:
        raise BadInput(f"there are {table.num_columns} columns, more than {MAX_COLUMNS}")
    names = table.column_names
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise BadInput(f"two columns are called {twice!r}")
    return table


def _of_rows(rows: Sequence[Any]) -> pa.Table:
    names: dict[str, None] = {}
    for index, row in enumerate(rows):
        if not isinstance(row, Mapping):
            raise BadInput(f"row {index} is {cells.shown(row)}, not an object with a value for each column")
        names.update(dict.fromkeys(row))
    return pa.table({name: _array([row.get(name) for row in rows]) for name in names})


def _array(values: list[Any]) -> pa.Array:
    try:
        return pa.array(values)
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError):
        return pa.array([_as_text(value) for value in values], pa.string())


def _as_text(value: Any) -> str | None:
    return str(value) if isinstance(value, dict | list) else cells.label(value)
