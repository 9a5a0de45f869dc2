"""One slot's work: what a worker takes, and what it believes of its child."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from app.core.resources import Resources
from tests.support import jobs, rows
from worker.children import messages
from worker.children.child_handle import Child
from worker.children.errors import ChildProtocolError, KillReason
from worker.children.inbox import Inbox
from worker.children.pool import ChildPool
from worker.engines.engine import CountDue
from worker.files import Files
from worker.lease import Lease
from worker.reports import Reports
from worker.run_next import Runner
from worker.running_attempt import RunningAttempt


async def test_a_worker_that_drains_takes_nothing_more(resources: Resources, runner: Runner) -> None:
    job_id = await jobs.create(resources.database)
    runner.drain()

    async with asyncio.timeout(30):
        assert await runner.run_next("default") is False
    assert (await rows.job(resources.database, job_id))["attempt"] == 0


class NoChild(ChildPool):
    """An engine whose hosts do not start."""

    @asynccontextmanager
    async def slot(self, due: CountDue) -> AsyncIterator[bool]:
        self.due = await due(10)
        yield False


async def test_without_a_child_no_job_is_claimed(resources: Resources, runner: Runner) -> None:
    engine = NoChild(slots=1, memory_limit_bytes=2**30, max_jobs_per_child=1)
    runner._engine = engine
    job_id = await jobs.create(resources.database)
    await jobs.create(resources.database, queue="elsewhere")

    assert await runner.run_next("default") is False
    assert engine.due == 1
    assert (await rows.job(resources.database, job_id))["attempt"] == 0


async def test_two_attempts_at_one_job_on_one_worker_are_kept_apart(
    resources: Resources, lease: Lease, runner: Runner
) -> None:
    """A frozen worker that wakes up may claim a job again before it learns that it had lost it."""
    await jobs.create(resources.database)
    first = await jobs.claim(resources.database, lease.worker.id)
    await jobs.release(resources.database, first)
    second = await jobs.claim(resources.database, lease.worker.id)
    child = Child(0, Inbox(), lambda _pid: None)

    with runner._watch(RunningAttempt(second, child)):
        with runner._watch(RunningAttempt(first, Child(0, Inbox(), lambda _pid: None))):
            pass
        runner.release_all()

    assert child.kill_reason is KillReason.RELEASED


async def test_a_child_that_leaves_a_batch_out_is_not_believed(resources: Resources, files: Files) -> None:
    job = await jobs.running(resources.database)
    second = messages.Batch(index=1, first_row=10, row_count=1, output=b"1\n", step="", seconds=0.0)

    with pytest.raises(ChildProtocolError):
        await Reports(files).report(job, 0, [second], None)
