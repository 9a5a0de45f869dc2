"""The headers of the shell and of its assets. docs/security.md explains each."""

from typing import Final

from app.http import pages

_POLICY: Final = {
    "script-src": "'self'",
    "style-src": "'self'",
    "img-src": "'self' data:",
    "connect-src": "'self'",
    "require-trusted-types-for": "'script'",
    "trusted-types": "'none'",
}

_PERMISSIONS: Final = "clipboard-write=(self), screen-wake-lock=(self)"

SHELL: Final = {**pages.headers(_POLICY), "Permissions-Policy": _PERMISSIONS}
"""Revalidated on each use, so that a page is never of an older version than its modules."""

ASSET: Final = {**SHELL, "Cache-Control": "public, max-age=31536000, immutable", "Vary": "Accept-Encoding"}
"""The address of an asset contains a digest of all of them, so its content never changes."""
