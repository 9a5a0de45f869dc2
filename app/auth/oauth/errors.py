"""Errors of the token endpoint."""

from app.core.errors import BadRequest


class UnsupportedGrantType(BadRequest):
    """This grant type is not supported. Supported: {supported}."""

    code = "unsupported_grant_type"
    title = "Unsupported grant type"


class InvalidGrant(BadRequest):
    """The refresh token is not valid: it has been used, revoked or has expired. Sign in again."""

    code = "invalid_grant"
    title = "Invalid grant"
