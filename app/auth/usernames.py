"""Usernames: what they may look like, and when two of them are one."""

import unicodedata
from typing import Final

MAX_LENGTH: Final = 100

# To normalise takes the square of a run of accents: what is far too long is refused before.
MAX_LENGTH_AS_TYPED: Final = 4 * MAX_LENGTH

_LENGTH: Final = f"A username has 1 to {MAX_LENGTH} characters"


def accept(username: str) -> str:
    """The username as it is shown; raises ValueError if it is empty, too long or not printable."""
    if len(username) > MAX_LENGTH_AS_TYPED:
        raise ValueError(_LENGTH)
    normal = unicodedata.normalize("NFC", username).strip()
    if not 1 <= len(normal) <= MAX_LENGTH:
        raise ValueError(_LENGTH)
    if not normal.isprintable():
        raise ValueError("A username has no control characters")
    return normal


def key(username: str) -> str:
    """What two spellings of one name have in common: case and compatibility forms do not matter.

    The "compatibility caseless match" of the Unicode standard, section 3.13, D146.
    """
    decomposed = unicodedata.normalize("NFD", username.strip()).casefold()
    folded = unicodedata.normalize("NFKD", decomposed).casefold()
    return unicodedata.normalize("NFKC", folded)
