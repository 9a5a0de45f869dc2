"""Text that every part of the system can hold. Python's `str` may be more than that."""


def is_storable(text: str) -> bool:
    """Whether Postgres takes it: no NUL, and no lone surrogate (which has no UTF-8)."""
    if "\0" in text:
        return False
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
