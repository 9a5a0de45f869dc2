"""The paths for which there are download tickets, and the form in which a ticket names one."""

from typing import Final
from urllib.parse import parse_qsl, urlencode

TICKET: Final = "ticket"
"""The query parameter that carries a ticket."""

_ID: Final = "[0-9a-fA-F-]{36}"

DOWNLOAD_PATH: Final = (
    rf"^/(audit|jobs/{_ID}/results|datasets/{_ID}/content"
    r"|models/[^/?#]{1,200}/versions/[0-9]{1,9}/(artifact|mlflow))"
    r"(\?[^#]*)?$"
)


def canonical(path: str, query: str) -> str:
    """Return a path with its query, without a ticket: the same for each spelling of a request."""
    pairs = [pair for pair in parse_qsl(query, keep_blank_values=True) if pair[0] != TICKET]
    return f"{path}?{urlencode(pairs)}"
