"""Datasets: uploaded, named, shown, downloaded and deleted by both clients."""

import gzip
from asyncio import StreamWriter
from pathlib import Path

import pytest

from app.client import AsyncHeadrace, Conflict, NotFound, UnexpectedResponse
from tests.client.conftest import Connect
from tests.client.either import HURRIED
from tests.client.scripted import JOB_ID, Asked, answer, answering, scripted

CONTENT = "id,review\n1,It works.\n2,Slow.\n"


@pytest.fixture
def reviews(tmp_path: Path) -> Path:
    """A file of two rows."""
    path = tmp_path / "reviews.csv"
    path.write_text(CONTENT)
    return path


async def test_a_dataset_is_named_shown_downloaded_and_deleted(client: AsyncHeadrace, reviews: Path) -> None:
    older = await client.upload(reviews)
    newer = await client.upload(reviews)
    other = await client.upload(reviews, name="others")

    preview = await client.preview_dataset("reviews.csv", rows=1)
    content = b"".join([piece async for piece in client.download_dataset(newer.id)])

    assert (await client.dataset("reviews.csv")).id == newer.id
    assert await client.dataset(older.id) == older
    assert [found.id async for found in client.datasets(name="reviews.csv")] == [newer.id, older.id]
    assert [found.id async for found in client.datasets(prefix="REV")] == [newer.id, older.id]
    assert [found.id async for found in client.datasets()] == [other.id, newer.id, older.id]
    assert (preview.rows, preview.total) == ([{"id": 1, "review": "It works."}], 2)
    assert content == CONTENT.encode()
    await client.delete_dataset("reviews.csv")
    assert (await client.dataset("reviews.csv")).id == older.id
    await client.delete_dataset(older)
    with pytest.raises(NotFound) as unknown:
        await client.dataset("reviews.csv")
    assert unknown.value.code == "dataset_not_found"
    with pytest.raises(NotFound):
        await client.delete_dataset(older)


async def test_a_dataset_that_a_job_needs_is_not_deleted(client: AsyncHeadrace, reviews: Path) -> None:
    dataset = await client.upload(reviews)
    job = await client.submit(dataset=dataset, column="review", queue="nobody")

    with pytest.raises(Conflict) as conflict:
        await client.delete_dataset(dataset)

    assert conflict.value.code == "dataset_in_use"
    await client.cancel(job)
    await client.delete_dataset(dataset)


async def test_a_file_is_uploaded_compressed_or_with_its_format_named(
    client: AsyncHeadrace, tmp_path: Path
) -> None:
    compressed = tmp_path / "reviews.csv.gz"
    compressed.write_bytes(gzip.compress(CONTENT.encode()))
    unnamed = tmp_path / "reviews"
    unnamed.write_text(CONTENT)
    tabs = tmp_path / "reviews.tsv"
    tabs.write_text(CONTENT.replace(",", "\t"))

    datasets = [
        await client.upload(compressed),
        await client.upload(unnamed, format="csv"),
        await client.upload(tabs),
    ]

    assert [found.name for found in datasets] == ["reviews.csv", "reviews", "reviews.tsv"]
    assert [(found.rows, list(found.columns)) for found in datasets] == [(2, ["id", "review"])] * 3
    with pytest.raises(ValueError, match=r"reviews is not a dataset file"):
        await client.upload(unnamed)


@pytest.mark.parametrize("is_same", [True, False])
async def test_an_interrupted_download_continues_with_the_rest_of_the_same_file(
    connect: Connect, is_same: bool
) -> None:
    async def script(asked: Asked, writer: StreamWriter) -> None:
        if len(server.asked) == 1:
            writer.write(b'HTTP/1.1 200 OK\r\nETag: "1"\r\nContent-Length: 6\r\n\r\nabc')
        elif is_same:
            writer.write(b'HTTP/1.1 206 Partial Content\r\nETag: "1"\r\nContent-Length: 3\r\n\r\ndef')
        else:
            writer.write(b'HTTP/1.1 200 OK\r\nETag: "2"\r\nContent-Length: 6\r\n\r\nghijkl')

    async with scripted(script) as server:
        client = connect(server.url, token="t", retry_config=HURRIED)
        read = b""
        try:
            async for piece in client.download_dataset(JOB_ID):
                read += piece
        except UnexpectedResponse as error:
            read += str(error).encode()

    assert read == (b"abcdef" if is_same else b"abcThe file changed during the download: download it again.")
    assert (server.asked[1].headers["range"], server.asked[1].headers["if-range"]) == ("bytes=3-", '"1"')


async def test_a_dataset_that_a_lost_request_has_deleted_is_no_error(connect: Connect) -> None:
    gone = answer(404, {"code": "dataset_not_found", "detail": "Gone.", "status": 404})
    async with answering(
        answer(503, {"code": "shutting_down", "detail": "Later.", "status": 503}), gone
    ) as server:
        await connect(server.url, token="t", retry_config=HURRIED).delete_dataset(JOB_ID)

    assert len(server.asked) == 2
