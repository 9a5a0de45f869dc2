"""Counts the values of a JSON text before it is parsed.

A megabyte of `[1,1,1,…]` is half a million objects, each of which costs many times its size in time and
memory; long strings are cheap. So the number of values is limited. The counter counts commas and brackets
outside of strings, piece by piece, so that it never blocks the event loop for long.
"""

import re
from typing import Final

PIECE_BYTES: Final = 64 * 1024
"""How much is counted at a time, in at most a few milliseconds."""

_OPENING: Final = (b"[", b"{")
# Only from the start of a number: trying again at each digit would take quadratic time.
_DIGITS: Final = re.compile(rb"(?<![0-9])[0-9]{400}")


class ValueCounter:
    """Counts the values of a JSON text, piece by piece.

    The count is never too low. For valid JSON it is exact, except for empty arrays and objects.
    """

    def __init__(self) -> None:
        self._separators = 0
        self._quotes = 0
        self.has_huge_number = False
        self._is_in_string = False
        self._is_escaped = False

    @property
    def values(self) -> int:
        """How many values there are so far."""
        # A text that is not JSON may have strings one after the other without a comma.
        return 1 + max(self._separators, self._quotes // 4)

    def take(self, piece: bytes) -> None:
        """Count what is in the next piece."""
        if not piece:
            return
        if self._is_escaped:
            piece, self._is_escaped = piece[1:], False
        # After this, each remaining backslash escapes something other than a backslash.
        piece = piece.replace(rb"\\", b"").replace(rb"\"", b"")
        if piece.endswith(b"\\"):
            self._is_escaped = True
        parts = piece.split(b'"')
        outside = b" ".join(parts[1 if self._is_in_string else 0 :: 2])
        if len(parts) % 2 == 0:
            self._is_in_string = not self._is_in_string
        # Parsing a number takes quadratic time, and a finite one needs at most 309 digits.
        self.has_huge_number = self.has_huge_number or _DIGITS.search(outside) is not None
        self._separators += outside.count(b",") + sum(map(outside.count, _OPENING))
        self._quotes += len(parts) - 1
