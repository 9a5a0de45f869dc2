"""Identifiers are UUIDv7 (RFC 9562): they sort by creation time, so new rows are adjacent in an index."""

from uuid import UUID

from uuid_utils.compat import uuid7


def new_id() -> UUID:
    """Return a new identifier, greater than all that this process has generated before."""
    return uuid7()
