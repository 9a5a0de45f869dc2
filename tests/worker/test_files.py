"""The download cache, and the upload of files that jobs write."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from app.core import ids
from app.core.files import StoredFile
from app.core.storage import Storage, open_storage
from app.jobs.transition_types import Batch, ClaimedJob
from tests.support import buckets
from worker.files import MAX_INLINE_OUTPUT_BYTES, FileFault, Files

LARGE = b"x" * (MAX_INLINE_OUTPUT_BYTES + 1)
KIB = 1024


@pytest.fixture(scope="module")
def s3() -> Iterator[dict[str, str]]:
    """An S3-compatible server, and the environment variables for it."""
    with buckets.serving() as environment:
        yield environment


@pytest.fixture
def storage(s3: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Storage]:
    """A bucket, whose files have to be downloaded."""
    for name, value in s3.items():
        monkeypatch.setenv(name, value)
    with buckets.bucket() as url:
        yield open_storage(url)


@pytest.fixture
async def files(storage: Storage, tmp_path: Path) -> AsyncIterator[Files]:
    """The files of a worker with a cache of 10 KiB."""
    async with Files(storage, tmp_path / "worker", 10 * KIB) as opened:
        yield opened


@pytest.fixture
def job() -> ClaimedJob:
    """A running job over a dataset."""
    return ClaimedJob(
        id=ids.new_id(),
        attempt=3,
        owner_id=ids.new_id(),
        kind="train_model",
        queue="default",
        params=b"{}",
        rows=None,
        total=None,
        next_batch=0,
        done=0,
        checkpoint=None,
        soft_limit_seconds=60,
        time_limit_seconds=60,
        failures=0,
        max_attempts=3,
        waited_seconds=0.0,
    )


async def stored(storage: Storage, name: str, tmp_path: Path, size: int = 4 * KIB) -> StoredFile:
    """Store a file of random bytes."""
    path = tmp_path / name
    path.write_bytes(os.urandom(size))
    return await storage.put_file(f"datasets/{name}", path)


async def keys(storage: Storage) -> set[str]:
    return {found.key async for found in storage.list("jobs")}


# What a job reads


async def test_a_file_is_downloaded_once_for_concurrent_jobs(
    storage: Storage, files: Files, tmp_path: Path
) -> None:
    file = await stored(storage, "rows", tmp_path)

    paths = await asyncio.gather(*(files.fetch({"rows": file}) for _ in range(5)))

    [path] = {found["rows"] for found in paths}
    assert path.read_bytes() == (tmp_path / "rows").read_bytes()
    inode = path.stat().st_ino
    await storage.delete([file.key])
    again = await files.fetch({"rows": file})
    assert again["rows"].stat().st_ino == inode


async def test_least_recently_used_files_are_evicted_and_pinned_ones_stay(
    storage: Storage, files: Files, tmp_path: Path
) -> None:
    oldest, older, held, new = [await stored(storage, name, tmp_path) for name in ("a", "b", "c", "d")]
    for age, file in ((300, oldest), (200, older)):
        paths = await files.fetch({"rows": file})
        files.unpin(paths.values())
        moment = paths["rows"].stat().st_mtime - age
        os.utime(paths["rows"], (moment, moment))
    there = await files.fetch({"rows": held})

    await files.fetch({"rows": new})

    downloads = {path.name for path in there["rows"].parent.iterdir()}
    assert downloads == {held.sha256, new.sha256}


async def test_a_missing_file_is_not_retried(files: Files) -> None:
    with pytest.raises(FileFault) as fault:
        await files.fetch({"rows": StoredFile("datasets/none", 5, "0" * 64)})

    assert (fault.value.code, fault.value.is_retryable) == ("file_missing", False)


async def test_an_unavailable_bucket_is_retried(
    storage: Storage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with buckets.serving() as environment:
        gone = environment["AWS_ENDPOINT_URL"]
    monkeypatch.setenv("AWS_ENDPOINT_URL", gone)
    away = open_storage("s3://headrace/nothing")
    async with Files(away, tmp_path / "worker", 10 * KIB) as files:
        with pytest.raises(FileFault) as fault:
            await files.fetch({"rows": StoredFile("datasets/none", 5, "0" * 64)})

    assert (fault.value.code, fault.value.is_retryable) == ("storage_unavailable", True)


async def test_a_file_in_a_storage_folder_is_not_copied(tmp_path: Path) -> None:
    folder = open_storage((tmp_path / "storage").as_uri())
    file = await stored(folder, "rows", tmp_path)
    async with Files(folder, tmp_path / "worker", 10 * KIB) as files:
        paths = await files.fetch({"rows": file})

        assert paths["rows"] == folder.local_path(file.key)


# What a job writes


async def test_large_outputs_of_a_dataset_become_part_files_of_the_attempt(
    storage: Storage, files: Files, job: ClaimedJob
) -> None:
    batches = [Batch(0, 10, b"small", ""), Batch(10, 10, LARGE, "")]

    small, large = await files.offload(job, 4, batches)

    assert (small.output, small.part_key) == (b"small", None)
    assert (large.output, large.part_key) == (None, f"jobs/{job.id}/3/part-5")
    assert await keys(storage) == {large.part_key}
    assert large.part_key is not None
    assert await storage.get(large.part_key) == LARGE


async def test_a_handlers_file_is_stored_under_a_key_of_the_attempt(
    storage: Storage, files: Files, job: ClaimedJob
) -> None:
    files.scratch(job).mkdir()
    (files.scratch(job) / "model").write_bytes(b"weights")

    file = await files.store(job, "artifacts", "model", "model")

    assert file.key == f"artifacts/{job.id}/3/model"
    assert await storage.get(file.key) == b"weights"


@pytest.mark.parametrize("name", ["none", "../outside", "link", "folder", "/etc/hostname"])
async def test_nothing_outside_the_scratch_folder_is_stored(
    files: Files, job: ClaimedJob, tmp_path: Path, name: str
) -> None:
    scratch = files.scratch(job)
    (scratch / "folder").mkdir(parents=True)
    (scratch.parent / "outside").write_bytes(b"another's")
    (scratch / "link").symlink_to(scratch.parent / "outside")

    with pytest.raises(FileFault) as fault:
        await files.store(job, "artifacts", "model", name)

    assert (fault.value.code, fault.value.is_retryable) == ("missing_file", False)


async def test_the_scratch_folder_is_removed_after_the_attempt(files: Files, job: ClaimedJob) -> None:
    room = files.create_child_folder(pid=1)
    files.assign_folder(job, room)
    scratch = files.scratch(job)
    scratch.mkdir()
    (scratch / "draft").write_bytes(b"half")

    await files.clear_scratch(job)
    await files.clear_scratch(job)  # a second time does nothing

    assert scratch.parent == room
    assert list(room.iterdir()) == []


async def test_folders_of_dead_workers_are_removed_and_those_of_running_ones_stay(
    storage: Storage, tmp_path: Path
) -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    scratch = tmp_path / "worker" / "scratch"
    scratch.parent.mkdir(mode=0o700)
    scratch.mkdir(mode=0o700)
    for pid in (dead.pid, os.getppid()):
        (scratch / str(pid) / "attempt").mkdir(parents=True)

    async with Files(storage, tmp_path / "worker", 10 * KIB):
        there = {folder.name for folder in scratch.iterdir()}

    assert there == {str(os.getppid()), str(os.getpid())}
    assert {folder.name for folder in scratch.iterdir()} == {str(os.getppid())}
