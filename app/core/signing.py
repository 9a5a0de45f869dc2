"""Signs hints and verifies their signatures, so that forged messages in Redis are rejected.

The key is stored in Postgres: it needs no setting, and access to Redis alone does not reveal it. The
signature covers the channel, so that a hint cannot be replayed on another one.
"""

import hashlib
import hmac
import secrets
from typing import Final

from app.core.database import Database

KEY_BYTES: Final = 32
SIGNATURE_BYTES: Final = 16
MAX_MESSAGE_BYTES: Final = 2 * 1024 * 1024
"""Larger than any event: a result has at most 1 MiB."""

_CREATE_KEY: Final = "INSERT INTO hint_keys (key) VALUES ($1) ON CONFLICT DO NOTHING"


class HintSigner:
    """Signs hints and verifies hints signed with the same key."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._key: bytes | None = None

    async def load(self) -> None:
        """Load the key, and create one if none exists. Call it before any other method.

        Raises DatabaseUnavailable.
        """
        while self._key is None:
            async with self._database.connection() as connection:
                await connection.execute(_CREATE_KEY, secrets.token_bytes(KEY_BYTES))
                self._key = await connection.fetchval("SELECT key FROM hint_keys")

    def sign(self, channel: bytes, message: bytes) -> bytes:
        """Return the message prefixed with its signature."""
        return self._signature(channel, message) + message

    def verify(self, channel: bytes, signed: bytes) -> bytes | None:
        """Return the message if its signature is valid for this channel, else None."""
        if not SIGNATURE_BYTES <= len(signed) <= MAX_MESSAGE_BYTES:
            return None
        signature, message = signed[:SIGNATURE_BYTES], signed[SIGNATURE_BYTES:]
        return message if hmac.compare_digest(signature, self._signature(channel, message)) else None

    def _signature(self, channel: bytes, message: bytes) -> bytes:
        assert self._key is not None  # noqa: S101  # load() has been called
        # The length prefix makes the concatenation unambiguous.
        content = len(channel).to_bytes(4, "big") + channel + message
        return hashlib.blake2b(content, key=self._key, digest_size=SIGNATURE_BYTES).digest()
