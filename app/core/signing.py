"""Signatures on hints: what others put into Redis is told from what our processes did.

The key is in Postgres, so that whoever can only write to Redis does not have it, and no setting is needed. A
hint is signed together with the channel it goes over, so that it is good for no other.
"""

import hashlib
import hmac
import secrets
from typing import Final

from app.core.database import Database

KEY_BYTES: Final = 32
SIGNATURE_BYTES: Final = 16
MAX_MESSAGE_BYTES: Final = 2 * 1024 * 1024
"""No event of ours is larger: a result has at most 1 MiB."""

_MAKE: Final = "INSERT INTO hint_keys (key) VALUES ($1) ON CONFLICT DO NOTHING"


class HintSigner:
    """Signs hints, and verifies those that are signed with the same key."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._key: bytes | None = None

    async def load(self) -> None:
        """Read the key, once, and make one if there is none; to be called before anything else.

        Raises DatabaseUnavailable.
        """
        while self._key is None:
            async with self._database.connection() as connection:
                await connection.execute(_MAKE, secrets.token_bytes(KEY_BYTES))
                self._key = await connection.fetchval("SELECT key FROM hint_keys")

    def sign(self, channel: bytes, message: bytes) -> bytes:
        """The message with its signature."""
        return self._signature(channel, message) + message

    def verify(self, channel: bytes, sealed: bytes) -> bytes | None:
        """The message, if we have signed it for this channel."""
        if not SIGNATURE_BYTES <= len(sealed) <= MAX_MESSAGE_BYTES:
            return None
        signature, message = sealed[:SIGNATURE_BYTES], sealed[SIGNATURE_BYTES:]
        return message if hmac.compare_digest(signature, self._signature(channel, message)) else None

    def _signature(self, channel: bytes, message: bytes) -> bytes:
        assert self._key is not None  # noqa: S101  # load() comes first
        # The length first, so that no channel and message read like two others.
        content = len(channel).to_bytes(4, "big") + channel + message
        return hashlib.blake2b(content, key=self._key, digest_size=SIGNATURE_BYTES).digest()
