"""Keys derived from SECRET_KEY: they seal the secrets of subscriptions, and sign links.

Fernet (https://github.com/fernet/spec) under keys that HKDF (RFC 5869) derives, so that a key for one
purpose says nothing about the others, nor about SECRET_KEY. The previous key still opens and verifies.
"""

import base64
from typing import Final

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from app.core.config import Settings

_KEY_BYTES: Final = 32
_SECRETS: Final = "secrets of subscriptions"
_NAME: Final = "name of the key for secrets of subscriptions"
_NAME_BYTES: Final = 8


class SecretLost(Exception):
    """No key of this process opens a sealed secret."""


class Sealing:
    """Seals secrets with the current key, and opens those that the current or the previous key sealed."""

    def __init__(self, settings: Settings) -> None:
        self._master_keys = tuple(secret.encode() for secret in settings.verification_secrets)
        keys = [_urlsafe(_derive(master, _SECRETS, _KEY_BYTES)) for master in self._master_keys]
        self._fernet = MultiFernet([Fernet(key) for key in keys])
        self.key_names: Final = tuple(
            _derive(master, _NAME, _NAME_BYTES).hex() for master in self._master_keys
        )
        """The names of the keys that open, the current one first; `subscriptions.sealed_with` has one."""

    @property
    def key_name(self) -> str:
        """The name of the key that seals."""
        return self.key_names[0]

    def seal(self, secret: bytes) -> str:
        """Return the secret sealed with the current key."""
        return self._fernet.encrypt(secret).decode()

    def open(self, sealed: str) -> bytes:
        """Return the secret. Raises SecretLost."""
        try:
            return self._fernet.decrypt(sealed.encode())
        except InvalidToken:
            raise SecretLost from None

    def signing_keys(self, purpose: str) -> tuple[bytes, ...]:
        """Return the keys for the signatures of one purpose, the current one first."""
        return tuple(_derive(master, purpose, _KEY_BYTES) for master in self._master_keys)


def _derive(master: bytes, purpose: str, length: int) -> bytes:
    info = f"headrace notifications: {purpose}".encode()
    return HKDF(algorithm=hashes.SHA256(), length=length, salt=None, info=info).derive(master)


def _urlsafe(key: bytes) -> bytes:
    return base64.urlsafe_b64encode(key)
