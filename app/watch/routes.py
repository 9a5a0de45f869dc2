"""The page on which a person follows jobs: `GET /watch`, and the files that it is made of."""

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
    # Asked for again each time, which costs a 304: modules of two versions must never meet in one page.
    "Cache-Control": "no-cache",
}


@dataclass(frozen=True)
class PageFile:
    """One file of the page, as it is sent."""

    content: bytes
    media_type: str
    etag: str


def _load(folder: Path) -> Mapping[str, PageFile]:
    """Every file of a folder by its name. Raises KeyError for one whose type is not known here."""
    return {path.name: _read(path) for path in folder.iterdir()}


def _read(path: Path) -> PageFile:
    content = path.read_bytes()
    etag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
    return PageFile(content, MEDIA_TYPES[path.suffix], etag)


# They are a few kilobytes, and read once: no name that a client sends ever gets as far as the disk.
FILES: Final = _load(STATIC)

IfNoneMatch = Annotated[str | None, Header()]

router = APIRouter(prefix="/watch", include_in_schema=False)


@router.get("")
async def get_page(if_none_match: IfNoneMatch = None) -> Response:
    """The page."""
    return _answer(FILES[PAGE], if_none_match)


@router.get("/{name}")
async def get_page_file(name: str, if_none_match: IfNoneMatch = None) -> Response:
    """One of the page's files; raises NotFound."""
    if name == PAGE or name not in FILES:  # the page's own links fit one address only
        raise NotFound
    return _answer(FILES[name], if_none_match)


def _answer(file: PageFile, if_none_match: str | None) -> Response:
    headers = HEADERS | {"ETag": file.etag}
    if _names(if_none_match, file.etag):
        return Response(status_code=status.HTTP_304_NOT_MODIFIED, headers=headers)
    return Response(file.content, media_type=file.media_type, headers=headers)


def _names(if_none_match: str | None, etag: str) -> bool:
    """Whether a client has this version already; a proxy that compresses makes the tag a weak one."""
    if if_none_match is None:
        return False
    return etag in (tag.strip().removeprefix("W/") for tag in if_none_match.split(","))
