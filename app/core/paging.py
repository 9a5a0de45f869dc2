"""Pages: keyset cursors, opaque to the client, and the bound on the bytes of a page."""

import base64
import binascii
from collections.abc import Sequence
from typing import Final, TypeVar
from uuid import UUID

from app.core.errors import InvalidCursor
from app.core.sql import Row as Row

PAGE_BYTES: Final = 4 * 1024 * 1024
"""A page ends before the item that would make it larger, but always has at least one item."""


AnyRow = TypeVar("AnyRow", bound=Row)


def bounded(query: str, size: str, order: str, max_bytes: int = PAGE_BYTES) -> str:
    """Return SQL for the first rows of a query that hold at most `max_bytes` together, and at least one.

    `size` is an expression over the columns of the query for the bytes of a row. Two columns are added:
    `found`, how many rows the query gives, and `bytes_through`, the bytes of the page up to this row.
    """
    return f"""
SELECT * FROM (
    SELECT page.*, count(*) OVER () AS found, sum({size}) OVER (ORDER BY {order}) AS bytes_through,
        row_number() OVER (ORDER BY {order}) AS place
    FROM ({query}) page) sized
WHERE place = 1 OR bytes_through <= {max_bytes}
ORDER BY place"""  # noqa: S608  # put together from constants


def page(rows: Sequence[AnyRow], limit: int) -> tuple[Sequence[AnyRow], bool]:
    """Return the rows of a page of at most `limit`, and whether it is the last; `rows` may be one more."""
    shown = rows[:limit]
    return shown, not rows or rows[0]["found"] == len(shown)


def encode_cursor(last_id: UUID) -> str:
    """Return the cursor of the page that follows the row with this id."""
    return base64.urlsafe_b64encode(last_id.bytes).rstrip(b"=").decode()


def decode_cursor(cursor: str) -> UUID:
    """Return the id in a cursor; raises InvalidCursor for one that the API never issued."""
    try:
        return UUID(bytes=base64.urlsafe_b64decode(cursor + "=="))
    except (binascii.Error, ValueError) as error:
        raise InvalidCursor from error
