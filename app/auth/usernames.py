"""Usernames: which are valid, and when two spellings are the same name."""

import hashlib
import unicodedata
from typing import Final

MAX_LENGTH: Final = 100

# Normalising takes quadratic time in a run of combining marks, so far too long input is rejected first.
MAX_LENGTH_AS_TYPED: Final = 4 * MAX_LENGTH

# Unicode Default_Ignorable_Code_Point, and characters that look like a blank.
_INVISIBLE: Final = frozenset(
    chr(code)
    for first, last in (
        (0x00AD, 0x00AD),
        (0x034F, 0x034F),
        (0x061C, 0x061C),
        (0x115F, 0x1160),
        (0x17B4, 0x17B5),
        (0x180B, 0x180F),
        (0x200B, 0x200F),
        (0x202A, 0x202E),
        (0x2060, 0x206F),
        (0x2800, 0x2800),  # Braille pattern blank
        (0x3164, 0x3164),
        (0xFE00, 0xFE0F),
        (0xFEFF, 0xFEFF),
        (0xFFA0, 0xFFA0),
        (0xFFF0, 0xFFF8),
        (0x16FE4, 0x16FE4),  # Khitan small script filler
        (0x1BCA0, 0x1BCA3),
        (0x1D159, 0x1D159),  # musical symbol null notehead
        (0x1D173, 0x1D17A),
        (0xE0000, 0xE0FFF),
    )
    for code in range(first, last + 1)
)

_LENGTH: Final = f"A username has 1 to {MAX_LENGTH} characters"


def accept(username: str) -> str:
    """The username as it is shown. Raises ValueError if it is empty, too long or invisible."""
    if len(username) > MAX_LENGTH_AS_TYPED:
        raise ValueError(_LENGTH)
    normal = unicodedata.normalize("NFC", username).strip()
    if not 1 <= len(normal) <= MAX_LENGTH:
        raise ValueError(_LENGTH)
    if not normal.isprintable():
        raise ValueError("A username has no control characters")
    if not _INVISIBLE.isdisjoint(normal):
        raise ValueError("A username has no invisible characters")
    if all(unicodedata.category(character).startswith("M") for character in normal):
        raise ValueError("A username has more than combining marks")
    return normal


def retired_key(username: str) -> bytes:
    """Return the key under which the name of a deleted account is kept, the same for all spellings."""
    return hashlib.sha256(key(username).encode()).digest()


def key(username: str) -> str:
    """The same key for all spellings of a name: case and compatibility forms do not matter.

    The "compatibility caseless match" of the Unicode standard, section 3.13, D146.
    """
    decomposed = unicodedata.normalize("NFD", username.strip()).casefold()
    folded = unicodedata.normalize("NFKD", decomposed).casefold()
    return unicodedata.normalize("NFKC", folded)
