"""Which names of columns are valid. Imports nothing: what only checks a request needs no Arrow."""

from typing import Final

MAX_COLUMNS: Final = 1000
MAX_NAME_LENGTH: Final = 500


def name_fault(name: str) -> str | None:
    """Why the name of a column is not valid; None if it is."""
    if not name.strip():
        return "has no name"
    if len(name) > MAX_NAME_LENGTH:
        return f"has a name of {len(name)} characters, more than {MAX_NAME_LENGTH}"
    if "\0" in name:
        return "has a NUL character in its name"
    return None
