"""The text of an API key: `hr_<id>_<secret>`, where the secret ends with a checksum.

The prefix and the checksum let secret scanners recognise a key without asking the server (docs/security.md
has the regular expression). The checksum also rejects mistyped keys before any query.
"""

import hmac
import re
import secrets
import string
import zlib
from typing import Final
from uuid import UUID

from app.auth.tokens import hash_opaque_token

PREFIX: Final = "hr_"
SECRET_LENGTH: Final = 43  # 256 bits
CHECKSUM_LENGTH: Final = 6  # 62^6 > 2^32
PATTERN: Final = re.compile(r"hr_([0-9a-f]{32})_[0-9A-Za-z]{49}")

_DIGITS: Final = string.digits + string.ascii_uppercase + string.ascii_lowercase


def new_key(key_id: UUID) -> str:
    """Return a random key with this id. Only its hash is stored."""
    secret = "".join(secrets.choice(_DIGITS) for _ in range(SECRET_LENGTH))
    text = f"{PREFIX}{key_id.hex}_{secret}"
    return text + _checksum(text)


def id_of(text: str) -> UUID | None:
    """Return the id of a key; None if the text is not a key. Each key has exactly one spelling."""
    found = PATTERN.fullmatch(text)
    if found is None or _checksum(text[:-CHECKSUM_LENGTH]) != text[-CHECKSUM_LENGTH:]:
        return None
    return UUID(hex=found[1])


def hash_key(text: str) -> bytes:
    """Return the hash of a key, to store. A slow hash would add nothing, since the secret is random."""
    return hash_opaque_token(text)


def is_key(text: str, key_hash: bytes) -> bool:
    """Whether a key has this hash. Takes the same time whatever the difference."""
    return hmac.compare_digest(hash_key(text), key_hash)


def _checksum(text: str) -> str:
    """Return the CRC-32 of a text in base 62."""
    rest = zlib.crc32(text.encode())
    digits = ""
    for _ in range(CHECKSUM_LENGTH):
        rest, digit = divmod(rest, len(_DIGITS))
        digits = _DIGITS[digit] + digits
    return digits
