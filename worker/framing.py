"""Messages on a stream of bytes: each is msgpack, preceded by its length as four bytes, big-endian.

The protocols with children, hosts and the starter say which messages there are and how large they may be.
Nothing is pickled: a decoder makes only the values of a closed set of messages.
"""

import struct
from collections.abc import Callable
from typing import Final, Generic, TypeVar

import msgspec

MAX_BYTES: Final = 2**32 - 1
"""The largest length that four bytes can hold."""

LENGTH: Final = struct.Struct(">I")


class Message(msgspec.Struct, frozen=True, tag=True):
    """One message; its class name is its tag."""


class MessageTooLarge(Exception):
    """The message exceeds the size limit."""


class NotAMessage(Exception):
    """The received bytes are not a valid message."""


_encode_into = msgspec.msgpack.Encoder().encode_into


def frame(message: Message, max_bytes: int = MAX_BYTES) -> bytearray:
    """Encode a message with its length before it. Raises MessageTooLarge."""
    framed = bytearray(LENGTH.size)
    _encode_into(message, framed, LENGTH.size)
    size = len(framed) - LENGTH.size
    if size > max_bytes:
        raise MessageTooLarge(
            f"the message {type(message).__name__} has {size} bytes; the limit is {max_bytes}"
        )
    LENGTH.pack_into(framed, 0, size)
    return framed


M = TypeVar("M")


class MessageReader(Generic[M]):
    """Decodes a stream of bytes into messages."""

    def __init__(self, decode: Callable[[memoryview], M], max_bytes: int) -> None:
        self._decode = decode
        self._max_bytes = max_bytes
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[M]:
        """Return the messages that these bytes complete. Raises NotAMessage."""
        buffer = self._buffer
        buffer += data
        messages: list[M] = []
        start = 0
        while len(buffer) - start >= LENGTH.size:
            (size,) = LENGTH.unpack_from(buffer, start)
            if size > self._max_bytes:
                raise NotAMessage(f"a message of {size} bytes exceeds the limit of {self._max_bytes}")
            end = start + LENGTH.size + size
            if len(buffer) < end:
                break
            with memoryview(buffer) as view, view[start + LENGTH.size : end] as body:
                messages.append(self._decode_body(body))
            start = end
        del buffer[:start]
        return messages

    def _decode_body(self, body: memoryview) -> M:
        try:
            return self._decode(body)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise NotAMessage(str(error)) from error
