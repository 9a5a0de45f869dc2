"""The Range header of RFC 9110, as far as one range of bytes goes. Whatever else it asks for is not answered
with a part."""

import re
from typing import Final

from app.http.errors import RangeNotSatisfiable

# So many digits are more bytes than any file has, and are read in no time.
_ONE: Final = re.compile(r"bytes=([0-9]{0,18})-([0-9]{0,18})")


def find(header: str | None, size: int) -> tuple[int, int] | None:
    """The first byte and the byte after the last that are asked for; None if it is the whole file.

    Raises RangeNotSatisfiable.
    """
    asked = None if header is None else _ONE.fullmatch(header.strip())
    if asked is None:
        return None
    first, last = asked.groups()
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
