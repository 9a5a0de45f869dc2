"""Identifiers: UUIDv7 (RFC 9562), so that keys sort by time and new rows stay together in an index."""

from uuid import UUID

from uuid_utils.compat import uuid7


def new_id() -> UUID:
    """A new identifier, later than every one this process made before."""
    return uuid7()
