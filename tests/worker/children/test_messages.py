"""The wire: what goes in comes out, however the kernel cuts it up."""

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
    MessageReader,
    MessageTooLarge,
    NotAMessage,
    Start,
    Yielded,
)

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
def test_messages_survive_any_cut(said: list[FromChild], piece: int) -> None:
    wire = b"".join(messages.frame(message) for message in said)
    reader = _reader()

    heard = [
        message
        for start in range(0, len(wire), piece)
        for message in reader.feed(wire[start : start + piece])
    ]

    assert heard == said


@given(st.binary(min_size=5, max_size=200))
def test_garbage_is_refused_or_waited_for_but_never_something_else(garbage: bytes) -> None:
    with suppress(NotAMessage):
        _reader().feed(garbage)


def test_a_child_cannot_say_what_is_the_workers_to_say() -> None:
    start = Start(UUID(int=0), 1, "kind", b"{}", None, None, 0, 0, None)

    with pytest.raises(NotAMessage):
        _reader().feed(bytes(messages.frame(start)))


def test_a_message_that_the_worker_would_refuse_is_not_made() -> None:
    with pytest.raises(MessageTooLarge):
        messages.frame(Log("info", "x" * MAX_FROM_CHILD_BYTES))
