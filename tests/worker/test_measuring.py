"""What the worker keeps of an attempt's profile, and what it does not believe."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from app.core import ids
from app.core.storage import Storage, open_storage
from app.jobs.profiles.profile import MAX_BYTES
from app.jobs.transition_types import ClaimedJob
from worker.children.child_handle import Child
from worker.children.inbox import Inbox
from worker.children.messages import Yielded
from worker.files import Files
from worker.measuring import measure


@dataclass
class Case:
    """A profiled attempt whose child may write into `scratch`."""

    storage: Storage
    files: Files
    job: ClaimedJob
    child: Child
    scratch: Path

    async def key_after(self, local_name: str = ".profile", *, is_profiled: bool = True) -> str | None:
        """End the attempt with this profile, and return the key under which it is stored."""
        job = replace(self.job, is_profiled=is_profiled)
        return (await measure(job, self.child, self.files, Yielded(profile=local_name))).profile_key

    async def stored(self) -> list[str]:
        return [found.key async for found in self.storage.list("jobs")]


@pytest.fixture
async def case(tmp_path: Path) -> AsyncIterator[Case]:
    storage = open_storage((tmp_path / "storage").as_uri())
    job = ClaimedJob(
        id=ids.new_id(),
        attempt=2,
        owner_id=ids.new_id(),
        kind="batch_predict",
        queue="default",
        params=b"{}",
        rows=b"[]",
        total=0,
        next_batch=0,
        done=0,
        checkpoint=None,
        soft_limit_seconds=60,
        time_limit_seconds=60,
        failures=0,
        max_attempts=3,
        waited_seconds=0.0,
    )
    async with Files(storage, tmp_path / "worker", 2**20) as files:
        child = Child(1, Inbox(), lambda _pid: None)
        files.assign_folder(job, files.create_child_folder(child.pid))
        scratch = files.scratch(job)
        scratch.mkdir()
        yield Case(storage, files, job, child, scratch)


async def test_a_profile_is_stored_under_a_key_of_the_attempt(case: Case) -> None:
    (case.scratch / ".profile").write_bytes(b"a profile")

    key = await case.key_after()

    assert key == f"jobs/{case.job.id}/2/profile"
    assert await case.storage.get(key) == b"a profile"


async def test_a_profile_that_nobody_asked_for_is_not_stored(case: Case) -> None:
    (case.scratch / ".profile").write_bytes(b"a profile")

    assert await case.key_after(is_profiled=False) is None
    assert await case.stored() == []


@pytest.mark.parametrize("local_name", ["missing", "../outside", "link", "large"])
async def test_what_is_no_profile_is_left_alone_and_fails_nothing(case: Case, local_name: str) -> None:
    (case.scratch.parent / "outside").write_bytes(b"a secret")
    (case.scratch / "link").symlink_to(case.scratch.parent / "outside")
    (case.scratch / "large").write_bytes(bytes(MAX_BYTES + 1))

    assert await case.key_after(local_name) is None
    assert await case.stored() == []


async def test_an_attempt_fails_not_for_storage_that_is_away(case: Case) -> None:
    (case.scratch / ".profile").write_bytes(b"a profile")
    case.files._storage = open_storage("file:/proc/nowhere")

    assert await case.key_after() is None
