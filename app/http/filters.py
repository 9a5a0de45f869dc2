"""Filters of lists by pairs of a key and a value, such as `metadata.team=search`."""

from starlette.requests import Request

from app.core import text
from app.core.errors import Unprocessable


def pairs(request: Request, name: str) -> dict[str, str] | None:
    """Return the values of the query parameters `NAME.KEY` by key; None without any. Raises Unprocessable."""
    found = {
        parameter.removeprefix(f"{name}."): value
        for parameter, value in request.query_params.items()
        if parameter.startswith(f"{name}.")
    }
    # FastAPI does not know the names of these parameters and has not validated them.
    if not all(text.is_storable(part) for pair in found.items() for part in pair):
        raise Unprocessable
    return found or None
