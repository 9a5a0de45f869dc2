"""Storage: the same promises on a disk and in a bucket, which is behind a real server of S3's protocol."""

import asyncio
import hashlib
import io
import os
import re
import shutil
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil
import pytest

from app.core.durable_files import INCOMING
from app.core.errors import ConfigurationError, FileMissing, StorageUnavailable
from app.core.files import StoredFile
from app.core.storage import BLOCK_BYTES, Storage, open_storage
from app.core.storage_io import PART_BYTES
from tests.support import buckets
from tests.support.buckets import BUCKET, HOST

LARGE = os.urandom(2 * PART_BYTES + 12_345)


@pytest.fixture(scope="module")
def s3() -> Iterator[dict[str, str]]:
    """A server that speaks S3's protocol, and how to get there."""
    with buckets.serving() as environment:
        yield environment


@pytest.fixture
def environment(s3: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the bucket is and how to get in, as one says it to every program."""
    for name, value in s3.items():
        monkeypatch.setenv(name, value)


@pytest.fixture(params=["file", pytest.param("s3", marks=pytest.mark.server)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """One of each kind."""
    if request.param == "file":
        yield (tmp_path / "storage").as_uri()
        return
    request.getfixturevalue("environment")
    with buckets.bucket() as url:
        yield url


@pytest.fixture
def storage(url: str) -> Storage:
    """The storage there."""
    return open_storage(url)


async def in_pieces(content: bytes, *, piece_bytes: int = 100_000) -> AsyncIterator[bytes]:
    for start in range(0, len(content), piece_bytes):
        yield content[start : start + piece_bytes]


async def all_of(stream: AsyncIterator[bytes]) -> bytes:
    return b"".join([block async for block in stream])


async def keys_in(storage: Storage, prefix: str) -> set[str]:
    return {found.key async for found in storage.list(prefix)}


@pytest.mark.parametrize("content", [b"", b"x", b"some text", LARGE], ids=["empty", "byte", "small", "large"])
async def test_what_is_put_is_what_is_got(storage: Storage, content: bytes) -> None:
    put = await storage.put("a/b/c", content)

    assert put == StoredFile("a/b/c", len(content), hashlib.sha256(content).hexdigest())
    assert await storage.get(put) == await storage.get("a/b/c") == content
    assert await all_of(storage.stream("a/b/c")) == content


@pytest.mark.parametrize("content", [b"", b"small", LARGE], ids=["empty", "small", "large"])
async def test_what_is_streamed_in_and_what_is_copied_from_a_file_is_the_same(
    storage: Storage, content: bytes, tmp_path: Path
) -> None:
    path = tmp_path / "original"
    path.write_bytes(content)

    streamed = await storage.put("streamed", in_pieces(content))
    copied = await storage.put_file("copied", path)

    assert (streamed.bytes, streamed.sha256) == (copied.bytes, copied.sha256)
    assert await storage.get(streamed) == await storage.get(copied) == content


@pytest.mark.parametrize(
    ("start", "end"),
    [(0, 1), (5, None), (BLOCK_BYTES - 1, BLOCK_BYTES + 1), (0, 10**12), (len(LARGE), None), (7, 7)],
)
async def test_a_range_is_read_without_the_rest(storage: Storage, start: int, end: int | None) -> None:
    await storage.put("large", LARGE)

    assert await all_of(storage.stream("large", start=start, end=end)) == LARGE[start:end]


async def test_other_libraries_read_here_and_there(storage: Storage) -> None:
    await storage.put("large", LARGE)

    def look() -> tuple[bytes, bytes, bytes, int]:
        with storage.reader("large") as file:
            file.seek(-5, io.SEEK_END)
            last = file.read(100)
            file.seek(1000)
            return last or b"", file.read(3) or b"", file.read(2) or b"", file.tell()

    assert await asyncio.to_thread(look) == (LARGE[-5:], LARGE[1000:1003], LARGE[1003:1005], 1005)
    with pytest.raises(FileNotFoundError):
        await asyncio.to_thread(storage.reader, "missing")


async def test_a_file_shows_only_when_it_is_whole(storage: Storage) -> None:
    seen: list[set[str]] = []

    async def watched() -> AsyncIterator[bytes]:
        async for piece in in_pieces(LARGE, piece_bytes=PART_BYTES):
            yield piece
            seen.append(await keys_in(storage, "jobs"))
            with pytest.raises(FileMissing):
                await storage.get("jobs/1/part")

    await storage.put("jobs/1/part", watched())

    assert seen
    assert set.union(*seen) == set()
    assert await keys_in(storage, "jobs") == {"jobs/1/part"}


async def test_what_fails_on_the_way_leaves_nothing_and_passes_as_it_is(storage: Storage) -> None:
    async def broken() -> AsyncIterator[bytes]:
        async for piece in in_pieces(LARGE):
            yield piece
        raise ConnectionResetError("the client is gone")

    with pytest.raises(ConnectionResetError, match="the client is gone"):
        await storage.put("datasets/1/content", broken())

    assert await keys_in(storage, "datasets") == set()
    assert await keys_in(storage, INCOMING) == set()


async def test_a_put_that_is_cancelled_leaves_nothing(storage: Storage) -> None:
    is_waiting = asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        yield LARGE
        is_waiting.set()
        await asyncio.Event().wait()

    putting = asyncio.create_task(storage.put("datasets/1/content", endless()))
    await is_waiting.wait()
    putting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await putting

    assert await keys_in(storage, "datasets") == set()
    assert await keys_in(storage, INCOMING) == set()


async def test_a_download_appears_whole_or_not_at_all(storage: Storage, tmp_path: Path) -> None:
    file = await storage.put("artifacts/1", LARGE)
    folder = tmp_path / "downloads"
    folder.mkdir()

    await storage.download(file, folder / "model")
    with pytest.raises(StorageUnavailable):
        await storage.download(StoredFile(file.key, file.bytes + 1, file.sha256), folder / "longer")
    with pytest.raises(FileMissing, match="artifacts/2"):
        await storage.download(StoredFile("artifacts/2", 1, ""), folder / "missing")

    assert (folder / "model").read_bytes() == LARGE
    assert [path.name for path in folder.iterdir()] == ["model"]


async def test_small_files_are_stored_together_and_a_wrong_key_stores_none(storage: Storage) -> None:
    parts = {f"jobs/{job}/1/part-{part}": b"%d" % part * 1000 for job in (1, 2) for part in range(5)}

    await storage.put_all(parts)

    assert {key: await storage.get(key) for key in parts} == parts
    with pytest.raises(ValueError, match="not a key"):
        await storage.put_all({"jobs/3/1/part-0": b"x", "../part-1": b"x"})
    assert [found.key async for found in storage.list("jobs/3")] == []


async def test_what_is_missing_is_said_by_name(storage: Storage) -> None:
    with pytest.raises(FileMissing, match="no/such/file"):
        await storage.get("no/such/file")
    with pytest.raises(FileMissing, match="no/such/file"):
        await all_of(storage.stream("no/such/file"))


async def test_to_delete_what_is_not_there_is_fine(storage: Storage) -> None:
    await storage.put("a/1", b"one")
    await storage.put("a/2", b"two")
    await storage.put("b/1", b"three")

    await storage.delete(["no/such/file", "a/1", "a/2", "a/1", "neither"])
    await storage.delete([])

    assert await keys_in(storage, "a") == set()
    assert await keys_in(storage, "b") == {"b/1"}


async def test_a_listing_is_by_whole_names_and_knows_sizes_and_times(storage: Storage) -> None:
    before = datetime.now(UTC)
    for key in ("jobs/1/a", "jobs/2/b", "jobs/10/c", "jobs-of-others/1"):
        await storage.put(key, key.encode())

    found = {listed.key: listed async for listed in storage.list("jobs/")}

    assert set(found) == {"jobs/1/a", "jobs/2/b", "jobs/10/c"}
    assert found["jobs/10/c"].bytes == len("jobs/10/c")
    assert all(abs(listed.modified_at - before) < timedelta(minutes=1) for listed in found.values())
    assert await keys_in(storage, "jobs/1") == {"jobs/1/a"}
    assert await keys_in(storage, "nothing/here") == set()


async def test_a_listing_has_more_pages_than_one(url: str) -> None:
    storage = open_storage(url, keys_at_once=7)
    keys = {f"many/{number}" for number in range(30)}
    await asyncio.gather(*(storage.put(key, b"x") for key in keys))

    assert await keys_in(storage, "many") == keys
    await storage.delete(sorted(keys))
    assert await keys_in(storage, "many") == set()


@pytest.mark.parametrize(
    "key", ["", "/etc/passwd", "../x", "a/../b", "a//b", "a/", "a/./b", "a b", "a#1", "ü", "a\n"]
)
async def test_a_key_that_is_none_is_refused_before_anything_is_touched(storage: Storage, key: str) -> None:
    with pytest.raises(ValueError, match=re.escape(repr(key))):
        await storage.put(key, b"x")
    with pytest.raises(ValueError, match=re.escape(repr(key))):
        await storage.delete([key])
    with pytest.raises(ValueError, match=re.escape(repr(key))):
        storage.local_path(key)


async def test_many_at_once_do_not_get_into_each_other(storage: Storage) -> None:
    async def come_and_go(number: int) -> None:
        key = f"shared/folder/{number}"
        for _ in range(5):
            await storage.put(key, str(number).encode())
            assert await storage.get(key) == str(number).encode()
            await storage.delete([key])

    await asyncio.gather(*(come_and_go(number) for number in range(8)))

    assert await keys_in(storage, "shared") == set()


async def test_memory_stays_flat_whatever_streams_through(tmp_path: Path) -> None:
    storage = open_storage((tmp_path / "storage").as_uri())
    total_bytes = 200_000_000
    piece = os.urandom(1_000_000)

    async def much() -> AsyncIterator[bytes]:
        for _ in range(total_bytes // len(piece)):
            yield piece

    process = psutil.Process()
    before_bytes = process.memory_info().rss
    highest_bytes = before_bytes
    await storage.put("much", much())
    async for _ in storage.stream("much"):
        highest_bytes = max(highest_bytes, process.memory_info().rss)

    assert highest_bytes - before_bytes < 60_000_000


async def test_only_a_disk_has_paths(storage: Storage) -> None:
    file = await storage.put("a/b", b"here")

    path = storage.local_path(file.key)

    assert path is None or path.read_bytes() == b"here"


def test_a_place_that_cannot_be_is_refused_by_the_name_of_the_setting() -> None:
    for url in (
        "nonsense",
        "ftp://x/y",
        "file:",
        "file://relative/path",
        "s3://",
        "http://bucket",
        "/a/path",
    ):
        with pytest.raises(ConfigurationError, match=r"^STORAGE_URL: .+$"):
            open_storage(url)


async def test_nothing_is_made_before_it_is_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    storage = open_storage("file:.data/with%20space")

    assert await keys_in(storage, "datasets") == set()
    assert list(tmp_path.iterdir()) == []
    await storage.put("datasets/1", b"x")
    assert (tmp_path / ".data/with space/datasets/1").read_bytes() == b"x"


async def test_a_folder_has_the_space_of_its_volume_before_it_is_created_and_a_bucket_has_none(
    storage: Storage, tmp_path: Path
) -> None:
    await storage.check()
    space = await storage.space()

    if storage.is_bucket:
        assert space is None
        return
    volume = shutil.disk_usage(tmp_path)
    assert space is not None
    assert abs(space.used_bytes - volume.used) < 2**30
    assert space.used_percent == pytest.approx(100 * volume.used / (volume.used + volume.free), abs=1)


@pytest.mark.usefixtures("environment")
async def test_a_bucket_that_is_not_there_is_unavailable_and_not_an_empty_answer() -> None:
    storage = open_storage("s3://no-such-bucket")

    with pytest.raises(StorageUnavailable):
        await storage.put("key", b"x")
    with pytest.raises(StorageUnavailable):
        await keys_in(storage, "datasets")
    with pytest.raises(StorageUnavailable):
        await storage.check()


async def test_a_store_that_does_not_answer_is_unavailable_in_time(
    environment: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def swallow(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            writer.close()

    async with await asyncio.start_server(swallow, HOST, 0) as silent:
        port = silent.sockets[0].getsockname()[1]
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{HOST}:{port}")
        storage = open_storage(f"s3://{BUCKET}", call_seconds=0.2)

        for call in (
            storage.put("key", b"x"),
            storage.put("key", in_pieces(LARGE)),
            storage.get("key"),
            storage.delete(["key"]),
            keys_in(storage, "datasets"),
            storage.check(),
        ):
            with pytest.raises(StorageUnavailable):
                await call


async def test_a_disk_that_takes_nothing_is_unavailable(tmp_path: Path) -> None:
    occupied = tmp_path / "occupied"
    occupied.write_text("a file where a folder should be")

    with pytest.raises(StorageUnavailable):
        await open_storage((occupied / "storage").as_uri()).put("key", b"x")
