"""Datasets over HTTP: uploaded whole or not at all, seen and deleted by their owner only."""

import asyncio
import gzip
import hashlib
import os
import tempfile
from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import httpx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fastapi import FastAPI
from pydantic import TypeAdapter

from app.core.config import Settings
from app.core.database import Database
from app.core.storage import Storage
from app.datasets import commands, queries
from app.datasets.errors import DatasetInUse, DatasetNotFound
from app.datasets.import_limits import ImportLimits
from app.datasets.schemas import DatasetPage, DatasetPreview, DatasetView
from app.datasets.values import Column
from app.uploads import spooling
from tests.datasets.conftest import MEDIA_TYPES, Upload
from tests.support import jobs, rows
from tests.support.accounts import Account
from tests.support.serving import client_of, serving

CSV = b'text,stars\nIt works.,5\n"Slow, and loud.",2\n'
ROWS = [{"text": "It works.", "stars": 5}, {"text": "Slow, and loud.", "stars": 2}]
LIMIT = 2_000_000
QUOTA = 5_000_000
FIND_SECONDS = 30.0


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"max_dataset_bytes": LIMIT, "max_user_bytes": QUOTA})


def csv_of(size: int) -> bytes:
    """A file of exactly so many bytes."""
    return (
        b"c\n" + b"x" * 99 + b"\n" + (b"x" * 99 + b"\n") * ((size - 102) // 100) + b"y" * ((size - 102) % 100)
    )


async def created(upload: Upload, content: Any = CSV, **how: Any) -> dict[str, Any]:
    answer = await upload(content, **how)
    assert answer.status_code == 201, answer.text
    TypeAdapter(DatasetView).validate_json(answer.content)
    found: dict[str, Any] = answer.json()
    return found


def assert_problem(answer: httpx.Response, status: int, code: str, **facts: Any) -> None:
    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (status, code), problem
    assert {name: problem[name] for name in facts} == facts


async def assert_nothing_is_kept(store: Database, storage: Storage) -> None:
    assert await rows.value(store, "SELECT count(*) FROM datasets") == 0
    for prefix in ("datasets", "incoming"):
        assert [found.key async for found in storage.list(prefix)] == []


# Uploading


async def test_a_file_becomes_a_dataset(
    client: httpx.AsyncClient, alice: Account, upload: Upload, store: Database
) -> None:
    answer = await upload(CSV, name="reviews")

    dataset = answer.json()
    dataset_id = dataset.pop("dataset_id")
    assert answer.headers["location"] == f"/datasets/{dataset_id}"
    assert datetime.fromisoformat(dataset.pop("created_at")).tzinfo is not None
    assert dataset == {
        "name": "reviews",
        "format": "csv",
        "bytes": len(CSV),
        "rows": 2,
        "columns": [{"name": "text", "type": "text"}, {"name": "stars", "type": "integer"}],
        "options": {"delimiter": ",", "encoding": "utf-8", "null_values": [], "columns": {}},
        "sha256": hashlib.sha256(CSV).hexdigest(),
        "lineage": None,
        "links": {
            "self": f"/datasets/{dataset_id}",
            "preview": f"/datasets/{dataset_id}/preview",
            "content": f"/datasets/{dataset_id}/content",
        },
    }
    again = await client.get(f"/datasets/{dataset_id}", headers=alice.headers)
    assert again.json() == answer.json()
    preview = await client.get(f"/datasets/{dataset_id}/preview?rows=1", headers=alice.headers)
    TypeAdapter(DatasetPreview).validate_json(preview.content)
    assert preview.json() == {"columns": dataset["columns"], "rows": ROWS[:1], "total": 2}


async def test_a_job_finds_all_that_it_needs(
    alice: Account, mallory: Account, upload: Upload, store: Database, storage: Storage
) -> None:
    dataset_id = UUID((await created(upload))["dataset_id"])

    async with store.transaction() as connection:
        dataset = await queries.get_for_job(connection, alice.id, dataset_id)
        with pytest.raises(DatasetNotFound):
            await queries.get_for_job(connection, mallory.id, dataset_id)
        with pytest.raises(DatasetNotFound):
            await queries.get_for_job(connection, alice.id, uuid4())

    assert dataset.columns == (Column("text", "text"), Column("stars", "integer"))
    assert dataset.rows == 2
    content = await storage.get(dataset.file)
    assert (len(content), hashlib.sha256(content).hexdigest()) == (dataset.file.bytes, dataset.file.sha256)


async def test_jsonl_and_parquet_are_the_same_rows(
    client: httpx.AsyncClient, alice: Account, upload: Upload
) -> None:
    jsonl = b'{"text": "It works.", "stars": 5}\n{"text": "Slow, and loud.", "stars": 2}'
    parquet = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(ROWS), parquet)

    for file_format, content in (("jsonl", jsonl), ("parquet", parquet.getvalue().to_pybytes())):
        dataset = await created(upload, content, file_format=file_format)
        preview = await client.get(dataset["links"]["preview"], headers=alice.headers)
        assert (dataset["format"], preview.json()["rows"]) == (file_format, ROWS)


async def test_a_form_with_one_file_is_as_good(client: httpx.AsyncClient, alice: Account) -> None:
    answer = await client.post(
        "/datasets", data={"comment": "hello"}, files={"file": ("reviews.csv", CSV)}, headers=alice.headers
    )

    dataset = answer.json()
    assert (answer.status_code, dataset["name"], dataset["format"]) == (201, "reviews.csv", "csv")
    assert dataset["sha256"] == hashlib.sha256(CSV).hexdigest()


async def test_gzip_is_for_the_way_only(client: httpx.AsyncClient, alice: Account, upload: Upload) -> None:
    dataset = await created(upload, gzip.compress(CSV), **{"Content-Encoding": "gzip"})

    content = await client.get(dataset["links"]["content"], headers=alice.headers)
    assert content.content == CSV
    assert (dataset["bytes"], dataset["sha256"]) == (len(CSV), hashlib.sha256(CSV).hexdigest())


@pytest.mark.parametrize(
    ("params", "headers", "content", "status", "code"),
    [
        ({}, {"Content-Type": "text/csv"}, CSV, 422, "bad_upload"),
        ({"name": ""}, {"Content-Type": "text/csv"}, CSV, 422, "validation_error"),
        ({"name": "x" * 201}, {"Content-Type": "text/csv"}, CSV, 422, "validation_error"),
        ({"name": "a\0b"}, {"Content-Type": "text/csv"}, CSV, 422, "validation_error"),
        ({"name": "x"}, {"Content-Type": "application/pdf"}, CSV, 415, "unsupported_format"),
        ({"name": "x"}, {"Content-Type": "text/csv; charset=latin-1"}, CSV, 415, "unsupported_format"),
        (
            {"name": "x"},
            {"Content-Type": "text/csv", "Content-Encoding": "br"},
            CSV,
            415,
            "unsupported_format",
        ),
        ({"name": "x"}, {}, CSV, 415, "unsupported_format"),
        ({"name": "x.csv"}, {}, CSV, 201, None),
        ({"name": "x"}, {"Content-Type": "multipart/form-data"}, CSV, 422, "bad_upload"),
        ({"name": "x"}, {"Content-Type": "multipart/form-data; boundary=b"}, CSV, 422, "bad_upload"),
        ({"name": "x"}, {"Content-Type": "multipart/form-data; boundary=b"}, b"--b--\r\n", 422, "bad_upload"),
        ({"name": "x"}, {"Content-Type": "text/csv"}, b"", 422, "bad_file"),
        ({"name": "x"}, {"Content-Type": "text/csv"}, b"a,b\n", 422, "bad_file"),
    ],
)
async def test_what_is_no_upload_is_said_so(
    client: httpx.AsyncClient,
    alice: Account,
    params: dict[str, str],
    headers: dict[str, str],
    content: bytes,
    status: int,
    code: str | None,
) -> None:
    answer = await client.post(
        "/datasets", params=params, content=content, headers={**alice.headers, **headers}
    )

    assert (answer.status_code, answer.json().get("code")) == (status, code), answer.text


async def test_two_files_in_a_form_are_one_too_many(
    client: httpx.AsyncClient, alice: Account, store: Database, storage: Storage
) -> None:
    files = [("file", ("a.csv", CSV)), ("file", ("b.csv", CSV))]

    answer = await client.post("/datasets", files=files, headers=alice.headers)

    assert_problem(answer, 422, "bad_upload")
    await assert_nothing_is_kept(store, storage)


@pytest.mark.parametrize(
    ("content", "file_format", "code", "line"),
    [
        (b"a,b\n1,2\n1,2,3\n", "csv", "bad_row", 3),
        (b"a,a\n1,2\n", "csv", "bad_header", 1),
        (b"a\n\xff\n", "csv", "bad_row", 2),
        (b'{"a": 1}\n{"a": NaN}\n', "jsonl", "bad_row", 2),
        (b'{"a": "' + b"x" * 1_200_000, "jsonl", "bad_row", 1),
        (b"PAR1 and nothing else", "parquet", "bad_file", None),
    ],
)
async def test_one_bad_row_and_nothing_is_kept(
    upload: Upload,
    store: Database,
    storage: Storage,
    content: bytes,
    file_format: str,
    code: str,
    line: int | None,
) -> None:
    answer = await upload(content, file_format)

    assert_problem(answer, 422, code, **({} if line is None else {"line": line}))
    await assert_nothing_is_kept(store, storage)


async def test_a_file_may_be_as_large_as_the_limit_and_no_larger(
    upload: Upload, store: Database, storage: Storage
) -> None:
    assert (await created(upload, csv_of(LIMIT)))["bytes"] == LIMIT
    await rows.execute(store, "DELETE FROM datasets")

    async def unannounced(content: bytes) -> AsyncIterator[bytes]:
        for start in range(0, len(content), 100_000):
            yield content[start : start + 100_000]

    assert_problem(await upload(csv_of(LIMIT + 1)), 413, "dataset_too_large", limit=LIMIT)
    assert_problem(await upload(unannounced(csv_of(LIMIT + 1))), 413, "dataset_too_large")
    assert_problem(await upload(csv_of(2 * LIMIT)), 413, "body_too_large")
    packed = gzip.compress(os.urandom(LIMIT * 6 // 10).hex().encode().replace(b"0", b"\n"))
    assert_problem(await upload(packed, **{"Content-Encoding": "gzip"}), 413, "dataset_too_large")


async def test_a_bomb_is_refused_and_leaves_nothing(
    upload: Upload, store: Database, storage: Storage
) -> None:
    bomb = gzip.compress(b"a\n" + b"0\n" * 50_000_000)

    answer = await upload(bomb, **{"Content-Encoding": "gzip"})

    assert answer.status_code in (413, 422)
    await assert_nothing_is_kept(store, storage)


async def test_datasets_have_a_quota_that_none_of_many_slips_through(
    upload: Upload, mallory: Account, store: Database, storage: Storage
) -> None:
    size = 1_500_000

    answers = await asyncio.gather(*(upload(csv_of(size)) for _ in range(5)))

    assert sorted(answer.status_code for answer in answers) == [201, 201, 201, 413, 413]
    for answer in answers:
        if answer.status_code == 413:
            assert_problem(answer, 413, "quota_exceeded", limit=QUOTA)
            assert 3 * size < answer.json()["used"] < 3.1 * size
    assert await rows.value(store, "SELECT count(*) FROM datasets") == 3
    assert len([found async for found in storage.list("datasets")]) == 6
    assert_problem(await upload(csv_of(size)), 413, "quota_exceeded", limit=QUOTA)
    await created(upload, csv_of(size), who=mallory)


async def test_a_client_that_goes_away_leaves_nothing(
    app: FastAPI,
    alice: Account,
    store: Database,
    storage: Storage,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    is_sent = asyncio.Event()

    async def never_whole() -> AsyncIterator[bytes]:
        yield csv_of(1_000_000)
        is_sent.set()
        await asyncio.Event().wait()

    async with serving(app) as url, client_of(url) as client:
        uploading = asyncio.create_task(
            client.post(
                "/datasets?name=x",
                content=never_whole(),
                headers={**alice.headers, "Content-Type": "text/csv"},
            )
        )
        await is_sent.wait()
        uploading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await uploading

    await assert_nothing_is_kept(store, storage)
    assert not list(tmp_path.glob("headrace-upload-*"))


@pytest.mark.parametrize("import_limits", [ImportLimits(stall_seconds=0.1)])
async def test_a_client_that_sends_nothing_is_not_waited_for(upload: Upload) -> None:
    async def stalling() -> AsyncIterator[bytes]:
        yield b"a,b\n"
        await asyncio.sleep(5)

    assert_problem(await upload(stalling()), 408, "upload_stalled")


async def test_a_refusal_is_heard_while_most_of_the_file_is_still_to_come(
    app: FastAPI, alice: Account
) -> None:
    async def much_more() -> AsyncIterator[bytes]:
        for _ in range(500):
            yield b"x" * 100_000

    async with serving(app) as url, client_of(url) as client:
        answer = await client.post(
            "/datasets?name=x", content=much_more(), headers={**alice.headers, "Content-Type": "text/csv"}
        )

    assert_problem(answer, 422, "bad_row", line=1)


@pytest.mark.parametrize("import_limits", [ImportLimits(conversion_seconds=0.01)])
async def test_a_conversion_that_takes_too_long_is_ended(
    upload: Upload, store: Database, storage: Storage
) -> None:
    assert_problem(await upload(CSV), 422, "bad_file")
    await assert_nothing_is_kept(store, storage)


def test_spools_of_the_dead_are_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    ours = tmp_path / f"headrace-upload-{os.getpid()}-x"
    of_the_dead = tmp_path / "headrace-upload-4194305-x"  # above the highest there can be
    for folder in (ours, of_the_dead):
        folder.mkdir()
        (folder / "content").touch()

    spooling.remove_orphaned_folders()

    assert list(tmp_path.iterdir()) == [ours]


# Seeing


async def test_datasets_are_listed_newest_first_in_pages(
    client: httpx.AsyncClient, alice: Account, mallory: Account, upload: Upload
) -> None:
    names = [f"dataset {number}" for number in range(3)]
    for name in names:
        await created(upload, name=name)
    await created(upload, who=mallory)

    first = await client.get("/datasets?limit=2", headers=alice.headers)
    TypeAdapter(DatasetPage).validate_json(first.content)
    second = await client.get(
        f"/datasets?limit=2&cursor={first.json()['next_cursor']}", headers=alice.headers
    )

    found = [dataset["name"] for page in (first, second) for dataset in page.json()["items"]]
    assert found == names[::-1]
    assert second.json()["next_cursor"] is None
    assert_problem(await client.get("/datasets?cursor=x", headers=alice.headers), 400, "invalid_cursor")


async def test_datasets_with_a_name_are_listed_newest_first_in_pages(
    client: httpx.AsyncClient, alice: Account, mallory: Account, upload: Upload
) -> None:
    made = [await created(upload, name=name) for name in ("a", "b", "a", "a")]
    await created(upload, name="a", who=mallory)

    first = await client.get("/datasets?name=a&limit=2", headers=alice.headers)
    second = await client.get(
        f"/datasets?name=a&limit=2&cursor={first.json()['next_cursor']}", headers=alice.headers
    )
    none = await client.get("/datasets?name=A", headers=alice.headers)

    found = [dataset["dataset_id"] for page in (first, second) for dataset in page.json()["items"]]
    assert found == [made[number]["dataset_id"] for number in (3, 2, 0)]
    assert none.json() == {"items": [], "next_cursor": None}
    assert_problem(await client.get("/datasets?name=", headers=alice.headers), 422, "validation_error")


async def test_datasets_are_found_by_the_beginning_of_their_name(
    client: httpx.AsyncClient, alice: Account, mallory: Account, upload: Upload
) -> None:
    for name in ("Reviews.csv", "reviews_june.csv", "100%.csv", "1000.csv", "sales.csv"):
        await created(upload, name=name)
    await created(upload, name="reviews of mallory.csv", who=mallory)

    async def found(prefix: str, **more: str) -> list[str]:
        answer = await client.get("/datasets", params={"q": prefix, **more}, headers=alice.headers)
        assert answer.status_code == 200, answer.text
        return [dataset["name"] for dataset in answer.json()["items"]]

    assert await found("rev") == ["reviews_june.csv", "Reviews.csv"]
    assert await found("REVIEWS_") == ["reviews_june.csv"]  # a wildcard of LIKE is a character
    assert await found("100%") == ["100%.csv"]
    assert await found("ales") == []
    assert await found("rev", name="Reviews.csv") == ["Reviews.csv"]
    assert await found("sales", name="Reviews.csv") == []
    first = await client.get("/datasets?q=1&limit=1", headers=alice.headers)
    assert await found("1", limit="1", cursor=first.json()["next_cursor"]) == ["100%.csv"]
    assert_problem(await client.get("/datasets?q=", headers=alice.headers), 422, "validation_error")


@pytest.mark.parametrize(
    ("method", "path"), [("GET", ""), ("GET", "/preview"), ("GET", "/content"), ("DELETE", "")]
)
async def test_another_users_dataset_is_as_if_it_were_not_there(
    client: httpx.AsyncClient, upload: Upload, mallory: Account, store: Database, method: str, path: str
) -> None:
    dataset_id = (await created(upload))["dataset_id"]
    nowhere = uuid4()

    foreign = await client.request(method, f"/datasets/{dataset_id}{path}", headers=mallory.headers)
    unknown = await client.request(method, f"/datasets/{nowhere}{path}", headers=mallory.headers)
    nobody = await client.request(method, f"/datasets/{dataset_id}{path}")

    assert_problem(foreign, 404, "dataset_not_found", dataset_id=dataset_id)
    assert_problem(unknown, 404, "dataset_not_found", dataset_id=str(nowhere))
    assert_problem(nobody, 401, "invalid_token")
    assert await rows.value(store, "SELECT count(*) FROM datasets") == 1


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_nobody_lists_or_uploads(client: httpx.AsyncClient, method: str) -> None:
    assert_problem(await client.request(method, "/datasets?name=x"), 401, "invalid_token")


async def test_the_file_comes_back_as_it_came(
    client: httpx.AsyncClient, alice: Account, upload: Upload
) -> None:
    dataset = await created(upload, name='Grüße; "a"/b')
    url = dataset["links"]["content"]

    answer = await client.get(url, headers=alice.headers)

    assert (answer.status_code, answer.content) == (200, CSV)
    assert answer.headers["content-type"].startswith(MEDIA_TYPES["csv"])
    assert answer.headers["etag"] == f'"{dataset["sha256"]}"'
    assert answer.headers["content-disposition"].endswith("Gr%C3%BC%C3%9Fe%3B%20%22a%22%2Fb.csv")
    unchanged = await client.get(url, headers={**alice.headers, "If-None-Match": answer.headers["etag"]})
    assert (unchanged.status_code, unchanged.content) == (304, b"")


@pytest.mark.parametrize(
    ("asked", "status", "expected", "content_range"),
    [
        ("bytes=0-3", 206, CSV[:4], f"bytes 0-3/{len(CSV)}"),
        ("bytes=5-", 206, CSV[5:], f"bytes 5-{len(CSV) - 1}/{len(CSV)}"),
        ("bytes=-4", 206, CSV[-4:], f"bytes {len(CSV) - 4}-{len(CSV) - 1}/{len(CSV)}"),
        ("bytes=-9999", 206, CSV, f"bytes 0-{len(CSV) - 1}/{len(CSV)}"),
        ("bytes=0-9999", 206, CSV, f"bytes 0-{len(CSV) - 1}/{len(CSV)}"),
        ("bytes=0-1,3-4", 200, CSV, None),
        ("bytes=4-1", 200, CSV, None),
        ("bytes=-", 200, CSV, None),
        ("rows=0-1", 200, CSV, None),
    ],
)
async def test_a_range_of_the_file(
    client: httpx.AsyncClient,
    alice: Account,
    upload: Upload,
    asked: str,
    status: int,
    expected: bytes,
    content_range: str | None,
) -> None:
    url = (await created(upload))["links"]["content"]

    answer = await client.get(url, headers={**alice.headers, "Range": asked})
    of_another = await client.get(url, headers={**alice.headers, "Range": asked, "If-Range": '"other"'})

    assert (answer.status_code, answer.content) == (status, expected)
    assert answer.headers.get("content-range") == content_range
    assert (of_another.status_code, of_another.content) == (200, CSV)


@pytest.mark.parametrize("asked", ["bytes=9999-", "bytes=-0"])
async def test_a_range_beyond_the_file_cannot_be_had(
    client: httpx.AsyncClient, alice: Account, upload: Upload, asked: str
) -> None:
    url = (await created(upload))["links"]["content"]

    answer = await client.get(url, headers={**alice.headers, "Range": asked})

    assert_problem(answer, 416, "range_not_satisfiable", bytes=len(CSV))


# Deleting


async def test_a_dataset_goes_with_its_files(
    client: httpx.AsyncClient, alice: Account, upload: Upload, store: Database, storage: Storage
) -> None:
    url = (await created(upload))["links"]["self"]

    deleted = await client.delete(url, headers=alice.headers)

    assert (deleted.status_code, deleted.content) == (204, b"")
    await assert_nothing_is_kept(store, storage)
    assert_problem(await client.delete(url, headers=alice.headers), 404, "dataset_not_found")


async def test_a_dataset_whose_files_are_lost_says_so(
    client: httpx.AsyncClient, alice: Account, upload: Upload, storage: Storage
) -> None:
    dataset = await created(upload)
    await storage.delete([found.key async for found in storage.list("datasets")])

    for name in ("preview", "content"):
        assert_problem(await client.get(dataset["links"][name], headers=alice.headers), 404, "file_missing")


async def needing(store: Database, owner: Account, dataset_id: str, status: str) -> None:
    """A job over the dataset that has come so far."""
    if status == "pending":
        job_id = await jobs.create(store, owner.id)
    else:
        job = await jobs.running(store, owner.id)
        job_id = job.id
        if status == "completed":
            await jobs.complete(store, job)
    async with store.transaction() as connection:
        await connection.execute("ALTER TABLE jobs DISABLE TRIGGER jobs_guard")
        await connection.execute("UPDATE jobs SET dataset_id = $2 WHERE id = $1", job_id, UUID(dataset_id))
        await connection.execute("ALTER TABLE jobs ENABLE TRIGGER jobs_guard")


@pytest.mark.parametrize(("status", "answered"), [("pending", 409), ("running", 409), ("completed", 204)])
async def test_a_dataset_stays_while_a_job_needs_it(
    client: httpx.AsyncClient, alice: Account, upload: Upload, store: Database, status: str, answered: int
) -> None:
    dataset = await created(upload)
    await needing(store, alice, dataset["dataset_id"], status)

    answer = await client.delete(dataset["links"]["self"], headers=alice.headers)

    assert answer.status_code == answered
    if answered == 409:
        assert_problem(answer, 409, "dataset_in_use", jobs=1)
        content = await client.get(dataset["links"]["content"], headers=alice.headers)
        assert content.content == CSV


async def test_of_a_delete_and_a_submit_at_once_only_one_goes_through(
    alice: Account, upload: Upload, store: Database
) -> None:
    dataset_id = UUID((await created(upload))["dataset_id"])
    may_commit = asyncio.Event()
    is_held = asyncio.Event()

    async def submit() -> None:
        async with store.transaction() as connection:
            await queries.get_for_job(connection, alice.id, dataset_id)
            is_held.set()
            await may_commit.wait()
            await connection.execute(
                """INSERT INTO jobs (id, owner_id, kind, queue, priority, sort_key, params, max_attempts,
                    soft_limit_seconds, time_limit_seconds, retention_seconds, run_at, dataset_id)
                VALUES ($1, $2, 'batch_predict', 'default', 'normal', now(), '{}', 1, 60, 60, 60, now(),
                    $3)""",
                uuid4(),
                alice.id,
                dataset_id,
            )

    async def delete() -> None:
        async with store.transaction() as connection:
            await commands.delete(connection, alice.id, dataset_id)

    submitting = asyncio.create_task(submit())
    await is_held.wait()
    deleting = asyncio.create_task(delete())
    await rows.value(store, "SELECT 1")
    may_commit.set()

    await submitting
    with pytest.raises(DatasetInUse):
        await deleting


async def test_a_name_means_the_newest_dataset_of_that_name(
    client: httpx.AsyncClient, alice: Account, mallory: Account, upload: Upload, store: Database
) -> None:
    await created(upload, name="reviews")
    newest = await created(upload, name="reviews")
    await created(upload, name="others")
    await created(upload, name="reviews", who=mallory)

    async def predict(name: str) -> httpx.Response:
        body = {"dataset": name, "column": "text"}
        return await client.post("/jobs/batch-predict", json=body, headers=alice.headers)

    async with asyncio.timeout(FIND_SECONDS):  # it looks again while it finds what it may not read
        job_id = (await predict("reviews")).json()["job_id"]

    job = (await client.get(f"/jobs/{job_id}", headers=alice.headers)).json()
    assert (job["dataset_id"], job["total"]) == (newest["dataset_id"], 2)
    assert_problem(await predict("Reviews"), 404, "dataset_not_found", dataset="Reviews")
    async with store.transaction() as connection:
        assert (await queries.get_for_job(connection, mallory.id, "reviews")).rows == 2
        with pytest.raises(DatasetNotFound):
            await queries.get_for_job(connection, mallory.id, "others")


async def test_while_the_newest_is_deleted_its_name_means_the_one_before(
    alice: Account, upload: Upload, store: Database
) -> None:
    older = await created(upload, name="reviews")
    newest = await created(upload, name="reviews")

    async def find() -> UUID:
        async with store.transaction() as connection:
            return (await queries.get_for_job(connection, alice.id, "reviews")).id

    async with store.transaction() as connection:
        await commands.delete(connection, alice.id, UUID(newest["dataset_id"]))
        finding = asyncio.create_task(find())
        await rows.wait_until_blocked(store)

    assert await finding == UUID(older["dataset_id"])


async def test_a_submit_that_comes_after_a_delete_finds_nothing(
    alice: Account, upload: Upload, store: Database
) -> None:
    dataset_id = UUID((await created(upload))["dataset_id"])

    async def submit(connection: asyncpg.Connection) -> None:
        await queries.get_for_job(connection, alice.id, dataset_id)

    async with store.transaction() as connection:
        async with store.transaction() as other:
            await commands.delete(other, alice.id, dataset_id)
            submitting = asyncio.create_task(submit(connection))
            await asyncio.wait([submitting], timeout=0.1)
        with pytest.raises(DatasetNotFound):
            await submitting


@pytest.mark.parametrize("name", ["a\nb", "a\tb", "\x1b[31m", "a\u202eb", "a\u2028b", "\x7f", "\u200b", " "])
async def test_a_name_with_control_characters_is_refused(upload: Upload, name: str) -> None:
    assert_problem(await upload(CSV, name=name), 422, "bad_upload")
