"""The real SQL against a model of a job's life, driven by Hypothesis through whatever order it likes.

Three workers claim jobs of three owners, commit, fail, forget their leases and write again with attempts that
are long over; jobs are cancelled and tried again meanwhile. Some have shards, and are rolled up at any time.
After each step the database has to equal the model, and every invariant has to hold.
"""

import asyncio
import copy
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import ClassVar
from uuid import UUID

import asyncpg
import hypothesis.strategies as st
import msgspec
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from app.core import database as doors
from app.core import ids
from app.core.config import ClaimOrder
from app.jobs import transitions
from app.jobs.shards import transitions as shards
from app.jobs.shards.plan import ShardPlan
from app.jobs.states import HEAD_START, Priority, Status
from app.jobs.transition_types import Batch, ClaimedJob, NewJob, Report, TransitionResult
from app.jobs.unit_of_work import UnitOfWork
from app.jobs.workers import commands as workers
from app.jobs.workers.commands import WorkerIdentity
from tests.machine import model
from tests.machine.database import OneConnection
from tests.machine.model import Model, NotWhole
from tests.support import invariants, jobs
from tests.support.waiting import until

TICK = 0.5
LEASE = 2 * TICK
DELAYS = [0.0, 2 * TICK, 4 * TICK]
KNOWN, UNKNOWN = "batch_predict", "from_the_future"
MAX_JOBS = 6
EXAMPLES, STEPS = 20, 40

ticks = st.integers(0, 3).map(lambda count: count * TICK)
any_worker = st.integers(0, 2)
any_owner = st.integers(0, 2)
any_job = st.integers(0, MAX_JOBS - 1)
any_attempt = st.sampled_from([0, 0, 0, 1, 1, 2, 3, 5, 8])
"""Counted from the youngest: that one may well be alive, the others hardly."""
slips = st.sampled_from([0] * 8 + [-1, 1])
"""Mostly the right number, sometimes one beside it."""


class Machine(RuleBasedStateMachine):
    runner: ClassVar[asyncio.Runner]
    database: ClassVar[OneConnection]
    order: ClassVar[ClaimOrder]

    def __init__(self) -> None:
        super().__init__()
        self.model = Model(LEASE)
        self.workers = [
            WorkerIdentity(ids.new_id(), f"virtual-{number}", "here", number, ("default",), (KNOWN,), 1)
            for number in range(3)
        ]
        # Every attempt there ever was, as its worker remembers it: most of them are over.
        self.claims: list[tuple[UUID, ClaimedJob]] = []
        self.owners: list[UUID] = []

    @initialize()
    def start_empty(self) -> None:
        async def start() -> None:
            await self.database.empty()
            self.owners = [await jobs.user(self.database) for _ in range(3)]
            for worker in self.workers:
                await self._beat(self.database.only, worker)

        self.runner.run(start())
        # What happens to running jobs is what matters most, so there are some from the start.
        for total in (5, 25):
            self._create(total, max_attempts=2)
        self._claim_next(self.workers[0].id, "default", limit=2)

    # What happens to jobs from outside

    @precondition(lambda self: len(self.model.jobs) < MAX_JOBS)
    @rule(
        total=st.integers(1, 35),
        max_attempts=st.integers(1, 3),
        delay=ticks,
        priority=st.sampled_from(Priority),
        queue=st.sampled_from([*["default"] * 5, "gpu"]),
        kind=st.sampled_from([*[KNOWN] * 5, UNKNOWN]),
        owner=any_owner,
    )
    def create(
        self,
        total: int,
        max_attempts: int,
        delay: float,
        priority: Priority,
        queue: str,
        kind: str,
        owner: int,
    ) -> None:
        self._create(total, max_attempts, delay, priority, queue, kind, owner)

    def _create(
        self,
        total: int,
        max_attempts: int,
        delay: float = 0.0,
        priority: Priority = Priority.NORMAL,
        queue: str = "default",
        kind: str = KNOWN,
        owner: int = 0,
    ) -> None:
        head_start = HEAD_START[priority]
        new = self._new_job(total, max_attempts, delay, priority, queue, kind, owner)
        due = self.model.now + delay

        async def create(connection: asyncpg.Connection) -> None:
            transition = await transitions.create(UnitOfWork(connection), new)
            job = model.Job(
                id=new.id,
                kind=kind,
                queue=queue,
                head_start=head_start.total_seconds(),
                total=total,
                max_attempts=max_attempts,
                run_at=due,
                sort_key=due - head_start.total_seconds(),
                owner_id=self.owners[owner],
            )
            self.model.jobs[new.id] = job
            self._check_answer(transition, job, events=1)

        self._step(create)

    def _new_job(
        self,
        total: int,
        max_attempts: int,
        delay: float,
        priority: Priority,
        queue: str,
        kind: str,
        owner: int,
    ) -> NewJob:
        return NewJob(
            id=ids.new_id(),
            owner_id=self.owners[owner],
            kind=kind,
            queue=queue,
            priority=priority,
            head_start=HEAD_START[priority],
            params=msgspec.json.encode(jobs.PARAMS),
            rows=b"[]",
            total=total,
            metadata={},
            max_attempts=max_attempts,
            soft_limit_seconds=60,
            time_limit_seconds=60,
            retention_seconds=3600,
            delay=timedelta(seconds=delay),
        )

    @precondition(lambda self: len(self.model.jobs) < MAX_JOBS)
    @rule(
        rows=st.sampled_from([10, 20]),
        last=st.integers(1, 10),
        parts=st.integers(2, 3),
        max_failed=st.integers(0, 1),
        max_attempts=st.integers(1, 2),
        delay=st.sampled_from([0.0, 0.0, TICK]),
        priority=st.sampled_from([Priority.LOW, Priority.NORMAL]),
        owner=any_owner,
    )
    def create_with_shards(
        self,
        rows: int,
        last: int,
        parts: int,
        max_failed: int,
        max_attempts: int,
        delay: float,
        priority: Priority,
        owner: int,
    ) -> None:
        head_start = HEAD_START[priority].total_seconds()
        total = rows * (parts - 1) + last
        due = self.model.now + delay
        new = self._new_job(total, max_attempts, delay, priority, "default", KNOWN, owner)
        new = msgspec.structs.replace(new, rows=None, shards=ShardPlan(parts, rows, max_failed))

        def a_job(job_id: UUID, rows: int, sort_key: float) -> model.Job:
            return model.Job(
                id=job_id,
                kind=KNOWN,
                queue="default",
                head_start=head_start,
                total=rows,
                max_attempts=max_attempts,
                run_at=due,
                sort_key=sort_key,
                owner_id=self.owners[owner],
                max_failed=max_failed,
            )

        async def create(connection: asyncpg.Connection) -> None:
            transition = await transitions.create(UnitOfWork(connection), new)
            parent = a_job(new.id, total, due - head_start)
            self.model.jobs[new.id] = parent
            self._check_answer(transition, parent, events=1)
            query = "SELECT id, first_row, total FROM jobs WHERE parent_id = $1 ORDER BY shard_no"
            found = await self.database.read(query, new.id)
            expected = [(place * rows, min(rows, total - place * rows)) for place in range(parts)]
            assert [(row["first_row"], row["total"]) for row in found] == expected
            for place, row in enumerate(found):
                shard = a_job(row["id"], row["total"], parent.place_of_shard(place))
                shard.first_row = row["first_row"]
                parent.shards.append(shard)
                self.model.jobs[shard.id] = shard

        self._step(create)

    @precondition(lambda self: any(job.is_parent for job in self.model.jobs.values()))
    @rule(which=any_job)
    def roll_up(self, which: int) -> None:
        parents = [job for job in self.model.jobs.values() if job.is_parent]
        parent = parents[which % len(parents)]

        async def roll_up(connection: asyncpg.Connection) -> None:
            unit = UnitOfWork(connection)
            assert (await shards.lock(unit, parent.id) is not None) is parent.is_live
            if parent.is_live:
                told = len(parent.events)
                parent.roll_up(now=self.model.now)
                await shards.roll_up(unit, [parent.id])
                written = [event for one in unit.results if one.job_id == parent.id for event in one.events]
                assert [event.seq for event in written] == list(range(told + 1, len(parent.events) + 1))

        self._step(roll_up)

    @precondition(lambda self: self._is_any(Status.RUNNING))
    @rule(which=any_job)
    def cancel(self, which: int) -> None:
        job = self._job(which)

        async def cancel(connection: asyncpg.Connection) -> None:
            transition = await transitions.cancel(UnitOfWork(connection), job_id=job.id)
            self._check_answer(transition, job, events=int(job.cancel()))

        self._step(cancel)

    @precondition(lambda self: self._is_any(Status.FAILED, Status.CANCELLED))
    @rule(which=any_job, from_start=st.booleans())
    def retry(self, which: int, from_start: bool) -> None:
        job = self._job(which)

        async def retry(connection: asyncpg.Connection) -> None:
            transition = await transitions.retry(
                UnitOfWork(connection),
                job_id=job.id,
                from_start=from_start,
                head_start=timedelta(seconds=job.head_start),
            )
            changed = job.retry(from_start=from_start, now=self.model.now)
            self._check_answer(transition, job, events=int(changed))

        self._step(retry)

    @rule(steps=st.integers(1, 4))
    def time_passes(self, steps: int) -> None:
        self.model.now += steps * TICK

    # What workers do

    @rule(which=any_worker)
    def renew_the_lease(self, which: int) -> None:
        worker = self.workers[which]

        async def renew(connection: asyncpg.Connection) -> None:
            answer = await self._beat(connection, worker)
            assert answer == {
                (job.id, job.attempt, job.is_cancel_requested) for job in self.model.held_by(worker.id)
            }

        self._step(renew)

    @precondition(lambda self: self.model.busy_workers() and not self.model.abandoned())
    @rule()
    def fall_silent(self) -> None:
        """A worker that runs something was last seen a lease ago."""
        self.model.seen_at[self.model.busy_workers()[0]] = self.model.now - LEASE

    @rule(which=any_worker)
    def sign_off(self, which: int) -> None:
        worker = self.workers[which]

        async def remove(connection: asyncpg.Connection) -> None:
            await workers.remove(connection, worker.id)
            self.model.seen_at.pop(worker.id, None)

        self._step(remove)

    @precondition(lambda self: self.model.may_claim)
    @rule(which=any_worker, limit=st.integers(1, 3), queue=st.sampled_from([*["default"] * 4, "gpu"]))
    def claim(self, which: int, limit: int, queue: str) -> None:
        self._claim_next(self.workers[which].id, queue, limit)

    def _claim_next(self, worker_id: UUID, queue: str, limit: int) -> None:
        async def claim(connection: asyncpg.Connection) -> None:
            expected = self.model.next_to_claim(queue, [KNOWN], limit, self.order)
            unit = UnitOfWork(connection)
            answer = await transitions.claim(
                unit, queue=queue, kinds=[KNOWN], worker_id=worker_id, limit=limit, order=self.order
            )
            assert [job.id for job in answer] == [job.id for job in expected]
            events = {result.job_id: result.events for result in unit.results}
            for claimed, job in zip(answer, expected, strict=True):
                job.claim(worker_id, now=self.model.now)
                checkpoint = None if job.checkpoint is None else job.checkpoint[1]
                assert claimed.first_row == job.first_row
                assert (claimed.attempt, claimed.next_batch, claimed.done, claimed.checkpoint) == (
                    *(job.attempt, job.next_batch, job.done),
                    checkpoint,
                )
                assert [event.seq for event in events[claimed.id]] == [len(job.events)]
                self.claims.append((worker_id, claimed))

        self._step(claim)

    @precondition(lambda self: self.claims)
    @rule(
        chosen=st.lists(
            st.tuples(any_attempt, slips, slips, st.integers(0, 3), st.sampled_from(["more", "all", "end"])),
            min_size=1,
            max_size=3,
        ),
        checkpoint=st.sampled_from([None, b"so far"]),
    )
    def advance(self, chosen: list[tuple[int, int, int, int, str]], checkpoint: bytes | None) -> None:
        """Reports of one worker, in one statement: right, stale, and wrong by one."""
        worker_id = self._claim(chosen[0][0])[0]
        reports: dict[UUID, Report] = {}
        for number, attempt_slip, batch_slip, count, extent in chosen:
            holder, claimed = self._claim(number)
            if holder != worker_id or claimed.id in reports:
                continue
            job = self.model.jobs[claimed.id]
            first = max(0, job.next_batch + batch_slip)
            is_final = extent != "more"
            left = -(-job.total // jobs.BATCH_SIZE) - first
            count = max(0, left if extent == "all" else min(count, left))
            if count or is_final:
                reports[claimed.id] = Report(
                    claimed.id,
                    claimed.attempt + attempt_slip,
                    first,
                    _batches(job.total, first, count, job.first_row or 0),
                    checkpoint=checkpoint if count else None,
                    result=b'{"rows": "all"}' if is_final else None,
                )
        if reports:
            self._advance(worker_id, list(reports.values()))

    def _advance(self, worker_id: UUID, reports: list[Report]) -> None:
        async def advance(connection: asyncpg.Connection) -> None:
            if any(self._is_not_whole(report) for report in reports):
                # One that completes with rows missing is refused, and the whole statement with it.
                with pytest.raises(asyncpg.CheckViolationError):
                    async with connection.transaction():
                        await transitions.advance(
                            UnitOfWork(connection), worker_id=worker_id, reports=reports
                        )
                return
            answer = await transitions.advance(UnitOfWork(connection), worker_id=worker_id, reports=reports)
            for report in reports:
                job = self.model.jobs[report.job_id]
                told = len(job.events)
                job.advance(report, worker_id)
                self._check_answer(answer.get(job.id), job, events=len(job.events) - told)

        self._step(advance)

    def _is_not_whole(self, report: Report) -> bool:
        job = copy.deepcopy(self.model.jobs[report.job_id])
        try:
            job.advance(report, ids.new_id())
        except NotWhole:
            return True
        return False

    @precondition(lambda self: self.claims)
    @rule(which=any_attempt, slip=slips, is_retryable=st.booleans(), delay=ticks)
    def fail(self, which: int, slip: int, is_retryable: bool, delay: float) -> None:
        _, claimed = self._claim(which)
        job, attempt = self.model.jobs[claimed.id], claimed.attempt + slip

        async def fail(connection: asyncpg.Connection) -> None:
            transition = await transitions.fail(
                UnitOfWork(connection),
                job_id=job.id,
                attempt=attempt,
                error=jobs.ERROR,
                traceback=None,
                is_retryable=is_retryable,
                delay_seconds=delay,
            )
            changed = job.fail(
                attempt, code="boom", is_retryable=is_retryable, delay=delay, now=self.model.now
            )
            self._check_answer(transition, job, events=int(changed))

        self._step(fail)

    @precondition(lambda self: self.claims)
    @rule(which=any_attempt, slip=slips)
    def release(self, which: int, slip: int) -> None:
        _, claimed = self._claim(which)
        job, attempt = self.model.jobs[claimed.id], claimed.attempt + slip

        async def release(connection: asyncpg.Connection) -> None:
            transition = await transitions.release(UnitOfWork(connection), job_id=job.id, attempt=attempt)
            self._check_answer(transition, job, events=int(job.release(attempt, now=self.model.now)))

        self._step(release)

    @precondition(lambda self: self.claims)
    @rule(which=any_attempt, slip=slips)
    def stop(self, which: int, slip: int) -> None:
        _, claimed = self._claim(which)
        job, attempt = self.model.jobs[claimed.id], claimed.attempt + slip

        async def stop(connection: asyncpg.Connection) -> None:
            transition = await transitions.stop(UnitOfWork(connection), job_id=job.id, attempt=attempt)
            self._check_answer(transition, job, events=int(job.stop(attempt)))

        self._step(stop)

    # What the keeper does

    @precondition(lambda self: self._is_any(Status.RUNNING))
    @rule()
    def rescue(self) -> None:
        async def rescue(connection: asyncpg.Connection) -> None:
            abandoned = {job.id: job for job in self.model.abandoned()}
            answer = await transitions.rescue(
                UnitOfWork(connection), lease=timedelta(seconds=LEASE), delays_seconds=DELAYS, limit=100
            )
            assert {transition.job_id for transition in answer} == abandoned.keys()
            for transition in answer:
                job = abandoned[transition.job_id]
                job.rescue(delays=DELAYS, now=self.model.now)
                self._check_answer(transition, job, events=1)

        self._step(rescue)

    # How a step is made, and what is looked at after it

    def _step(self, act: Callable[[asyncpg.Connection], Awaitable[None]]) -> None:
        async def step() -> None:
            async with self.database.step(self.model) as connection:
                await act(connection)
                await self._check_database()
                await invariants.all_hold(self.database, predict=jobs.prediction)

        self.runner.run(step())

    async def _beat(
        self, connection: asyncpg.Connection, worker: WorkerIdentity
    ) -> set[tuple[UUID, int, bool]]:
        answer = await workers.renew(connection, worker)
        self.model.seen_at[worker.id] = self.model.now
        return {(job.id, job.attempt, job.is_cancel_requested) for job in answer}

    def _is_any(self, *statuses: Status) -> bool:
        return any(job.status in statuses for job in self.model.jobs.values())

    def _job(self, which: int) -> model.Job:
        return list(self.model.jobs.values())[which % len(self.model.jobs)]

    def _claim(self, which: int) -> tuple[UUID, ClaimedJob]:
        """One of the attempts there were, counted from the youngest."""
        return self.claims[-1 - which % len(self.claims)]

    def _check_answer(self, transition: TransitionResult | None, job: model.Job, *, events: int) -> None:
        """The answer says exactly what changed, and nothing if nothing did."""
        if not events:
            assert transition is None
            return
        assert transition is not None
        assert (transition.job_id, transition.status, transition.worker_id) == (
            job.id,
            job.status,
            job.worker_id,
        )
        assert transition.is_due == (job.run_at <= self.model.now)
        last_seq = len(job.events)
        assert [event.seq for event in transition.events] == list(range(last_seq - events + 1, last_seq + 1))
        assert [event.type for event in transition.events] == [event.type for event in job.events[-events:]]

    async def _check_database(self) -> None:
        await self._check_rows()
        expected_batches, expected_events, expected_ended, expected_checkpoints = [], [], [], []
        for job in sorted(self.model.jobs.values(), key=lambda job: job.id):
            expected_batches += [(job.id, *batch) for batch in job.batches]
            expected_events += [(job.id, seq, *event) for seq, event in enumerate(job.events, 1)]
            expected_ended += [(job.id, *ended) for ended in job.ended]
            expected_checkpoints += [] if job.checkpoint is None else [(job.id, *job.checkpoint)]
        assert expected_batches == await self._tuples(
            "SELECT job_id, index, first_row, row_count, attempt FROM job_batches ORDER BY 1, 2"
        )
        assert expected_events == await self._tuples(
            """SELECT job_id, seq, type, data->>'status', (data->>'attempt')::int, (data->>'done')::int
            FROM job_events ORDER BY 1, 2"""
        )
        assert expected_ended == await self._tuples(
            "SELECT job_id, attempt, worker_id, outcome FROM job_attempts ORDER BY 1, 2"
        )
        assert expected_checkpoints == await self._tuples(
            "SELECT job_id, next_batch, data FROM job_checkpoints ORDER BY 1"
        )

    async def _check_rows(self) -> None:
        expected = [
            (
                *(job.id, job.status, job.attempt, job.failures, job.next_batch, job.done, job.worker_id),
                *(job.is_cancel_requested, None if job.error is None else tuple(job.error)),
                len(job.events),
            )
            for job in sorted(self.model.jobs.values(), key=lambda job: job.id)
        ]
        found = await self.database.read("SELECT * FROM jobs ORDER BY id")
        assert expected == [
            (
                *(row["id"], row["status"], row["attempt"], row["failures"], row["next_batch"], row["done"]),
                *(row["worker_id"], row["cancel_requested_at"] is not None),
                None if row["error"] is None else (row["error"]["code"], row["error"]["attempt"]),
                row["last_seq"],
            )
            for row in found
        ]
        assert await self.database.live_instants() == {
            job.id: (job.run_at - self.model.now, job.sort_key - self.model.now)
            for job in self.model.jobs.values()
            if job.is_live
        }

    async def _tuples(self, query: str) -> list[tuple[object, ...]]:
        return [tuple(row) for row in await self.database.read(query)]


def _batches(total: int, first: int, count: int, offset: int) -> tuple[Batch, ...]:
    made = []
    for index in range(first, first + count):
        first_row = index * jobs.BATCH_SIZE
        size = min(jobs.BATCH_SIZE, total - first_row)
        made.append(Batch(first_row, size, jobs.output(offset + first_row, size), f"Batch {index + 1}"))
    return tuple(made)


# Seconds if all is well; to make a failure small takes Hypothesis minutes.
@pytest.mark.timeout(400)
@pytest.mark.parametrize("order", ClaimOrder)
def test_the_transitions_do_what_the_model_does_in_any_order(database_url: str, order: ClaimOrder) -> None:
    with asyncio.Runner() as runner:
        connection = runner.run(doors.connect(database_url, command_timeout=10))
        try:
            runner.run(_until_up_for_longer_than_a_lease(connection))
            runner.run(OneConnection(connection).prepare())
            Machine.runner, Machine.database, Machine.order = runner, OneConnection(connection), order
            run_state_machine_as_test(
                Machine,
                settings=settings(
                    max_examples=EXAMPLES,
                    stateful_step_count=STEPS,
                    print_blob=True,
                    suppress_health_check=list(HealthCheck),
                ),
            )
        finally:
            runner.run(connection.close())


async def _until_up_for_longer_than_a_lease(connection: asyncpg.Connection) -> None:
    """Before that nobody is rescued from, whatever the rows say."""
    query = "SELECT now() > pg_postmaster_start_time() + $1::interval"
    await until(lambda: connection.fetchval(query, timedelta(seconds=LEASE)))
