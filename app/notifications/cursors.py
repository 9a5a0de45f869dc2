"""Cursors of lists in order of creation, newest first, for rows whose ids do not sort by their age."""

import base64
import binascii
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, Self
from uuid import UUID

from app.core.errors import InvalidCursor

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_INSTANT_BYTES: Final = 8
_CURSOR_BYTES: Final = _INSTANT_BYTES + 16


@dataclass(frozen=True)
class Position:
    """The place of a row in a list in order of creation."""

    created_at: datetime
    id: UUID

    def encode(self) -> str:
        """Return the cursor of the page that follows this row."""
        microseconds = (self.created_at - _EPOCH) // _MICROSECOND
        packed = microseconds.to_bytes(_INSTANT_BYTES) + self.id.bytes
        return base64.urlsafe_b64encode(packed).decode()

    @classmethod
    def decode(cls, cursor: str) -> Self:
        """Return the position in a cursor. Raises InvalidCursor for one that the API never issued."""
        try:
            packed = base64.b64decode(cursor, altchars=b"-_", validate=True)
        except (binascii.Error, ValueError) as error:
            raise InvalidCursor from error
        if len(packed) != _CURSOR_BYTES:
            raise InvalidCursor
        try:
            created_at = _EPOCH + int.from_bytes(packed[:_INSTANT_BYTES]) * _MICROSECOND
        except OverflowError as error:
            raise InvalidCursor from error
        return cls(created_at, UUID(bytes=packed[_INSTANT_BYTES:]))
