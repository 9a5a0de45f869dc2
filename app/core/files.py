"""What is known of a file in storage by those who only pass it on."""

import msgspec


class StoredFile(msgspec.Struct, frozen=True):
    """A whole, immutable file in storage: where it is, how long, and its SHA-256 in hexadecimal."""

    key: str
    bytes: int
    sha256: str
