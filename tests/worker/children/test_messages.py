"""Framing: messages survive any fragmentation, and garbage is refused."""

from contextlib import suppress
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.children import messages
from worker.children.messages import (
    MAX_FROM_CHILD_BYTES,
    Batch,
    Done,
    FromChild,
    Log,
    Start,
    Yielded,
)
from worker.framing import MessageReader, MessageTooLarge, NotAMessage

batches = st.builds(
    Batch,
    index=st.integers(0, 2**31),
    first_row=st.integers(0, 2**31),
    row_count=st.integers(0, 2**31),
    output=st.binary(),
    step=st.text(st.characters(exclude_categories=["Cs"])),
    seconds=st.floats(0, 1e6),
    checkpoint=st.none() | st.binary(),
    data=st.none(),
)


def _reader() -> MessageReader[FromChild]:
    return MessageReader(messages.decode_from_child, MAX_FROM_CHILD_BYTES)


@given(st.lists(batches | st.builds(Done, st.binary()) | st.just(Yielded())), st.integers(1, 50))
def test_messages_survive_any_fragmentation(sent: list[FromChild], size: int) -> None:
    stream = b"".join(messages.frame(message) for message in sent)
    reader = _reader()

    received = [
        message
        for start in range(0, len(stream), size)
        for message in reader.feed(stream[start : start + size])
    ]

    assert received == sent


@given(st.binary(min_size=5, max_size=200))
def test_garbage_never_decodes_to_an_unexpected_error(garbage: bytes) -> None:
    with suppress(NotAMessage):
        _reader().feed(garbage)


def test_a_child_cannot_send_a_message_of_the_worker() -> None:
    start = Start(UUID(int=0), 1, "kind", b"{}", None, None, 0, 0, None)

    with pytest.raises(NotAMessage):
        _reader().feed(bytes(messages.frame(start)))


def test_a_message_beyond_the_size_limit_is_not_encoded() -> None:
    with pytest.raises(MessageTooLarge):
        messages.frame(Log("info", "x" * MAX_FROM_CHILD_BYTES))
