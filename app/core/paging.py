"""Keyset cursors: the place after which the next page starts, opaque to the client."""

import base64
import binascii
from uuid import UUID

from app.core.errors import InvalidCursor


def encode_cursor(last_id: UUID) -> str:
    """The cursor of the page that follows the row with this id."""
    return base64.urlsafe_b64encode(last_id.bytes).rstrip(b"=").decode()


def decode_cursor(cursor: str) -> UUID:
    """The id that a cursor stands for; raises InvalidCursor if we never gave it."""
    try:
        return UUID(bytes=base64.urlsafe_b64decode(cursor + "=="))
    except (binascii.Error, ValueError) as error:
        raise InvalidCursor from error
