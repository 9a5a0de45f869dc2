"""Access tokens, which are signed, and refresh tokens, which are random.

The only module that imports python-jose. By default, jose accepts a token without `exp`, and without `aud`
even when an audience is required, and raises RecursionError, TypeError and OverflowError for malformed ones.
"""

import hashlib
import re
import secrets
import time
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from jose import jwk, jwt

from app.core import ids
from app.core.config import Settings
from app.core.errors import Unauthorized

ALGORITHM: Final = "HS256"
ISSUER: Final = "headrace"
AUDIENCE: Final = "headrace-api"
MAX_LENGTH: Final = 2048
OPAQUE_TOKEN_BYTES: Final = 32

# base64 decoders skip unknown characters: without this check, a token would have many spellings.
_SHAPE: Final = re.compile(r"[\w-]+\.[\w-]+\.[\w-]+", re.ASCII)
_ACCESS: Final = "access"
_REQUIRED: Final = {f"require_{claim}": True for claim in ("exp", "iat", "sub", "jti", "aud", "iss")}


@dataclass(frozen=True, slots=True)
class AccessClaims:
    """The claims of a verified access token."""

    user_id: UUID
    token_id: str
    expires_at: int  # seconds since 1970
    session_id: UUID | None = None  # None: issued by an earlier version


class Tokens:
    """Issues and verifies access tokens, with the current secret and the previous one."""

    def __init__(self, settings: Settings) -> None:
        self._lifetime_seconds = settings.access_token_seconds
        self._keys = {
            f"secret-{age}": jwk.construct(secret, ALGORITHM)
            for age, secret in enumerate(settings.verification_secrets)
        }
        self._signing_key = next(iter(self._keys.values()))
        # Every token that we issue begins with this header. Accepting no other one rejects `alg: none`, every
        # other algorithm, `crit`, and a header nested to exhaust the parser, before anything is parsed.
        self._header = self._sign({}).split(".")[0] + "."

    def issue_access(self, user_id: UUID, session_id: UUID | None = None) -> str:
        """Return a token that lets its bearer act as this user until it or the session ends."""
        now = int(time.time())
        return self._sign(
            {
                **({} if session_id is None else {"sid": str(session_id)}),
                "iss": ISSUER,
                "aud": AUDIENCE,
                "sub": str(user_id),
                "jti": ids.new_id().hex,
                "typ": _ACCESS,
                "iat": now,
                "exp": now + self._lifetime_seconds,
            }
        )

    def verify_access(self, token: str) -> AccessClaims:
        """Return the claims of an access token. Raises Unauthorized, without the reason."""
        if len(token) > MAX_LENGTH or not token.startswith(self._header) or not _SHAPE.fullmatch(token):
            raise Unauthorized
        try:
            return _read(self._decode(token))
        except Exception:
            # Not only JWTError: see the module docstring. The cause may quote the token, so it is dropped.
            raise Unauthorized from None

    def _sign(self, claims: dict[str, Any]) -> str:
        token: str = jwt.encode(claims, self._signing_key, algorithm=ALGORITHM)
        return token

    def _decode(self, token: str) -> dict[str, Any]:
        claims: dict[str, Any] = jwt.decode(
            token, self._keys, algorithms=[ALGORITHM], issuer=ISSUER, audience=AUDIENCE, options=_REQUIRED
        )
        return claims


def _read(claims: dict[str, Any]) -> AccessClaims:
    if claims["typ"] != _ACCESS:
        raise Unauthorized
    session_id = UUID(claims["sid"]) if "sid" in claims else None
    return AccessClaims(UUID(claims["sub"]), claims["jti"], int(claims["exp"]), session_id)


def new_opaque_token() -> str:
    """Return a random token: to refresh, to reset a password, to accept an invitation.

    Only its hash is stored.
    """
    return secrets.token_urlsafe(OPAQUE_TOKEN_BYTES)


def hash_opaque_token(token: str) -> bytes:
    """Return the hash to store. A slow hash would add nothing, since the token is long and random."""
    return hashlib.sha256(token.encode()).digest()
