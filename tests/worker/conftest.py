"""The components of a worker, on real servers."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from app.core import background, ids
from app.core.resources import Resources
from app.jobs.workers.commands import WorkerIdentity
from tests.support import jobs
from worker.children.pool import ChildPool
from worker.claimer import Claimer
from worker.files import Files
from worker.handler_log import HandlerLogs
from worker.lease import Lease
from worker.report_writer import ReportWriter
from worker.run_next import Runner


@pytest.fixture
async def report_writer(resources: Resources) -> AsyncIterator[ReportWriter]:
    opened = ReportWriter(resources.database, resources.hints, ids.new_id())
    async with background.running(opened.write_forever()):
        yield opened


@pytest.fixture
async def files(resources: Resources, tmp_path: Path) -> AsyncIterator[Files]:
    async with Files(resources.storage, tmp_path, 2**30) as opened:
        yield opened


@pytest.fixture
async def lease(resources: Resources, report_writer: ReportWriter) -> AsyncIterator[Lease]:
    """The lease of a registered worker. Each `register` renews it."""
    worker = WorkerIdentity(ids.new_id(), "one", "here", 1, ("default",), (jobs.KIND,), 2)
    opened = Lease(worker, resources.settings.database_url, 30.0, report_writer, lease_seconds=90.0)
    await opened.register()
    yield opened
    opened._disconnect()


@pytest.fixture
def claimer(resources: Resources, lease: Lease) -> Claimer:
    """A claimer for the worker of the lease."""
    return Claimer(resources.database, resources.hints, lease.worker.id, (jobs.KIND,))


@pytest.fixture
def runner(
    resources: Resources, claimer: Claimer, report_writer: ReportWriter, lease: Lease, files: Files
) -> Runner:
    """A runner whose pool has not started any child."""
    children = ChildPool(slots=2, memory_limit_bytes=2**30, max_jobs_per_child=1)
    return Runner(
        resources.settings,
        {},
        claimer,
        report_writer,
        lease,
        children,
        files,
        HandlerLogs(resources.database),
    )
