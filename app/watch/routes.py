"""Web page for submitting and following jobs: `GET /watch` and its static files."""

import hashlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fastapi import APIRouter, Response

from app.core.errors import NotFound
from app.http import files
from app.http.conditional import Conditions, ConditionsDep
from app.http.files import ServedFile

STATIC: Final = Path(__file__).parent / "static"
PAGE: Final = "index.html"

MEDIA_TYPES: Final = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}

CONTENT_SECURITY_POLICY: Final = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "connect-src 'self'",
        "img-src 'self' data:",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    )
)

HEADERS: Final = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    # Revalidated on each use, usually with a 304: a page must never mix modules of two versions.
    "Cache-Control": "no-cache",
}


@dataclass(frozen=True)
class PageFile:
    """One file of the page, in memory."""

    content: bytes
    served: ServedFile


def _load(folder: Path) -> Mapping[str, PageFile]:
    """Load every file of a folder, by name. Raises KeyError for a suffix that MEDIA_TYPES does not have."""
    return {path.name: _read(path) for path in folder.iterdir()}


def _read(path: Path) -> PageFile:
    content = path.read_bytes()
    etag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
    return PageFile(content, ServedFile(etag, len(content), MEDIA_TYPES[path.suffix], HEADERS))


# A few kilobytes, read once at import: no name from a request ever reaches the file system.
FILES: Final = _load(STATIC)

router = APIRouter(prefix="/watch", include_in_schema=False)


@router.get("")
async def get_page(conditions: ConditionsDep) -> Response:
    """Serve the page."""
    return await _respond(FILES[PAGE], conditions)


@router.get("/{name}")
async def get_page_file(name: str, conditions: ConditionsDep) -> Response:
    """Serve a script, a style sheet or an image of the page. Raises NotFound."""
    if name == PAGE or name not in FILES:  # the relative links of the page resolve at /watch only
        raise NotFound
    return await _respond(FILES[name], conditions)


async def _respond(file: PageFile, conditions: Conditions) -> Response:
    async def read(start: int, end: int) -> AsyncIterator[bytes]:
        yield file.content[start:end]

    return await files.respond(file.served, read, conditions)
