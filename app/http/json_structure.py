"""Finds the structure of a JSON text: its bytes outside of strings, window by window."""

from collections.abc import Iterator
from typing import Final

WINDOW_BYTES: Final = 64 * 1024
"""Bytes looked at in one go: about 1 ms."""

MAX_STRING_BYTES: Final = 4 * 1024 * 1024


class StringTooLong(ValueError):
    """A string has more than MAX_STRING_BYTES, quotes and escapes included."""


def outside_strings(text: bytearray, window_bytes: int = WINDOW_BYTES) -> Iterator[tuple[int, bytes]]:
    """Yield each window of the text with its start, the content of strings replaced by bytes without meaning.

    If the text is not JSON, only what comes before the fault can be relied on. Raises StringTooLong.
    """
    is_in_string = is_escaped = False
    string_start = 0
    for start in range(0, len(text), window_bytes):
        window = bytes(memoryview(text)[start : start + window_bytes])
        if is_escaped:
            window = b"_" + window[1:]
        if b"\\" in window:
            # After this a backslash at the end escapes the first byte of the next window.
            window = window.replace(rb"\\", b"__").replace(rb"\"", b"__")
        is_escaped = window.endswith(b"\\")
        parts = window.split(b'"')
        if is_in_string and start + len(parts[0]) + 1 - string_start > MAX_STRING_BYTES:
            raise StringTooLong
        first = 0 if is_in_string else 1
        parts[first::2] = [bytes(len(part)) for part in parts[first::2]]
        if len(parts) % 2 == 0:
            is_in_string = not is_in_string
        if is_in_string and len(parts) > 1:
            string_start = start + len(window) - len(parts[-1]) - 1
        yield start, b'"'.join(parts)
