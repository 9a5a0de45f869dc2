"""Pages of lists: their bound in bytes, their type, and keyset cursors that are opaque to the client."""

import base64
import binascii
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, Generic, TypeVar
from uuid import UUID

from app.core.errors import InvalidCursor
from app.core.rows import Row

PAGE_BYTES: Final = 4 * 1024 * 1024
"""A page ends before the item that would make it larger, but always has at least one item."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_INSTANT_BYTES: Final = 8

Item = TypeVar("Item")
AnyRow = TypeVar("AnyRow", bound=Row)


@dataclass(frozen=True)
class Page(Generic[Item]):
    """Consecutive items of a list, and whether any follow."""

    items: tuple[Item, ...]
    has_next: bool

    def next_cursor(self, cursor_of: Callable[[Item], str]) -> str | None:
        """Return the cursor of the next page, made from the last item of this one; None at the end."""
        return cursor_of(self.items[-1]) if self.has_next else None


def bounded(query: str, size: str, order: str, max_bytes: int | str = PAGE_BYTES) -> str:
    """Return SQL for the first rows of a query that hold at most `max_bytes` together, and at least one.

    `size` is an expression over the columns of the query for the bytes of a row; `max_bytes` may be an
    expression, too. Columns are added: `found`, how many rows the query gives, `bytes_through`, the bytes of
    the page up to this row, and `page_row`, its number.
    """
    return f"""
SELECT * FROM (
    SELECT page.*, count(*) OVER () AS found, sum({size}) OVER (ORDER BY {order}) AS bytes_through,
        row_number() OVER (ORDER BY {order}) AS page_row
    FROM ({query}) page) sized
WHERE page_row = 1 OR bytes_through <= {max_bytes}
ORDER BY page_row"""  # noqa: S608  # put together from constants


def to_page(rows: Sequence[AnyRow], limit: int, from_row: Callable[[AnyRow], Item]) -> Page[Item]:
    """Return a page of at most `limit` items.

    `rows` are those of a `bounded` query that asked for one row more than `limit`.
    """
    shown = rows[:limit]
    has_next = bool(rows) and rows[0]["found"] > len(shown)
    return Page(tuple(from_row(row) for row in shown), has_next)


def encode_cursor(last_id: UUID) -> str:
    """Return the cursor of the page that follows the row with this id."""
    return _encode(last_id.bytes)


def decode_cursor(cursor: str) -> UUID:
    """Return the id in a cursor; raises InvalidCursor for one that the API never issued."""
    try:
        return UUID(bytes=_decode(cursor))
    except ValueError as error:
        raise InvalidCursor from error


def encode_instant(last: datetime) -> str:
    """Return the cursor of the page that follows the row of this instant, in a list in order of instants."""
    return _encode(((last - _EPOCH) // _MICROSECOND).to_bytes(_INSTANT_BYTES, signed=True))


def decode_instant(cursor: str) -> datetime:
    """Return the instant in a cursor; raises InvalidCursor for one that the API never issued."""
    packed = _decode(cursor)
    if len(packed) != _INSTANT_BYTES:
        raise InvalidCursor
    try:
        return _EPOCH + int.from_bytes(packed, signed=True) * _MICROSECOND
    except OverflowError as error:
        raise InvalidCursor from error


def encode_instant_and_id(last: datetime, last_id: UUID) -> str:
    """Return the cursor of the page that follows a row, in a list in order of instants and ids."""
    return _encode(((last - _EPOCH) // _MICROSECOND).to_bytes(_INSTANT_BYTES, signed=True) + last_id.bytes)


def decode_instant_and_id(cursor: str) -> tuple[datetime, UUID]:
    """Return the instant and the id in a cursor; raises InvalidCursor for one that was never issued."""
    packed = _decode(cursor)
    try:
        last_id = UUID(bytes=packed[_INSTANT_BYTES:])
        return _EPOCH + int.from_bytes(packed[:_INSTANT_BYTES], signed=True) * _MICROSECOND, last_id
    except (OverflowError, ValueError) as error:
        raise InvalidCursor from error


def _encode(position: bytes) -> str:
    return base64.urlsafe_b64encode(position).rstrip(b"=").decode()


def _decode(cursor: str) -> bytes:
    try:
        return base64.urlsafe_b64decode(cursor + "==")
    except (binascii.Error, ValueError) as error:
        raise InvalidCursor from error
