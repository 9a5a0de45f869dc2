"""The links in messages with which a recipient confirms an address, or unsubscribes.

Nothing is stored. A link names the subscription and when it expires, and is signed with a key derived from
SECRET_KEY; the signature covers the target, so that a link that was sent to one address says nothing about
the next one. The previous SECRET_KEY still verifies.
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, Final, Self
from uuid import UUID

import msgspec

from app.notifications.sealing import Sealing

CONFIRMATION_LIFETIME: Final = timedelta(hours=48)

_UUID_BYTES: Final = 16
_INSTANT_BYTES: Final = 5
_SIGNATURE_BYTES: Final = 32
_TOKEN_BYTES: Final = _UUID_BYTES + _INSTANT_BYTES + _SIGNATURE_BYTES
_NEVER: Final = 0


class Purpose(StrEnum):
    """What a link does, as in its path."""

    CONFIRM = "confirm"
    UNSUBSCRIBE = "unsubscribe"


@dataclass(frozen=True)
class Token:
    """The token of a link whose signature has not been verified yet."""

    subscription_id: UUID
    expires_at: datetime | None
    signature: bytes

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Read the token of a link; None for a text that is no token."""
        try:
            packed = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        except (binascii.Error, ValueError):
            return None
        if len(packed) != _TOKEN_BYTES:
            return None
        seconds = int.from_bytes(packed[_UUID_BYTES:-_SIGNATURE_BYTES])
        try:
            expires_at = None if seconds == _NEVER else datetime.fromtimestamp(seconds, UTC)
        except (OverflowError, ValueError, OSError):
            return None
        return cls(UUID(bytes=packed[:_UUID_BYTES]), expires_at, packed[-_SIGNATURE_BYTES:])


class Links:
    """Makes links, and verifies their tokens."""

    def __init__(self, sealing: Sealing, public_url: str | None) -> None:
        self._keys = {purpose: sealing.signing_keys(f"links to {purpose}") for purpose in Purpose}
        self._public_url = public_url or ""

    def confirm(self, subscription_id: UUID, target: Mapping[str, Any], *, sent_at: datetime) -> str:
        """Return the link that confirms the target, for 48 hours."""
        return self._link(Purpose.CONFIRM, subscription_id, target, sent_at + CONFIRMATION_LIFETIME)

    def unsubscribe(self, subscription_id: UUID, target: Mapping[str, Any]) -> str:
        """Return the link that disables the subscription. It does not expire."""
        return self._link(Purpose.UNSUBSCRIBE, subscription_id, target, None)

    def is_valid(self, purpose: Purpose, token: Token, target: Mapping[str, Any], now: datetime) -> bool:
        """Whether a token was issued for this purpose and target, and has not expired."""
        if token.expires_at is not None and token.expires_at <= now:
            return False
        head = _head(token.subscription_id, token.expires_at)
        return any(
            hmac.compare_digest(_signature(key, head, target), token.signature) for key in self._keys[purpose]
        )

    def _link(
        self, purpose: Purpose, subscription_id: UUID, target: Mapping[str, Any], expires_at: datetime | None
    ) -> str:
        head = _head(subscription_id, expires_at)
        packed = head + _signature(self._keys[purpose][0], head, target)
        token = base64.urlsafe_b64encode(packed).rstrip(b"=").decode()
        return f"{self._public_url}/email/{purpose}?token={token}"


def fingerprint(target: Mapping[str, Any]) -> bytes:
    """Return what stands for the recipient of a target where the target itself must not be stored.

    The language of the texts is no part of it: who changes it reaches the same recipient.
    """
    recipient = {name: value for name, value in target.items() if name != "language"}
    return hashlib.sha256(msgspec.json.encode(recipient, order="deterministic")).digest()


def _head(subscription_id: UUID, expires_at: datetime | None) -> bytes:
    seconds = _NEVER if expires_at is None else int(expires_at.timestamp())
    return subscription_id.bytes + seconds.to_bytes(_INSTANT_BYTES)


def _signature(key: bytes, head: bytes, target: Mapping[str, Any]) -> bytes:
    return hmac.digest(key, head + fingerprint(target), "sha256")
