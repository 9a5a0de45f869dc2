"""One slot's work: what a worker takes, and what it believes of its child."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from app.core.resources import Resources
from app.jobs.kinds import registry
from tests.support import jobs, rows
from worker.children import messages
from worker.children.child_handle import Child
from worker.children.errors import ChildProtocolError, KillReason
from worker.children.inbox import Inbox
from worker.children.pool import ChildPool
from worker.children.tenancy import Tenancy
from worker.engines.engine import CountDue
from worker.files import Files
from worker.lease import Lease
from worker.reports import Reports
from worker.run_next import Runner
from worker.running_attempt import RunningAttempt

NO_PROCESS = 2**22 + 1
"""No process has a greater id than 2**22."""


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


class LastWords(ChildPool):
    """An engine whose child has written garbage and exited, which is known once it is to be killed."""

    @asynccontextmanager
    async def take(self, tenancy: Tenancy) -> AsyncIterator[Child]:
        inbox = Inbox()
        ours, theirs = socket.socketpair()
        await asyncio.get_running_loop().create_connection(lambda: inbox, sock=ours)

        def report_exit(_pid: int) -> None:
            asyncio.get_running_loop().call_soon(child.set_exited, 3, 0.25, 2**20)

        child = Child(NO_PROCESS, inbox, report_exit)
        child.bind(tenancy, {})
        with theirs:
            theirs.sendall(b"garbage" * 100)
            yield child


async def test_what_a_child_has_used_is_recorded_though_it_exited_with_garbage(
    resources: Resources, runner: Runner
) -> None:
    runner._kinds = registry.BUILT_IN
    runner._engine = LastWords(slots=1, memory_limit_bytes=2**30, max_jobs_per_child=1)
    job_id = await jobs.create(resources.database)

    assert await runner.run_next("default") is True

    assert (await rows.job(resources.database, job_id))["error"]["code"] == "child_protocol_error"
    used = "SELECT cpu_seconds > 0 AND memory_peak_bytes = 1048576 FROM job_attempts"
    assert await rows.value(resources.database, used)


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
