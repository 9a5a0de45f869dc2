"""Web page for submitting and following jobs: `GET /watch` and its static files."""

from pathlib import Path
from typing import Final

from fastapi import APIRouter, Response

from app.core.errors import NotFound
from app.http import pages
from app.http.conditional import ConditionsDep
from app.http.pages import PageFile

STATIC: Final = Path(__file__).parent / "static"
PAGE: Final = "index.html"

HEADERS: Final = pages.headers(
    {
        "script-src": "'self'",
        "style-src": "'self'",
        "connect-src": "'self'",
        "img-src": "'self' data:",
    }
)

# A few kilobytes, read once at import: no name from a request ever reaches the file system.
FILES: Final = {path.name: PageFile.read(path, HEADERS) for path in STATIC.iterdir()}

router = APIRouter(prefix="/watch", include_in_schema=False)


@router.get("")
async def get_page(conditions: ConditionsDep) -> Response:
    """Serve the page."""
    return await FILES[PAGE].respond(conditions)


@router.get("/{name}")
async def get_page_file(name: str, conditions: ConditionsDep) -> Response:
    """Serve a script, a style sheet or an image of the page. Raises NotFound."""
    if name == PAGE or name not in FILES:  # the relative links of the page resolve at /watch only
        raise NotFound
    return await FILES[name].respond(conditions)
