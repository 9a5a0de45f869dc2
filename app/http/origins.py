"""Whether a request may come from the page that sent it: the check that the same-origin policy leaves out."""

from collections.abc import Collection
from typing import Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers

_OWN_SITES: Final = frozenset({"same-origin", "none"})


def is_allowed(headers: Headers, allowed: Collection[str]) -> bool:
    """Whether the request is from a page of this origin, of an allowed one, or from no page at all.

    Browsers name the origin of the page in each request that may change something, and in each handshake of a
    WebSocket. Where a proxy or a browser leaves it out, `Sec-Fetch-Site` tells whether it is ours. A program
    sends neither, and cannot be made to send the cookies of a user.
    """
    origin = headers.get("origin")
    if origin is None:
        return headers.get("sec-fetch-site", "none") in _OWN_SITES
    if origin in allowed:
        return True
    try:
        host = urlsplit(origin).netloc  # empty for the opaque origin `null`
        return host != "" and host == headers.get("host")
    except ValueError:
        return False
