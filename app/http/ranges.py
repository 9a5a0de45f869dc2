"""The `Range` header (RFC 9110, section 14): one range of bytes. Anything else in it is ignored."""

import re
from typing import Final

from app.http.errors import RangeNotSatisfiable

# 18 digits are more bytes than any file has, and cheap to parse.
_SINGLE_RANGE: Final = re.compile(r"bytes=([0-9]{0,18})-([0-9]{0,18})")


def parse(header: str | None, size: int) -> tuple[int, int] | None:
    """The first byte and the byte after the last one; None for the whole file.

    Raises RangeNotSatisfiable if the file has no byte in the range.
    """
    requested = None if header is None else _SINGLE_RANGE.fullmatch(header.strip())
    if requested is None:
        return None
    first, last = requested.groups()
    if not first and not last:
        return None
    if not first:
        start, end = max(0, size - int(last)), size
    elif last and int(last) < int(first):
        return None
    else:
        start, end = int(first), min(size, int(last) + 1) if last else size
    if start >= end:
        raise RangeNotSatisfiable(bytes=size)
    return start, end
