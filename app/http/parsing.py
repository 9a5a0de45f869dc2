"""Parses large JSON texts piece by piece in a thread, so that the event loop is not held up meanwhile.

A parser written in C holds the interpreter until it is done: a tenth of a second for 16 MiB of escapes. The
event loop takes its turn between two pieces.
"""

import asyncio
import re
from typing import Any, Final, TypeVar

import msgspec
import pydantic_core

PIECE_BYTES: Final = 1024 * 1024
"""So much is parsed at once: 7 ms of processor time at most."""

MAX_DEPTH: Final = 4
"""So many arrays and objects within each other are divided: enough for the texts of many jobs."""

MAX_INDIVISIBLE_BYTES: Final = 4 * PIECE_BYTES
"""A string is one piece, and so is what lies deeper. No field takes one as large as this."""

_NO_SPACE: Final = re.compile(rb"[^ \t\r\n]")
_PLACE: Final = re.compile(r"(.*) at line (\d+) column (\d+)", re.DOTALL)
_BYTE: Final = re.compile(r"(?:JSON is malformed: )?(.*) \(byte (\d+)\)", re.DOTALL)

_T = TypeVar("_T", bound=dict[str, msgspec.Raw] | list[msgspec.Raw] | msgspec.Raw)


class NotJson(ValueError):
    """What is wrong with a text, and where if that is known: "… at line 3 column 17"."""


class Indivisible(ValueError):
    """A string, or a value that lies deep, has more than MAX_INDIVISIBLE_BYTES."""


async def parse(text: bytearray) -> Any:
    """The value of a JSON text. Raises NotJson and Indivisible."""
    if len(text) <= PIECE_BYTES:
        return _parsed(memoryview(text), text)
    return await asyncio.to_thread(_value, memoryview(text), text)


def _value(piece: memoryview, text: bytearray, depth: int = 0) -> Any:
    """The value of a piece of the text."""
    if len(piece) <= PIECE_BYTES:
        return _parsed(piece, text)
    first = _NO_SPACE.search(piece)
    opening = b"" if first is None else first[0]
    if opening == b"{" and depth < MAX_DEPTH:
        members = _split(piece, dict[str, msgspec.Raw], text)
        return {name: _value(memoryview(member), text, depth + 1) for name, member in members.items()}
    if opening == b"[" and depth < MAX_DEPTH:
        elements = _split(piece, list[msgspec.Raw], text)
        return [_value(memoryview(element), text, depth + 1) for element in elements]
    if opening in (b'"', b"{", b"[") and len(piece) > MAX_INDIVISIBLE_BYTES:
        _split(piece, msgspec.Raw, text)
        raise Indivisible
    return _parsed(piece, text)


def _split(piece: memoryview, shape: type[_T], text: bytearray) -> _T:
    """The members or elements of a piece, unparsed. All of the JSON is checked but the content of strings."""
    try:
        return msgspec.json.decode(piece, type=shape)
    except RecursionError:
        raise NotJson("it is nested too deeply") from None
    except msgspec.DecodeError as error:
        if (found := _BYTE.fullmatch(str(error))) is None:
            raise NotJson("a value or an escape sequence is incomplete") from None
        raise _fault(found[1], text, _start(piece, text) + int(found[2])) from None


def _parsed(piece: memoryview, text: bytearray) -> Any:
    try:
        return pydantic_core.from_json(bytes(piece), cache_strings="none")
    except ValueError as error:
        found = _PLACE.fullmatch(str(error))
        if found is None:
            raise NotJson(str(error)) from None
        start = _start(piece, text)
        for _ in range(int(found[2]) - 1):
            start = text.find(b"\n", start) + 1
        raise _fault(found[1], text, start + int(found[3]) - 1) from None


def _start(piece: memoryview, text: bytearray) -> int:
    """Where a piece is. If there is another one like it, both have the same fault."""
    return 0 if len(piece) == len(text) else max(text.find(piece), 0)


def _fault(reason: str, text: bytearray, place: int) -> NotJson:
    line = text.count(b"\n", 0, place) + 1
    column = place - text.rfind(b"\n", 0, place)
    return NotJson(f"{reason} at line {line} column {column}")
