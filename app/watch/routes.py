"""Web page for submitting and following jobs: `GET /watch` and its static files."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

from fastapi import APIRouter, Header, Response, status

from app.core.errors import NotFound

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
    # Revalidate on every load, so that a page never mixes modules of two versions.
    "Cache-Control": "no-cache",
}


@dataclass(frozen=True)
class PageFile:
    """A static file with its response headers."""

    content: bytes
    media_type: str
    etag: str


def _load(folder: Path) -> Mapping[str, PageFile]:
    """Load all files of a folder by name. Raises KeyError for a suffix that is not in `MEDIA_TYPES`."""
    return {path.name: _read(path) for path in folder.iterdir()}


def _read(path: Path) -> PageFile:
    content = path.read_bytes()
    etag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
    return PageFile(content, MEDIA_TYPES[path.suffix], etag)


# Loaded once into memory (a few kilobytes), so that no file name from a request reaches the file system.
FILES: Final = _load(STATIC)

IfNoneMatch = Annotated[str | None, Header()]

router = APIRouter(prefix="/watch", include_in_schema=False)


@router.get("")
async def get_page(if_none_match: IfNoneMatch = None) -> Response:
    """Return the page."""
    return _respond(FILES[PAGE], if_none_match)


@router.get("/{name}")
async def get_page_file(name: str, if_none_match: IfNoneMatch = None) -> Response:
    """Return one of the page's static files; raises NotFound."""
    if name == PAGE or name not in FILES:  # the page's relative links work only at `/watch`
        raise NotFound
    return _respond(FILES[name], if_none_match)


def _respond(file: PageFile, if_none_match: str | None) -> Response:
    headers = HEADERS | {"ETag": file.etag}
    if _matches(if_none_match, file.etag):
        return Response(status_code=status.HTTP_304_NOT_MODIFIED, headers=headers)
    return Response(file.content, media_type=file.media_type, headers=headers)


def _matches(if_none_match: str | None, etag: str) -> bool:
    """Whether `If-None-Match` lists the ETag, by weak comparison: compressing proxies weaken ETags."""
    if if_none_match is None:
        return False
    return etag in (tag.strip().removeprefix("W/") for tag in if_none_match.split(","))
