"""Text validation: which Python strings Postgres can store, and which are one line."""

import unicodedata
from typing import Final

# Control characters, the separators of lines and paragraphs, and lone surrogates.
_NOT_IN_A_LINE: Final = frozenset({"Cc", "Zl", "Zp", "Cs"})


def is_one_line(text: str) -> bool:
    """Whether the text has neither line breaks nor other control characters, so that a header can hold it."""
    return not any(unicodedata.category(character) in _NOT_IN_A_LINE for character in text)


def is_storable(text: str) -> bool:
    """Whether Postgres can store the text: it has no NUL and no lone surrogate, which UTF-8 cannot encode."""
    if "\0" in text:
        return False
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
