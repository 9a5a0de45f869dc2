"""Pages: keyset cursors, opaque to the client, and the bound on the bytes of a page."""

import base64
import binascii
from collections.abc import Sequence
from typing import Any, Final, Protocol, TypeVar
from uuid import UUID

from app.core.errors import InvalidCursor

PAGE_BYTES: Final = 4 * 1024 * 1024
"""A page ends before the item with which it would be larger; it always has one item."""


def bounded(query: str, size: str, order: str, max_bytes: int = PAGE_BYTES) -> str:
    """SQL for the first rows of a query, the first of all, and then as many as PAGE_BYTES hold.

    `size` is an expression over the columns of the query for the bytes of a row. The rows have two more
    columns: `found`, how many the query gives, and `bytes_through`, the bytes of the page up to this row.
    """
    return f"""
SELECT * FROM (
    SELECT page.*, count(*) OVER () AS found, sum({size}) OVER (ORDER BY {order}) AS bytes_through,
        row_number() OVER (ORDER BY {order}) AS place
    FROM ({query}) page) sized
WHERE place = 1 OR bytes_through <= {max_bytes}
ORDER BY place"""  # noqa: S608  # put together from constants


class Row(Protocol):
    """A row of a query that `bounded` has made."""

    def __getitem__(self, column: str, /) -> Any:
        """The value of a column."""


AnyRow = TypeVar("AnyRow", bound=Row)


def page(rows: Sequence[AnyRow], limit: int) -> tuple[Sequence[AnyRow], bool]:
    """The rows of a page of at most `limit`, and whether it is the last; `rows` may be one more than that."""
    shown = rows[:limit]
    return shown, not rows or rows[0]["found"] == len(shown)


def encode_cursor(last_id: UUID) -> str:
    """The cursor of the page that follows the row with this id."""
    return base64.urlsafe_b64encode(last_id.bytes).rstrip(b"=").decode()


def decode_cursor(cursor: str) -> UUID:
    """The id that a cursor stands for; raises InvalidCursor if we never gave it."""
    try:
        return UUID(bytes=base64.urlsafe_b64decode(cursor + "=="))
    except (binascii.Error, ValueError) as error:
        raise InvalidCursor from error
