"""Encodes large values as JSON in pieces, so that the event loop can run between two of them.

An encoder written in C holds the interpreter lock until it returns: some 40 ms for 16 MiB of quotes.
"""

import io
from collections.abc import Callable, Iterator
from typing import Any, Final

import msgspec

from app.http.offloading import has_large_body

PIECE_CHARACTERS: Final = 256 * 1024
"""Most characters that are encoded at once, unless a single string has more."""

_SCALAR_CHARACTERS: Final = 4

_encode: Final = msgspec.json.Encoder().encode
_encode_sorted: Final = msgspec.json.Encoder(order="sorted").encode

Encode = Callable[[Any], bytes]


def encode(value: Any) -> bytes:
    """Return a value as JSON."""
    if not has_large_body():
        return _encode(value)
    # Not joined from a list, which would hold all of it twice.
    text = io.BytesIO()
    for piece in in_pieces(value):
        text.write(piece)
    return text.getvalue()


def encode_sorted(value: Any) -> Iterator[bytes]:
    """Yield a value as JSON, the members of each object in the order of their names."""
    return in_pieces(value, is_sorted=True) if has_large_body() else iter((_encode_sorted(value),))


def in_pieces(
    value: Any, *, is_sorted: bool = False, piece_characters: int = PIECE_CHARACTERS
) -> Iterator[bytes]:
    """Yield a value as JSON, piece by piece. It has lists, dicts with names, and scalars."""
    encode = _encode_sorted if is_sorted else _encode
    if not isinstance(value, list | dict) or _characters(value) <= piece_characters:
        yield encode(value)
        return
    yield b"[" if isinstance(value, list) else b"{"
    separator = b""
    for run in _runs(value, is_sorted, piece_characters):
        yield separator
        separator = b","
        if len(run) > 1:
            yield encode(run)[1:-1]
            continue
        if isinstance(run, dict):
            [name] = run
            yield encode(name) + b":"
            yield from in_pieces(run[name], is_sorted=is_sorted, piece_characters=piece_characters)
        else:
            yield from in_pieces(run[0], is_sorted=is_sorted, piece_characters=piece_characters)
    yield b"]" if isinstance(value, list) else b"}"


def _runs(
    value: list[Any] | dict[str, Any], is_sorted: bool, piece_characters: int
) -> Iterator[list[Any] | dict[str, Any]]:
    """Divide the entries of an array or object into runs, each a piece or a single entry that is larger."""
    if isinstance(value, list):
        start = length = 0
        for index, entry in enumerate(value):
            length += _characters(entry)
            if length > piece_characters and index > start:
                yield value[start:index]
                start, length = index, _characters(entry)
        yield value[start:]
        return
    run: dict[str, Any] = {}
    length = 0
    for name in sorted(value) if is_sorted else value:
        length += len(name) + _characters(value[name])
        if length > piece_characters and run:
            yield run
            run, length = {}, len(name) + _characters(value[name])
        run[name] = value[name]
    yield run


def _characters(value: Any) -> int:
    """Return about how many characters a value has as JSON."""
    if isinstance(value, str):
        return len(value)
    if isinstance(value, list):
        return sum(map(_characters, value))
    if isinstance(value, dict):
        return sum(map(len, value)) + sum(map(_characters, value.values()))
    return _SCALAR_CHARACTERS
