"""Parses large JSON texts in pieces, in a thread, so that the event loop keeps serving other requests.

A parser written in C holds the interpreter lock until it returns, so a large text is cut at commas into
pieces that take a few milliseconds each. A cut leaves arrays and objects open: each piece is parsed with the
brackets that it lacks, and its entries are added to those of earlier pieces. Values and errors are the same
as if the whole text was parsed at once.
"""

import asyncio
import re
import secrets
from typing import Any, Final

import pydantic_core

from app.http.json_structure import MAX_STRING_BYTES, WINDOW_BYTES, StringTooLong, outside_strings

PIECE_BYTES: Final = 256 * 1024
"""Minimum size of a piece, about 1 ms of CPU time; at worst 10 ms, for tens of thousands of `[]`."""

MAX_DEPTH: Final = 4
"""A value within this many others, or more, has the same limit as a string."""

MAX_INDIVISIBLE_BYTES: Final = MAX_STRING_BYTES

_MAX_NESTING: Final = 201
"""Levels of arrays and objects that pydantic's parser accepts in one text."""

_BRACKETS: Final = re.compile(rb"[\[\]{}]")
_BRACKETS_AND_COMMAS: Final = re.compile(rb"[\[\]{},]")
_CLOSING: Final = {b"[": b"]", b"{": b"}"}
_POSITION: Final = re.compile(r"(.*) at line (\d+) column (\d+)", re.DOTALL)

# Placeholders for entries that are not in a piece. They are arrays: no adjacent byte can become part of one.
_MARK: Final = secrets.token_hex(16)
"""No client can know this name, so none can send a member or a value that is taken for a placeholder."""

_EARLIER: Final = {b"": b"[]", b"[": b"[[]", b"{": f'{{"{_MARK}":[]'.encode()}
_LATER: Final = {b"[": b",[]]", b"{": f',"{_MARK}":[]}}'.encode()}
_CHILD: Final = f'["{_MARK}"]'.encode()

_PADDING: Final = b" " * 16
"""Follows a piece. Without it, the parser reports the end of the text instead of a truncated escape."""


class NotJson(ValueError):
    """The text is not JSON. The message has the reason and the position: "… at line 3 column 17"."""


class Indivisible(ValueError):
    """A string, or a value within MAX_DEPTH others, has more than MAX_INDIVISIBLE_BYTES."""


async def parse(text: bytearray) -> Any:
    """Return the value of a JSON text. Raises NotJson and Indivisible."""
    if len(text) <= PIECE_BYTES:
        return _parse_piece(text, 0, len(text))
    return await asyncio.to_thread(parse_in_pieces, text)


def parse_in_pieces(
    text: bytearray, *, piece_bytes: int = PIECE_BYTES, window_bytes: int = WINDOW_BYTES
) -> Any:
    """Parse a JSON text of any size. Raises NotJson and Indivisible."""
    try:
        return _Cutter(text, piece_bytes, window_bytes).parse()
    except StringTooLong:
        raise Indivisible from None


def _parse_piece(text: bytearray, start: int, end: int, before: bytes = b"", after: bytes = b"") -> Any:
    """Parse a piece of the text between two placeholders. Raises NotJson with the position in the text."""
    piece = b"".join((before, memoryview(text)[start:end], after, _PADDING[: len(text) - end]))
    try:
        return pydantic_core.from_json(piece, cache_strings="none")
    except ValueError as error:
        found = _POSITION.fullmatch(str(error))
        if found is None:
            raise NotJson(str(error)) from None
        line, column = int(found[2]), int(found[3])
        if line == 1:
            column += start - len(before) - (text.rfind(b"\n", 0, start) + 1)
        line += text.count(b"\n", 0, start)
        raise NotJson(f"{found[1]} at line {line} column {column}") from None


class _Container:
    """An array or object whose end has not been reached, or, with no bracket, the text itself.

    Once it is cut, `value` has the entries before the position `parsed`.
    """

    __slots__ = ("bracket", "parsed", "start", "value")

    def __init__(self, bracket: bytes, start: int) -> None:
        self.bracket = bracket
        self.start = self.parsed = start
        self.value: Any = None

    def parse(self, text: bytearray, end: int, after: bytes = b"") -> Any:
        """Return the entries between `parsed` and the end. An object may also have the member _MARK."""
        if self.parsed == self.start:
            return _parse_piece(text, self.start, end, after=after)
        found = _parse_piece(text, self.parsed, end, _EARLIER[self.bracket], after)
        if self.bracket == b"[":
            del found[0]
        return found

    def add(self, found: Any) -> None:
        """Add entries to the value."""
        if self.bracket == b"[":
            self.value += found
        else:
            found.pop(_MARK, None)
            self.value.update(found)


class _Cutter:
    """Cuts one text. `_open` are the containers around the position reached; the first `_cut` are cut."""

    def __init__(self, text: bytearray, piece_bytes: int, window_bytes: int) -> None:
        self._text = text
        self._piece_bytes = piece_bytes
        self._window_bytes = window_bytes
        self._open = [_Container(b"", 0)]
        self._cut = 1
        self._due = piece_bytes
        """The first comma after this position ends a piece."""

    def parse(self) -> Any:
        """Return the value of the text."""
        end = self._follow_structure()
        last = self._open[self._cut - 1]
        # Anything but the text itself has no matching bracket here, and the parser raises the error.
        found = last.parse(self._text, end)
        return found if last.value is None else last.value

    def _follow_structure(self) -> int:
        """Cut the text. Return its end, or that of the first bracket that does not match."""
        for start, window in outside_strings(self._text, self._window_bytes):
            pattern = _BRACKETS_AND_COMMAS if start + len(window) > self._due else _BRACKETS
            for found in pattern.finditer(window):
                mark, position = found[0], start + found.start()
                if mark == b",":
                    if position >= self._due and len(self._open) > 1:
                        self._cut_before(position)
                elif mark in _CLOSING:
                    self._enter(mark, position)
                elif mark == _CLOSING.get(self._open[-1].bracket):
                    self._leave(position + 1)
                else:
                    return position + 1
        return len(self._text)

    def _enter(self, bracket: bytes, position: int) -> None:
        if len(self._open) > _MAX_NESTING:
            line = self._text.count(b"\n", 0, position) + 1
            column = position - self._text.rfind(b"\n", 0, position)
            raise NotJson(f"recursion limit exceeded at line {line} column {column}")
        self._open.append(_Container(bracket, position))

    def _leave(self, end: int) -> None:
        last = self._open.pop()
        if len(self._open) > MAX_DEPTH and end - last.start > MAX_INDIVISIBLE_BYTES:
            raise Indivisible
        if len(self._open) < self._cut:
            self._cut -= 1
            last.add(last.parse(self._text, end))
            self._proceed_from(end)

    def _cut_before(self, comma: int) -> None:
        """Parse everything before a comma, and cut the containers around it."""
        while self._cut < len(self._open):
            self._cut_around(*self._open[self._cut - 1 : self._cut + 1])
            self._cut += 1
        last = self._open[-1]
        found = last.parse(self._text, comma, _LATER[last.bracket])
        if last.bracket == b"[":
            found.pop()
        last.add(found)
        self._proceed_from(comma)

    def _cut_around(self, outer: _Container, inner: _Container) -> None:
        """Parse everything before a container, and add the container, still empty, as the last entry."""
        found = outer.parse(self._text, inner.start, _CHILD + _CLOSING.get(outer.bracket, b""))
        inner.value = [] if inner.bracket == b"[" else {}
        if not outer.bracket:
            outer.value = inner.value
            return
        is_list = outer.bracket == b"["
        # With duplicate names the last member need not be the last key.
        last = -1 if is_list else next(name for name in reversed(found) if found[name] == [_MARK])
        found[last] = inner.value
        outer.add(found)

    def _proceed_from(self, position: int) -> None:
        self._open[self._cut - 1].parsed = position
        self._due = position + self._piece_bytes
