"""Each job is counted once when it is created and once when it ends, wherever that happens."""

import itertools
from collections.abc import Awaitable, Callable
from contextlib import suppress

import httpx
import pytest
from prometheus_client import REGISTRY

from app.core import ids, metrics
from app.core.database import Database
from app.core.metrics import MAX_QUEUES, QueueLabels
from app.core.resources import Resources
from app.jobs import transitions
from app.jobs.counting import MAX_PAIRS, JobSeries
from app.jobs.kinds import registry
from app.jobs.transition_types import ClaimedJob
from app.jobs.unit_of_work import UnitOfWork, unit_of_work
from app.maintenance.rescue import Rescue
from tests.support import jobs, rows
from tests.support.accounts import Account
from tests.support.clocks import Clock

Counts = dict[tuple[str, ...], float]

PREDICT = ("batch_predict", "default")


@pytest.fixture(autouse=True)
def series() -> JobSeries:
    """The series of an API, as every process creates them."""
    return JobSeries(registry.BUILT_IN)


def counts(name: str) -> Counts:
    """The values of a counter by its labels."""
    return {
        tuple(sample.labels.values()): sample.value
        for family in REGISTRY.collect()
        if family.name == name
        for sample in family.samples
        if sample.name == f"{name}_total"
    }


class Counted:
    """What a counter has counted since this was made."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._before = counts(name)

    @property
    def now(self) -> Counts:
        changed = {
            labels: value - self._before.get(labels, 0) for labels, value in counts(self._name).items()
        }
        return {labels: value for labels, value in changed.items() if value}


@pytest.fixture
def created() -> Counted:
    return Counted("headrace_jobs_created")


@pytest.fixture
def ended() -> Counted:
    return Counted("headrace_jobs_ended")


@pytest.fixture
def attempts() -> Counted:
    return Counted("headrace_attempts")


# Created


async def test_a_submitted_job_is_counted_once_however_often_it_is_sent(
    client: httpx.AsyncClient, alice: Account, created: Counted
) -> None:
    headers = {**alice.headers, "Idempotency-Key": "once"}

    for _ in range(3):
        answer = await client.post("/jobs/batch-predict", json=["x"], headers=headers)
        assert answer.status_code in (200, 202)

    assert created.now == {PREDICT: 1}


async def test_each_job_of_a_bulk_is_counted(
    client: httpx.AsyncClient, alice: Account, created: Counted
) -> None:
    body = {"jobs": [{"kind": "batch_predict", "texts": ["x"]} for _ in range(3)]}

    answer = await client.post("/jobs/bulk", json=body, headers=alice.headers)

    assert answer.status_code == 202, answer.text
    assert created.now == {PREDICT: 3}


async def test_a_refused_job_is_not_counted(
    client: httpx.AsyncClient, alice: Account, created: Counted
) -> None:
    assert (await client.post("/jobs/batch-predict", json={}, headers=alice.headers)).status_code == 422

    assert created.now == {}


async def test_a_thousand_queues_named_by_users_are_one_series(
    client: httpx.AsyncClient, alice: Account, created: Counted
) -> None:
    before = set(counts("headrace_jobs_created"))
    body = {
        "jobs": [
            {"kind": "batch_predict", "texts": ["x"], "queue": f"named-{number}"} for number in range(1000)
        ]
    }

    answer = await client.post("/jobs/bulk", json=body, headers=alice.headers)

    assert answer.status_code == 202, answer.text
    assert created.now == {("batch_predict", "other"): 1000}
    assert set(counts("headrace_jobs_created")) == before


# Ended


async def test_a_job_that_is_cancelled_while_it_waits_has_ended(
    client: httpx.AsyncClient, alice: Account, store: Database, ended: Counted, attempts: Counted
) -> None:
    job_id = await jobs.create(store, alice.id)

    for _ in range(2):
        await client.delete(f"/jobs/{job_id}", headers=alice.headers)

    assert (await rows.job(store, job_id))["status"] == "cancelled"
    assert ended.now == {(*PREDICT, "cancelled", "none"): 1}
    assert attempts.now == {}


async def test_a_cancellation_that_is_only_requested_ends_nothing(
    client: httpx.AsyncClient, alice: Account, store: Database, ended: Counted
) -> None:
    job = await jobs.running(store, alice.id)

    await client.delete(f"/jobs/{job.id}", headers=alice.headers)

    assert (await rows.job(store, job.id))["status"] == "running"
    assert ended.now == {}


async def rescue(resources: Resources) -> None:
    """One round of the duty, in a process that has been in touch with Postgres for long."""
    clock = Clock(0.0)
    duty = Rescue(resources.settings, resources.hints)
    duty.contact.clock = clock
    for _ in range(20):
        clock.now += resources.settings.lease_seconds / 4
        duty.contact.touch()
    async with resources.database.transaction() as connection:
        publish = await duty(connection)
    assert publish is not None
    publish()


async def lose(resources: Resources, *, max_attempts: int, is_cancelled: bool = False) -> ClaimedJob:
    """A job that runs on a worker that is gone."""
    database = resources.database
    await jobs.create(database, max_attempts=max_attempts)
    job = await jobs.claim(database)
    if is_cancelled:
        await jobs.cancel(database, job.id)
    worker_id = (await rows.job(database, job.id))["worker_id"]
    await jobs.expire_lease(database, worker_id)
    return job


async def test_a_job_that_fails_in_a_rescue_has_ended_by_a_fault_of_the_system(
    resources: Resources, ended: Counted, attempts: Counted
) -> None:
    await lose(resources, max_attempts=1)

    await rescue(resources)

    assert ended.now == {(*PREDICT, "failed", "system"): 1}
    assert attempts.now == {("batch_predict", "rescued", "system"): 1}


async def test_a_job_that_a_rescue_returns_to_its_queue_has_not_ended(
    resources: Resources, ended: Counted, attempts: Counted
) -> None:
    await lose(resources, max_attempts=2)

    await rescue(resources)
    await rescue(resources)

    assert ended.now == {}
    assert attempts.now == {("batch_predict", "rescued", "system"): 1}


async def test_a_cancelled_job_of_a_lost_worker_ends_without_a_fault(
    resources: Resources, ended: Counted, attempts: Counted
) -> None:
    await lose(resources, max_attempts=1, is_cancelled=True)

    await rescue(resources)

    assert ended.now == {(*PREDICT, "cancelled", "none"): 1}
    assert attempts.now == {("batch_predict", "cancelled", "none"): 1}


End = Callable[[UnitOfWork, ClaimedJob], Awaitable[object]]


def failing(code: str, *, is_retryable: bool = False) -> End:
    error = {"code": code, "message": "It went wrong.", "retryable": is_retryable}

    async def fail(unit: UnitOfWork, job: ClaimedJob) -> object:
        return await transitions.fail(
            unit,
            job_id=job.id,
            attempt=job.attempt,
            error=error,
            traceback=None,
            is_retryable=is_retryable,
            delay_seconds=0.0,
        )

    return fail


async def complete(unit: UnitOfWork, job: ClaimedJob) -> object:
    report = jobs.report(job, count=3, is_final=True)
    return await transitions.advance(unit, worker_id=ids.new_id(), reports=[report])


async def commit(unit: UnitOfWork, job: ClaimedJob) -> object:
    return await transitions.advance(unit, worker_id=ids.new_id(), reports=[jobs.report(job)])


async def release(unit: UnitOfWork, job: ClaimedJob) -> object:
    return await transitions.release(unit, job_id=job.id, attempt=job.attempt)


@pytest.mark.parametrize(
    ("end", "counted"),
    [
        (complete, {("completed", "none"): 1}),
        (failing("bad_input"), {("failed", "user"): 1}),
        (failing("of_a_plugin"), {("failed", "user"): 1}),
        (failing("storage_unavailable"), {("failed", "system"): 1}),
        (failing("storage_unavailable", is_retryable=True), {}),
        (commit, {}),
        (release, {}),
    ],
)
async def test_a_job_ends_with_its_status_and_the_fault(
    resources: Resources, ended: Counted, end: End, counted: Counts
) -> None:
    job = await jobs.running(resources.database)

    for _ in range(2):  # the second time, the attempt is over
        async with unit_of_work(resources.hints, resources.database.connection()) as unit:
            await end(unit, job)

    assert ended.now == {(*PREDICT, *labels): value for labels, value in counted.items()}


async def test_a_worker_that_has_lost_the_job_ends_nothing(resources: Resources, ended: Counted) -> None:
    lost = await jobs.running(resources.database)
    await jobs.release(resources.database, lost)
    await jobs.claim(resources.database)

    async with unit_of_work(resources.hints, resources.database.connection()) as unit:
        await complete(unit, lost)

    assert ended.now == {}


class Boom(Exception):
    """Raised in the middle."""


async def test_what_is_rolled_back_is_not_counted(resources: Resources, ended: Counted) -> None:
    job_id = await jobs.create(resources.database)

    with suppress(Boom):
        async with unit_of_work(resources.hints, resources.database.transaction()) as unit:
            assert await transitions.cancel(unit, job_id=job_id) is not None
            raise Boom

    assert ended.now == {}


# Series

_NUMBERS = itertools.count()


def names_of(labels: QueueLabels, queues: tuple[str, ...] = ()) -> set[tuple[str, ...]]:
    """The series of ended jobs that a process creates at its start, for a kind of its own."""
    kind = f"of_this_test_{next(_NUMBERS)}"  # the registry is that of the process
    JobSeries({kind: registry.BUILT_IN["batch_predict"]}, queues, labels)
    return {found[1:] for found in counts("headrace_jobs_ended") if found[0] == kind}


def test_every_end_has_a_series_before_it_happens() -> None:
    in_any_process = {("cancelled", "none"), ("failed", "system")}
    in_a_worker = in_any_process | {("completed", "none"), ("failed", "user")}

    assert names_of(QueueLabels()) == {
        (queue, *end) for queue in ("default", "other") for end in in_any_process
    }
    assert names_of(QueueLabels(), ("gpu",)) == {
        (queue, *end) for queue in ("default", "gpu", "other") for end in in_a_worker
    }


def test_a_worker_labels_its_own_queues_first() -> None:
    labels = QueueLabels()
    JobSeries(registry.BUILT_IN, [f"own-{number}" for number in range(MAX_QUEUES)], labels)

    labelled = min(MAX_QUEUES, MAX_PAIRS // len(registry.BUILT_IN))
    assert set(labels.names) == {f"own-{number}" for number in range(labelled)}


def test_with_many_kinds_fewer_queues_have_series() -> None:
    labels = QueueLabels()
    kinds = {f"kind-{number}": registry.BUILT_IN["batch_predict"] for number in range(50)}
    series = JobSeries(kinds, labels=labels)
    series.admit([f"served-{number}" for number in range(40)])

    assert len(labels.names) * len(kinds) <= MAX_PAIRS


def test_the_waits_in_its_queues_are_counted_from_the_start() -> None:
    JobSeries(registry.BUILT_IN, ["own-7"], QueueLabels())

    assert ("own-7",) in {
        tuple(sample.labels.values())
        for sample in next(iter(metrics.WAIT_SECONDS.collect())).samples
        if sample.name.endswith("_count")
    }
