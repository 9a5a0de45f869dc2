import codecs
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.client.sse import Frame, Parser

# What the standard gives as examples, and its corners; each with the events that it has.
STREAMS = {
    "one event": (b"data: a\n\n", [Frame("message", "a", "")]),
    "two lines of data": (b"data: a\ndata: b\n\n", [Frame("message", "a\nb", "")]),
    "no space": (b"data:a\n\n", [Frame("message", "a", "")]),
    "only the first space goes": (b"data:  a\n\n", [Frame("message", " a", "")]),
    "empty data": (b"data\n\ndata\ndata\n\n", [Frame("message", "", ""), Frame("message", "\n", "")]),
    "no data, no event": (b"event: x\nid: 1\n\ndata: a\n\n", [Frame("message", "a", "1")]),
    "an event's name holds for one event": (
        b"event: x\ndata: a\n\ndata: b\n\n",
        [Frame("x", "a", ""), Frame("message", "b", "")],
    ),
    "an id holds on": (
        b"id: 7\ndata: a\n\ndata: b\n\n",
        [Frame("message", "a", "7"), Frame("message", "b", "7")],
    ),
    "an empty id clears it": (
        b"id: 7\ndata: a\n\nid\ndata: b\n\n",
        [Frame("message", "a", "7"), Frame("message", "b", "")],
    ),
    "an id with NUL is none": (b"id: 7\nid: a\0b\ndata: a\n\n", [Frame("message", "a", "7")]),
    "comments": (b": hello\n:\ndata: a\n: x\n\n", [Frame("message", "a", "")]),
    "unknown fields": (b"datas: x\nDATA: y\n data: z\ndata: a\n\n", [Frame("message", "a", "")]),
    "an unfinished event is none": (b"data: a\n\ndata: b\n", [Frame("message", "a", "")]),
    "CR": (b"data: a\rdata: b\r\r", [Frame("message", "a\nb", "")]),
    "CRLF": (b"data: a\r\ndata: b\r\n\r\n", [Frame("message", "a\nb", "")]),
    "LF CR ends two lines": (
        b"data: a\n\rdata: b\n\n",
        [Frame("message", "a", ""), Frame("message", "b", "")],
    ),
    "a BOM at the start": (codecs.BOM_UTF8 + b"data: a\n\n", [Frame("message", "a", "")]),
    "a BOM elsewhere": (b"\n" + codecs.BOM_UTF8 + b"data: a\n\n", []),
    "line ends of Unicode are none": (
        "data: a\u2028b\x0bc\x85\n\n".encode(),
        [Frame("message", "a\u2028b\x0bc\x85", "")],
    ),
    "not UTF-8": (b"data: a\xffb\n\n", [Frame("message", "a\ufffdb", "")]),
    "a colon in the data": (b"data: a: b\n\n", [Frame("message", "a: b", "")]),
}


def frames(*pieces: bytes) -> list[Frame]:
    parser = Parser()
    return [frame for piece in pieces for frame in parser.feed(piece)]


@pytest.mark.parametrize(("stream", "expected"), STREAMS.values(), ids=STREAMS)
def test_a_stream_has_the_events_that_the_standard_says(stream: bytes, expected: list[Frame]) -> None:
    assert frames(stream) == expected
    assert frames(*(bytes([byte]) for byte in stream)) == expected


line_ends = st.sampled_from([b"\n", b"\r", b"\r\n"])
lines = st.one_of(
    st.just(b""),
    st.sampled_from([b"data", b"data: x", b"event: update", b"id: 7", b"id:", b": ping", b"retry: 10"]),
    st.text(max_size=8).map(lambda text: b"data:" + text.encode(errors="replace")),
    st.binary(max_size=8),
)
streams = st.lists(st.tuples(lines, line_ends)).map(lambda parts: b"".join(a + b for a, b in parts))


@given(streams, st.data())
def test_events_do_not_depend_on_how_the_stream_is_chunked(stream: bytes, data: st.DataObject) -> None:
    cuts = data.draw(st.lists(st.integers(0, len(stream))).map(sorted))
    pieces = [stream[start:end] for start, end in pairwise([0, *cuts, len(stream)])]

    assert frames(*pieces) == frames(stream)


words = st.text(st.characters(exclude_characters="\r\n\0", codec="utf-8"), max_size=20)
sent = st.lists(st.builds(Frame, words.filter(bool), st.lists(words, min_size=1).map("\n".join), words))


@given(sent, line_ends)
def test_sent_events_are_parsed_as_sent(events: list[Frame], end: bytes) -> None:
    stream = b""
    for event in events:
        data = b"".join(b"data: " + line.encode() + end for line in event.data.split("\n"))
        stream += b"id: " + event.id.encode() + end + b"event: " + event.event.encode() + end + data + end

    assert frames(stream) == events


@pytest.mark.parametrize(
    ("field", "seconds"),
    [
        (b"retry: 2000", 2.0),
        (b"retry:0", 0.0),
        (b"retry: 2s", None),
        (b"retry: -1", None),
        (b"retry: " + b"9" * 5000, None),
    ],
)
def test_the_retry_field_is_parsed(field: bytes, seconds: float | None) -> None:
    parser = Parser()
    assert list(parser.feed(field + b"\n\n")) == []
    assert parser.retry_seconds == seconds
