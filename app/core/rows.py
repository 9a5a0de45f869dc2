"""What `from_row` methods read: a row as a driver returns it."""

from typing import Any, Protocol


class Row(Protocol):
    """A row of asyncpg or SQLAlchemy. Only `from_row` methods and queries read one."""

    def __getitem__(self, column: str, /) -> Any:
        """Return the value of a column."""
