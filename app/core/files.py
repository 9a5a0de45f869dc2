"""Reference to a file in storage."""

import msgspec


class StoredFile(msgspec.Struct, frozen=True):
    """A complete, immutable file in storage: key, size in bytes, SHA-256 as hexadecimal digits."""

    key: str
    bytes: int
    sha256: str
