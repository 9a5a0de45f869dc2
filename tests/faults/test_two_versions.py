"""The worker of another version beside the current one, on the current schema, as during a rollout."""

import os
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import httpx
import psutil
import pytest

from app.core.database import Database
from tests.faults.conftest import System
from tests.faults.support import (
    EXIT_SECONDS,
    outcomes,
    recomputed_batches,
    submit,
    until_batches,
    wait_until_all_ended,
)
from tests.support import invariants, rows
from tests.support.processes import ROOT
from tests.support.waiting import until

OTHER_VERSION = "OTHER_VERSION"
"""Names another commit than the newest tag, for a rollout from that one."""


def git(*arguments: str) -> str:
    """Run git in this tree and return its output."""
    done = subprocess.run(["git", "-C", ROOT, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture(autouse=True)
def repository() -> None:
    """Skip where this tree is no git repository, as in an unpacked archive."""
    done = subprocess.run(["git", "-C", ROOT, "rev-parse"], capture_output=True, check=False)
    if done.returncode != 0:
        pytest.skip("this is no git repository")


def newest_release() -> str:
    """Return OTHER_VERSION, or else the newest tag of a version. Skips if there is neither."""
    if given := os.environ.get(OTHER_VERSION):
        return given
    tags = git("tag", "--list", "v[0-9]*", "[0-9]*", "--sort=-version:refname").splitlines()
    if not tags:
        pytest.skip(f"there is no tag of a release yet; {OTHER_VERSION}=COMMIT runs it with a commit")
    return tags[0]


@contextmanager
def worktree(commit: str) -> Iterator[Path]:
    """Check out a commit beside this tree during the body."""
    with tempfile.TemporaryDirectory(prefix="headrace-version-") as folder:
        tree = Path(folder) / "tree"
        git("worktree", "add", "--quiet", "--detach", str(tree), commit)
        try:
            yield tree
        finally:
            git("worktree", "remove", "--force", str(tree))


async def test_the_worker_of_the_newest_release_works_beside_the_current_one(
    system: System, ada: httpx.AsyncClient, database: Database
) -> None:
    with worktree(newest_release()) as tree:
        await both_versions_run_jobs_and_hand_them_over(system, ada, database, tree)


async def test_the_worker_of_another_tree_works_beside_the_current_one(
    system: System, ada: httpx.AsyncClient, database: Database
) -> None:
    """The same with this commit, so that the test itself is tested before there is a release."""
    with worktree("HEAD") as tree:
        await both_versions_run_jobs_and_hand_them_over(system, ada, database, tree)


async def both_versions_run_jobs_and_hand_them_over(
    system: System, ada: httpx.AsyncClient, database: Database, tree: Path
) -> None:
    """Run jobs on both versions at once, then hand a job over in each direction."""
    other_version = replace(system, root=tree)
    job_ids: list[UUID] = []
    handed_over: list[UUID] = []

    async def both_have_run_jobs() -> bool:
        """Submit until both have: which of them claims a job is a race."""
        submitted = [await submit(ada, batches=3, work_ms=20) for _ in range(8)]
        submitted.append(await submit(ada, "batch_predict", texts=["good", "bad"]))
        await wait_until_all_ended(database, submitted)
        job_ids.extend(submitted)
        found = await rows.fetch(
            database,
            "SELECT DISTINCT w.name FROM job_attempts a JOIN workers w ON w.id = a.worker_id"
            " WHERE a.job_id = ANY ($1)",
            job_ids,
        )
        return {row["name"] for row in found} == {"other", "current"}

    async with (
        other_version.worker("other", WORKER_QUEUES="default,a", DRAIN_SECONDS="60") as other,
        system.worker("current", WORKER_QUEUES="default,b", DRAIN_SECONDS="60") as current,
    ):
        assert psutil.Process(other.pid).cwd() == str(tree.resolve())
        await until(both_have_run_jobs)
        for queue, process in (("a", other), ("b", current)):
            job_id = await submit(ada, batches=300, work_ms=40, queue=queue, counter_path=str(system.counter))
            handed_over.append(job_id)
            await until_batches(database, job_id, 3)
            process.send(signal.SIGTERM)
            assert await process.wait(EXIT_SECONDS) == 0, process.log
    async with (
        system.worker("current-again", WORKER_QUEUES="a"),
        other_version.worker("other-again", WORKER_QUEUES="b"),
    ):
        await wait_until_all_ended(database, handed_over)

    for job_id in handed_over:
        assert await outcomes(database, job_id) == ["released", "completed"]
    assert recomputed_batches(system.counter) == 0
    job_ids.extend(handed_over)
    for job_id in job_ids:
        job = await rows.job(database, job_id)
        assert (job["status"], job["failures"]) == ("completed", 0), dict(job)
    await invariants.no_loss(database, job_ids)
    await invariants.all_hold(database)
