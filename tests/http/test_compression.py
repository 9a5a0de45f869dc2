"""Large responses are compressed if the client accepts that, and every block can be read when it arrives."""

import zlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from app.http.accept import choose_encoding
from app.http.compression import SMALL_BYTES, CompressibleResponse

OFFERS = ("zstd", "gzip")
BLOCKS = [b"first\n", b"", b"x" * (SMALL_BYTES + 1), b"last\n"]


def inflating() -> Callable[[bytes], bytes]:
    return zlib.decompressobj(wbits=16 + zlib.MAX_WBITS).decompress


def zstd_reading() -> Callable[[bytes], bytes]:
    return zstandard.ZstdDecompressor().decompressobj().decompress


READERS = {"gzip": inflating, "zstd": zstd_reading}


async def sent(blocks: list[bytes], *accepted: str, **headers: str) -> tuple[httpx.Headers, list[bytes]]:
    """Send a response; return its headers and the body of each message."""

    async def stream() -> AsyncIterator[bytes]:
        for block in blocks:
            yield block

    messages: list[Any] = []

    async def send(message: Any) -> None:
        messages.append(message)

    scope = {
        "type": "http",
        "asgi": {"spec_version": "2.4"},
        "headers": [(b"accept-encoding", one.encode()) for one in accepted],
    }
    response = CompressibleResponse(stream(), media_type="text/csv", headers=headers)
    await response(scope, receive=lambda: None, send=send)  # type: ignore[arg-type,return-value]  # not called
    return httpx.Headers(messages[0]["headers"]), [message["body"] for message in messages[1:]]


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("", None),
        ("gzip", "gzip"),
        ("gzip, deflate, br, zstd", "zstd"),
        ("GZIP;q=1.0, zstd;q=0.5", "gzip"),
        ("*", "zstd"),
        ("*;q=0", None),
        ("zstd;q=0, *", "gzip"),
        ("gzip;q=0", None),
        ("br, deflate", None),
        ("identity", None),
        ("identity, gzip;q=0.5", None),
        ("identity;q=0.5, gzip", "gzip"),
        ("identity;q=0, gzip;q=0.001", "gzip"),
        ("gzip;q=much", None),
    ],
)
def test_a_client_gets_the_coding_that_it_prefers(header: str, expected: str | None) -> None:
    assert choose_encoding(header, OFFERS) == expected


@pytest.mark.parametrize("coding", OFFERS)
async def test_each_block_can_be_read_when_it_arrives(coding: str) -> None:
    headers, bodies = await sent(BLOCKS, coding)

    read = READERS[coding]()
    assert headers["content-encoding"] == coding
    assert [read(body) for body in bodies[: len(BLOCKS)]] == BLOCKS
    assert read(b"".join(bodies[len(BLOCKS) :])) == b""


@pytest.mark.parametrize("accepted", ["", "identity", "br"])
async def test_other_clients_get_the_bytes_as_they_are(accepted: str) -> None:
    headers, bodies = await sent(BLOCKS, accepted, ETag='"one"')

    assert b"".join(bodies) == b"".join(BLOCKS)
    assert "content-encoding" not in headers
    assert headers["etag"] == '"one"'


@pytest.mark.parametrize(
    ("accepted", "coding"),
    [
        (["*", "zstd;q=0, gzip;q=0"], None),
        (["gzip;q=0.1", "identity;q=1"], None),
        (["br", "gzip"], "gzip"),
        ([], None),
    ],
)
async def test_several_header_lines_are_one_list(accepted: list[str], coding: str | None) -> None:
    headers, _ = await sent(BLOCKS, *accepted)

    assert headers.get("content-encoding") == coding


@pytest.mark.parametrize("accepted", ["", *OFFERS])
async def test_caches_know_what_the_response_depends_on(accepted: str) -> None:
    headers, _ = await sent(BLOCKS, accepted, Vary="Accept")

    assert headers["vary"] == "Accept, Accept-Encoding"


@pytest.mark.parametrize("coding", OFFERS)
async def test_the_entity_tag_of_compressed_bytes_is_weak(coding: str) -> None:
    headers, _ = await sent(BLOCKS, coding, ETag='"one"')

    assert headers["etag"] == 'W/"one"'


@pytest.mark.parametrize("coding", OFFERS)
async def test_an_empty_stream_is_a_whole_one(coding: str) -> None:
    headers, bodies = await sent([], coding)

    response = httpx.Response(200, headers=headers, content=b"".join(bodies))
    assert response.content == b""


@given(st.lists(st.binary(max_size=2000)), st.sampled_from(OFFERS))
async def test_what_is_read_is_what_was_sent(blocks: list[bytes], coding: str) -> None:
    headers, bodies = await sent(blocks, coding)

    response = httpx.Response(200, headers=headers, content=b"".join(bodies))
    assert response.content == b"".join(blocks)
