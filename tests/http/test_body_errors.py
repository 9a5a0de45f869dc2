"""A body that cannot be read is answered with what is wrong with it: its type, its encoding, or its JSON."""

import asyncio
import gzip
import json
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from app.core.config import Settings
from app.http.encodings import FREE_BYTES
from app.main import create_app
from tests.support.accounts import Account, sign_in

PATH = "/jobs/batch-predict"
BODY = json.dumps({"texts": ["What a lovely day"]}).encode()
JSON = "application/json"


@pytest.fixture
async def alice(app: FastAPI) -> Account:
    return await sign_in(app, "alice")


async def post(
    client: httpx.AsyncClient, who: Account, content: bytes, path: str = PATH, **headers: str
) -> httpx.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return await client.post(path, content=content, headers={**who.headers, **named})


def problem(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    found: dict[str, Any] = answer.json()
    assert (answer.status_code, found["code"]) == (status, code), answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    return found


@pytest.mark.parametrize(
    "content_type",
    ["", "text/plain", "application/x-www-form-urlencoded", "application/xml", "json", "a/b/json"],
)
async def test_a_body_that_is_not_said_to_be_json_is_told_what_to_say(
    client: httpx.AsyncClient, alice: Account, content_type: str
) -> None:
    """The second is what `curl -d` says."""
    answer = await post(client, alice, BODY, **({"Content_Type": content_type} if content_type else {}))

    found = problem(answer, 415, "unsupported_media_type")
    assert found["detail"] == (
        f"Send the body with Content-Type: application/json. This request has {content_type or 'none'}."
    )
    assert answer.headers["accept"] == JSON


@pytest.mark.parametrize("path", ["/predict", "/jobs/bulk", "/stream-tickets", "/dead-letters/retry"])
async def test_every_route_for_json_says_so(client: httpx.AsyncClient, alice: Account, path: str) -> None:
    problem(await post(client, alice, BODY, path, Content_Type="text/plain"), 415, "unsupported_media_type")


@pytest.mark.parametrize("content_type", [JSON, "application/json; charset=utf-8", "application/vnd.x+json"])
async def test_what_is_json_is_taken(client: httpx.AsyncClient, alice: Account, content_type: str) -> None:
    assert (await post(client, alice, BODY, Content_Type=content_type)).status_code == 202


async def test_signing_in_with_json_is_told_to_send_a_form(client: httpx.AsyncClient) -> None:
    answer = await client.post("/token", json={"username": "alice", "password": "a long enough one"})

    assert (
        "Content-Type: application/x-www-form-urlencoded"
        in problem(answer, 415, "unsupported_media_type")["detail"]
    )


async def test_a_request_without_a_body_misses_its_fields(client: httpx.AsyncClient, alice: Account) -> None:
    problem(await client.post(PATH, headers=alice.headers), 422, "validation_error")
    problem(await client.post("/token"), 422, "validation_error")


async def test_json_that_is_right_but_for_its_fields_is_not_a_matter_of_its_type(
    client: httpx.AsyncClient, alice: Account
) -> None:
    for body in (b"[1]", b"1", b'"a"', b"null", b"{}", b'{"texts": 1}', b"NaN"):
        problem(await post(client, alice, body, Content_Type=JSON), 422, "validation_error")


@pytest.mark.parametrize(
    ("text", "line", "column"),
    [
        ('{"texts": ["a",]}', 1, 16),
        ('{"texts":\n ["a"\n "b"]}', 3, 2),
        ("{'texts': []}", 1, 2),
        ('{"texts": ["a"', 1, 15),
        ('{"texts": ["a\nb"]}', 1, 14),
        ('{"texts": ["a"]} {}', 1, 18),
        ("texts=a", 1, 1),
        ("<html>", 1, 1),
        ('{"texts": ["ä" x]}', 1, 16),
    ],
)
async def test_malformed_json_is_called_that_with_its_place(
    client: httpx.AsyncClient, alice: Account, text: str, line: int, column: int
) -> None:
    found = problem(await post(client, alice, text.encode(), Content_Type=JSON), 400, "malformed_json")

    assert found["line"] == line
    # Parsers differ in whether they name the end of what was read or the beginning of what is wrong.
    assert abs(found["column"] - column) <= 1
    assert found["reason"] in found["detail"]
    assert found["detail"].startswith("The body is not valid JSON: ")
    assert f"at line {line}, column {found['column']}." in found["detail"]


@pytest.mark.parametrize(
    "content",
    [b'{"texts": ["\xff"]}', b"\x80", b"[" * 60_000, b"[" + b"9" * 5000 + b"]"],
    ids=lambda c: repr(c[:9]),
)
async def test_json_that_no_parser_takes_is_called_unreadable(
    client: httpx.AsyncClient, alice: Account, content: bytes
) -> None:
    answer = await post(client, alice, content, Content_Type=JSON)

    assert answer.status_code in (400, 422)
    assert answer.json()["code"] in ("malformed_json", "validation_error")


async def test_nothing_that_was_sent_is_said_again(client: httpx.AsyncClient, alice: Account) -> None:
    answer = await post(client, alice, b'{"password": "canary-5f2c" canary-5f2c}', Content_Type=JSON)

    assert "canary" not in answer.text


@pytest.mark.parametrize("encoding", ["gzip", "x-gzip", "GZIP", " gzip "])
async def test_a_body_in_gzip_is_inflated(client: httpx.AsyncClient, alice: Account, encoding: str) -> None:
    packed = gzip.compress(BODY)
    whole = await post(client, alice, packed, Content_Type=JSON, Content_Encoding=encoding)
    streams = await post(
        client,
        alice,
        gzip.compress(BODY[:9]) + gzip.compress(BODY[9:]),
        Content_Type=JSON,
        Content_Encoding="gzip",
    )

    async def pieces() -> Any:
        for start in range(0, len(packed), 7):
            yield packed[start : start + 7]
            await asyncio.sleep(0)

    headers = {**alice.headers, "Content-Type": JSON, "Content-Encoding": "gzip"}
    chunked = await client.post(PATH, content=pieces(), headers=headers)

    assert [whole.status_code, streams.status_code, chunked.status_code] == [202, 202, 202]


async def test_a_form_in_gzip_is_inflated(client: httpx.AsyncClient) -> None:
    credentials = {"username": "ada", "password": "a long enough passphrase"}
    await client.post("/users", json=credentials)
    form = gzip.compress(b"username=ada&password=a+long+enough+passphrase")

    headers = {"Content-Type": "application/x-www-form-urlencoded", "Content-Encoding": "gzip"}
    answer = await client.post("/token", content=form, headers=headers)

    assert answer.status_code == 200


@pytest.mark.parametrize("encoding", ["br", "deflate", "zstd", "compress", "gzip, gzip", "utf-8", "a" * 500])
async def test_another_encoding_is_refused(client: httpx.AsyncClient, alice: Account, encoding: str) -> None:
    answer = await post(client, alice, BODY, Content_Type=JSON, Content_Encoding=encoding)

    found = problem(answer, 415, "unsupported_encoding")
    assert found["detail"] == (
        f"Content-Encoding {encoding[:100]} is not supported. Send the body uncompressed or with gzip."
    )
    assert answer.headers["accept-encoding"] == "gzip"


async def test_a_gzip_stream_that_is_damaged_is_called_that(
    client: httpx.AsyncClient, alice: Account
) -> None:
    packed = gzip.compress(BODY * 100)
    for content, reason in (
        (packed[:-1], "it is cut off"),
        (packed[:40], "it is cut off"),
        (BODY, "it is not gzip"),
    ):
        answer = await post(client, alice, content, Content_Type=JSON, Content_Encoding="gzip")
        assert problem(answer, 422, "bad_compression")["reason"] == reason


async def test_the_limit_of_a_body_holds_for_what_it_inflates_to(settings: Settings) -> None:
    limit = 60_000
    app = create_app(settings.model_copy(update={"max_body_bytes": limit}))
    transport = httpx.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://test") as client,
    ):
        who = await sign_in(app, "alice")
        fits = BODY[:-1] + b" " * (limit - len(BODY)) + b"}"
        answers = [
            await post(client, who, gzip.compress(content), Content_Type=JSON, Content_Encoding="gzip")
            for content in (fits, fits + b" ", b" " * (500 * limit))
        ]

    assert [answer.status_code for answer in answers] == [202, 413, 413]
    assert problem(answers[1], 413, "body_too_large")["limit"] == limit


async def test_a_body_that_inflates_to_far_more_than_was_sent_is_refused(
    client: httpx.AsyncClient, alice: Account
) -> None:
    padded = BODY[:-1] + b" " * (FREE_BYTES * 2) + b"}"
    little = BODY[:-1] + b" " * (FREE_BYTES // 2) + b"}"

    much = await post(client, alice, gzip.compress(padded), Content_Type=JSON, Content_Encoding="gzip")
    less = await post(client, alice, gzip.compress(little), Content_Type=JSON, Content_Encoding="gzip")

    assert (
        problem(much, 422, "bad_compression")["reason"] == "it decompresses to more than 200 times its size"
    )
    assert less.status_code == 202


async def test_who_it_is_is_asked_before_what_is_sent(client: httpx.AsyncClient) -> None:
    answer = await client.get("/users/me", headers={"Content-Encoding": "br", "Content-Type": JSON})

    assert answer.status_code == 401
