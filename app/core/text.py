"""Text validation: which Python strings Postgres can store."""


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
