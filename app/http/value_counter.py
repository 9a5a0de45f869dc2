"""How many values a JSON text has, counted before any of them becomes an object.

A megabyte of `[1,1,1,…]` is half a million objects, and each costs time and memory many times its size. Text
is cheap. So the number of values is bounded. What is counted are the commas and brackets outside of strings,
piece by piece, so that the event loop is never held up for long.
"""

import re
from typing import Final

PIECE_BYTES: Final = 64 * 1024
"""How much is counted at a time: at worst a few milliseconds."""

_OPENING: Final = (b"[", b"{")
# Only from the start of a number: to try again from each digit takes the square of their number.
_DIGITS: Final = re.compile(rb"(?<![0-9])[0-9]{400}")


class ValueCounter:
    """Counts the values of a JSON text whose pieces are given one after the other.

    The count is never too low, and exact for valid JSON but for empty arrays and objects.
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
        # After this a backslash that is left stands before something else than a backslash.
        piece = piece.replace(rb"\\", b"").replace(rb"\"", b"")
        if piece.endswith(b"\\"):
            self._is_escaped = True
        parts = piece.split(b'"')
        outside = b" ".join(parts[1 if self._is_in_string else 0 :: 2])
        if len(parts) % 2 == 0:
            self._is_in_string = not self._is_in_string
        # To parse a number takes the square of its length, and a finite one needs 309 digits at the most.
        self.has_huge_number = self.has_huge_number or _DIGITS.search(outside) is not None
        self._separators += outside.count(b",") + sum(map(outside.count, _OPENING))
        self._quotes += len(parts) - 1
