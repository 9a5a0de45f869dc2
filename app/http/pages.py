"""Web pages and their files: small, read once at import, with the headers that protect a page."""

import hashlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import PurePath
from typing import Final, Protocol

from fastapi import Response

from app.http import files
from app.http.conditional import Conditions
from app.http.files import ServedFile

MEDIA_TYPES: Final = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
}


class Readable(Protocol):
    """A file of ours or of a package."""

    @property
    def name(self) -> str:
        """The name of the file, without its folder."""

    def read_bytes(self) -> bytes:
        """The content of the file."""


@dataclass(frozen=True)
class PageFile:
    """One file of a page, in memory."""

    content: bytes
    served: ServedFile

    @classmethod
    def read(cls, path: Readable, headers: Mapping[str, str]) -> "PageFile":
        """Read a file. Raises KeyError for a suffix that MEDIA_TYPES does not have."""
        return cls.of(path.read_bytes(), MEDIA_TYPES[PurePath(path.name).suffix or ".txt"], headers)

    @classmethod
    def of(cls, content: bytes, media_type: str, headers: Mapping[str, str]) -> "PageFile":
        """Make a file of content that was put together."""
        etag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
        return cls(content, ServedFile(etag, len(content), media_type, headers))

    async def respond(self, conditions: Conditions) -> Response:
        """Respond with the file, or with 304."""

        async def read(start: int, end: int) -> AsyncIterator[bytes]:
            yield self.content[start:end]

        return await files.respond(self.served, read, conditions)


def headers(policy: Mapping[str, str]) -> dict[str, str]:
    """Return the headers of a page with a Content-Security-Policy: each directive and its sources.

    A page loads nothing that the policy does not name, sends forms to us only, and is never in a frame.
    """
    complete = {
        "default-src": "'none'",
        **policy,
        "base-uri": "'none'",
        "form-action": "'self'",
        "frame-ancestors": "'none'",
    }
    return {
        "Content-Security-Policy": "; ".join(f"{name} {sources}" for name, sources in complete.items()),
        # Revalidated on each use, usually with a 304: a page must never mix modules of two versions.
        "Cache-Control": "no-cache",
    }
