"""Preconditions and ranges of RFC 9110, on each resource that is a file."""

from dataclasses import dataclass

import httpx
import pytest

from app.core.database import Database
from app.core.storage import Storage
from app.http.conditional import Conditions
from app.http.errors import PreconditionFailed
from tests.models import versions
from tests.support.accounts import Account

CONTENT = b"text,stars\nIt works.,5\n"
SHORT = '"with,a,comma"'


@dataclass(frozen=True)
class File:
    """A file that the API serves."""

    url: str
    headers: dict[str, str]
    content: bytes
    etag: str


@pytest.fixture(params=["dataset", "model", "page"])
async def file(
    request: pytest.FixtureRequest,
    client: httpx.AsyncClient,
    store: Database,
    storage: Storage,
    alice: Account,
) -> File:
    headers = alice.headers
    match request.param:
        case "dataset":
            created = await client.post(
                "/datasets?name=x", content=CONTENT, headers={**headers, "Content-Type": "text/csv"}
            )
            url = created.json()["links"]["content"]
        case "model":
            stored = await versions.stored(storage, CONTENT)
            await versions.register(store, alice.id, file=stored)
            url = "/models/churn/versions/1/artifact"
        case _:
            url, headers = "/dashboard/", {}
    answer = await client.get(url, headers=headers)
    assert answer.status_code == 200, answer.text
    return File(url, headers, answer.content, answer.headers["etag"])


async def test_the_whole_file_comes_with_its_tag_and_says_that_it_takes_ranges(
    client: httpx.AsyncClient, file: File
) -> None:
    answer = await client.get(file.url, headers=file.headers)
    head = await client.head(file.url, headers={**file.headers, "Range": "bytes=0-3"})

    assert file.etag.startswith('"')
    assert answer.headers["accept-ranges"] == "bytes"
    assert answer.headers["content-length"] == str(len(file.content))
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == str(len(file.content))


@pytest.mark.parametrize("known", ["{etag}", "W/{etag}", '"other", {etag}', '"a,b",W/{etag}', "*", " * "])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_a_version_that_the_client_has_is_not_sent_again(
    client: httpx.AsyncClient, file: File, known: str, method: str
) -> None:
    asked = {"If-None-Match": known.format(etag=file.etag), "Range": "bytes=0-3"}

    answer = await client.request(method, file.url, headers={**file.headers, **asked})

    assert (answer.status_code, answer.content) == (304, b"")
    assert answer.headers["etag"] == file.etag
    assert not {"content-length", "content-type", "content-disposition"} & set(answer.headers)


async def test_tags_in_several_headers_are_one_list(client: httpx.AsyncClient, file: File) -> None:
    asked = [("If-None-Match", '"other"'), ("If-None-Match", file.etag)]

    answer = await client.get(file.url, headers=[*file.headers.items(), *asked])

    assert answer.status_code == 304


@pytest.mark.parametrize("known", ['"other"', 'W/"other"', "other", ""])
async def test_another_version_is_sent(client: httpx.AsyncClient, file: File, known: str) -> None:
    answer = await client.get(file.url, headers={**file.headers, "If-None-Match": known})

    assert (answer.status_code, answer.content) == (200, file.content)


@pytest.mark.parametrize("wanted", ["{etag}", '"other", {etag}', "*"])
async def test_if_match_lets_the_current_version_through(
    client: httpx.AsyncClient, file: File, wanted: str
) -> None:
    asked = {"If-Match": wanted.format(etag=file.etag)}

    answer = await client.get(file.url, headers={**file.headers, **asked})

    assert (answer.status_code, answer.content) == (200, file.content)


@pytest.mark.parametrize("wanted", ['"other"', "W/{etag}"])
async def test_if_match_of_another_version_fails(client: httpx.AsyncClient, file: File, wanted: str) -> None:
    # The strong comparison: a weakened tag does not say that the bytes are the same.
    asked = {"If-Match": wanted.format(etag=file.etag), "If-None-Match": file.etag}

    answer = await client.get(file.url, headers={**file.headers, **asked})

    assert (answer.status_code, answer.json()["code"]) == (412, "precondition_failed")
    assert (answer.headers["etag"], answer.json()["etag"]) == (file.etag, file.etag)


async def test_a_range_is_sent_as_a_part(client: httpx.AsyncClient, file: File) -> None:
    answer = await client.get(file.url, headers={**file.headers, "Range": "bytes=5-8"})

    assert (answer.status_code, answer.content) == (206, file.content[5:9])
    assert answer.headers["content-range"] == f"bytes 5-8/{len(file.content)}"
    assert answer.headers["etag"] == file.etag


async def test_a_range_outside_the_file_names_its_size(client: httpx.AsyncClient, file: File) -> None:
    beyond = {"Range": f"bytes={len(file.content)}-"}

    answer = await client.get(file.url, headers={**file.headers, **beyond})

    assert (answer.status_code, answer.json()["code"]) == (416, "range_not_satisfiable")
    assert answer.headers["content-range"] == f"bytes */{len(file.content)}"


async def test_a_range_is_sent_if_it_is_of_the_version_that_the_client_has(
    client: httpx.AsyncClient, file: File
) -> None:
    asked = {"Range": "bytes=5-8", "If-Range": file.etag}

    answer = await client.get(file.url, headers={**file.headers, **asked})

    assert answer.status_code == 206


@pytest.mark.parametrize("known", ['"other"', "W/{etag}", "Sat, 29 Oct 1994 19:43:31 GMT", "*"])
async def test_otherwise_the_whole_file_is_sent(client: httpx.AsyncClient, file: File, known: str) -> None:
    asked = {"Range": "bytes=99999999-", "If-Range": known.format(etag=file.etag)}

    answer = await client.get(file.url, headers={**file.headers, **asked})

    assert (answer.status_code, answer.content) == (200, file.content)


def test_a_tag_with_a_comma_is_one_tag() -> None:
    assert Conditions(if_none_match=f'"x", {SHORT}').is_unchanged(SHORT)
    assert not Conditions(if_none_match=SHORT).is_unchanged('"comma"')


def test_a_weak_tag_of_ours_matches_weakly_only() -> None:
    assert Conditions(if_none_match='"seq-7"').is_unchanged('W/"seq-7"')
    with pytest.raises(PreconditionFailed):
        Conditions(if_match='W/"seq-7"').is_unchanged('W/"seq-7"')
