"""Hosts start while jobs wait for them, end when they have been idle, and are replaced when they are lost."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from prometheus_client import REGISTRY

from app.jobs.workers.states import EngineState
from tests.conformance.engines import OPTIONS
from tests.worker.children import attempts
from worker.children.child_handle import Child
from worker.children.errors import ChildStartFailed, KillReason
from worker.children.tenancy import Tenancy
from worker.engines.engine import HostStartFailed
from worker.engines.loopback import ADDRESS, LoopbackStarter
from worker.engines.ray.engine import HostState, RemoteEngine

SECONDS = 60.0


class Due:
    """How many jobs are due, and how often that was asked."""

    def __init__(self, jobs: int) -> None:
        self.jobs = jobs

    async def __call__(self, limit: int) -> int:
        return min(self.jobs, limit)


class NoRoom(LoopbackStarter):
    """A cluster that has no room for a host until it gets some."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.waiting: list[int] = []
        self.has_room = asyncio.Event()

    async def start(self, number: int, address: str, secret: Callable[[], str]) -> None:
        self.waiting.append(number)
        await self.has_room.wait()
        await super().start(number, address, secret)


class Unreliable(LoopbackStarter):
    """A cluster that fails to start the first host."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.numbers: list[int] = []

    async def start(self, number: int, address: str, secret: Callable[[], str]) -> None:
        self.numbers.append(number)
        if len(self.numbers) == 1:
            raise HostStartFailed("no luck")
        await super().start(number, address, secret)


class Deadly(LoopbackStarter):
    """A cluster on which every host dies at once."""

    async def start(self, number: int, address: str, secret: Callable[[], str]) -> None:
        await super().start(number, address, secret)
        self.processes[number].kill()


class Away(LoopbackStarter):
    """A cluster that does not answer."""

    is_available = False


@asynccontextmanager
async def engine_with(
    starter: LoopbackStarter, slots: int = 2, *, idle_seconds: float = SECONDS, kill_seconds: float = SECONDS
) -> AsyncIterator[RemoteEngine]:
    async with RemoteEngine(
        OPTIONS,
        slots,
        starter,
        listen_on=ADDRESS,
        address=ADDRESS,
        port=0,
        idle_seconds=idle_seconds,
        cache_bytes=2**20,
        kill_seconds=kill_seconds,
    ) as engine:
        yield engine


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "hosts"


@asynccontextmanager
async def child_of(engine: RemoteEngine, due: Due) -> AsyncIterator[Child]:
    async with engine.slot(due) as is_reserved, engine.take(Tenancy(may_write=True)) as child:
        assert is_reserved
        assert child.place is not None
        child.confine({}, await child.place.create_folder(child.pid))
        yield child


async def run(engine: RemoteEngine) -> attempts.Attempt:
    async with child_of(engine, Due(1)) as child:
        return await attempts.run(child, attempts.start("add_one", [1]))


async def test_a_host_starts_when_a_job_is_due_and_ends_when_it_has_been_idle(folder: Path) -> None:
    starter = LoopbackStarter(folder)
    async with engine_with(starter, idle_seconds=0.5) as engine:
        assert starter.processes == {}
        assert engine.kinds is None

        assert (await run(engine)).outputs == [2]
        assert engine.kinds is not None
        assert "batch_predict" in engine.kinds
        [process] = starter.processes.values()
        await attempts.eventually(lambda: not starter.processes)

        assert process.returncode == 0  # by itself, when its connection closed
        assert (await run(engine)).outputs == [2]


async def test_a_slot_whose_job_another_worker_has_taken_gets_no_host(folder: Path) -> None:
    starter = LoopbackStarter(folder)
    async with engine_with(starter) as engine, asyncio.timeout(SECONDS):
        async with engine.slot(Due(0)) as is_reserved:
            assert not is_reserved

        assert starter.processes == {}


async def test_no_more_hosts_start_than_jobs_are_due(folder: Path) -> None:
    starter = NoRoom(folder)
    async with engine_with(starter, slots=5) as engine:
        due = Due(2)
        slots = [engine.slot(due) for _ in range(4)]
        waiting = [asyncio.create_task(slot.__aenter__()) for slot in slots]
        await attempts.eventually(lambda: len(starter.waiting) == 2)
        await attempts.eventually(lambda: sum(task.done() for task in waiting) == 2)
        assert [task.result() for task in waiting if task.done()] == [False, False]
        starter.has_room.set()
        done, _ = await asyncio.wait(waiting, timeout=SECONDS)

        assert sorted(task.result() for task in done) == [False, False, True, True]
        assert len(starter.waiting) == 2
        for slot in slots:
            await slot.__aexit__(None, None, None)


async def test_no_more_hosts_start_than_there_are_slots(folder: Path) -> None:
    starter = NoRoom(folder)
    async with engine_with(starter, slots=1) as engine:
        due = Due(3)
        slots = [engine.slot(due) for _ in range(3)]
        waiting = [asyncio.create_task(slot.__aenter__()) for slot in slots]
        starter.has_room.set()
        await asyncio.wait(waiting, timeout=SECONDS, return_when=asyncio.FIRST_COMPLETED)
        assert len(starter.waiting) == 1

        # The one host is reserved until its slot is left, and then serves the next one.
        for slot, task in zip(slots, waiting, strict=True):
            assert await asyncio.wait_for(task, SECONDS)
            await slot.__aexit__(None, None, None)
        assert len(starter.waiting) == 1


async def test_a_host_that_nobody_waits_for_any_more_is_given_up_before_it_has_started(folder: Path) -> None:
    starter = NoRoom(folder)
    async with engine_with(starter, idle_seconds=0.2) as engine:
        due = Due(1)
        slot = engine.slot(due)
        waiting = asyncio.create_task(slot.__aenter__())
        await attempts.eventually(lambda: engine.state is EngineState.WAITING and bool(starter.waiting))
        due.jobs = 0

        assert await waiting is False
        await slot.__aexit__(None, None, None)
        await attempts.eventually(lambda: not engine._hosts)
        assert engine.state is EngineState.READY


async def test_the_metric_counts_hosts_by_what_they_do(folder: Path) -> None:
    starter = NoRoom(folder)

    def hosts() -> dict[HostState, float | None]:
        counts = {
            state: REGISTRY.get_sample_value("headrace_engine_hosts", {"state": state}) for state in HostState
        }
        return {state: count for state, count in counts.items() if count}

    async with engine_with(starter) as engine:
        assert hosts() == {}
        working = asyncio.create_task(run(engine))
        await attempts.eventually(lambda: hosts() == {HostState.STARTING: 1})
        starter.has_room.set()
        assert (await working).outputs == [2]
        assert hosts() == {HostState.IDLE: 1}
        async with engine.slot(Due(1)) as is_reserved, engine.take(Tenancy(may_write=True)):
            assert is_reserved
            assert hosts() == {HostState.BUSY: 1}
    assert hosts() == {}


async def test_a_host_that_does_not_start_is_tried_again(folder: Path) -> None:
    starter = Unreliable(folder)
    async with engine_with(starter) as engine:
        assert (await run(engine)).outputs == [2]

    assert len(starter.numbers) == 2
    assert starter.numbers[0] != starter.numbers[1]


async def test_hosts_that_die_before_they_are_ready_are_started_with_a_backoff(folder: Path) -> None:
    async with engine_with(Deadly(folder)) as engine:
        slot = engine.slot(Due(1))
        waiting = asyncio.create_task(slot.__aenter__())
        await attempts.eventually(lambda: engine._failures == 2)
        assert engine._start_again_at > asyncio.get_running_loop().time()
        waiting.cancel()
        await asyncio.wait((waiting,))


async def test_while_nothing_can_start_hosts_the_engine_is_unavailable(folder: Path) -> None:
    async with engine_with(Away(folder)) as engine:
        slot = engine.slot(Due(1))
        waiting = asyncio.create_task(slot.__aenter__())
        await asyncio.sleep(0)
        assert engine.state is EngineState.UNAVAILABLE
        waiting.cancel()
        await asyncio.wait((waiting,))


async def test_a_slot_that_waits_when_the_engine_ends_gets_no_host(folder: Path) -> None:
    async with engine_with(NoRoom(folder)) as engine:
        slot = engine.slot(Due(1))
        waiting = asyncio.create_task(slot.__aenter__())
        await attempts.eventually(lambda: engine.state is EngineState.WAITING)

    assert await asyncio.wait_for(waiting, SECONDS) is False
    await slot.__aexit__(None, None, None)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
async def test_a_lost_host_ends_its_attempts_and_another_takes_its_place(
    folder: Path, number: signal.Signals
) -> None:
    starter = LoopbackStarter(folder)
    async with engine_with(starter) as engine:
        async with child_of(engine, Due(1)) as child:
            child.send(attempts.start("loop_forever"))
            [process] = starter.processes.values()
            children = [found.pid for found in attempts.descendants()]
            os.kill(process.pid, number)
            death = await attempts.receive_death(child)
        await attempts.eventually(lambda: all(map(attempts.is_gone, children)))

        assert (death.reason, death.signal) == (None, signal.SIGKILL)
        assert (await run(engine)).outputs == [2]


async def test_a_host_that_is_deaf_is_killed_by_what_started_it(folder: Path) -> None:
    starter = LoopbackStarter(folder)
    async with engine_with(starter, kill_seconds=0.2) as engine:
        async with child_of(engine, Due(1)) as child:
            child.send(attempts.start("loop_forever"))
            [process] = starter.processes.values()
            children = [found.pid for found in attempts.descendants()]
            os.kill(process.pid, signal.SIGSTOP)
            child.kill(KillReason.CANCELLED)
            death = await attempts.receive_death(child)
        await attempts.eventually(lambda: all(map(attempts.is_gone, children)))

        assert death.reason is KillReason.CANCELLED
        assert await process.wait() == -signal.SIGKILL


async def test_a_job_whose_reserved_host_is_lost_fails_to_start(folder: Path) -> None:
    starter = LoopbackStarter(folder)
    async with engine_with(starter, slots=1) as engine, engine.slot(Due(1)) as is_reserved:
        assert is_reserved
        [process] = starter.processes.values()
        process.kill()
        await attempts.eventually(lambda: not engine._hosts)

        with pytest.raises(ChildStartFailed):
            async with engine.take(Tenancy()):
                pass


async def test_a_job_finds_the_host_that_has_loaded_what_it_needs(folder: Path) -> None:
    async with engine_with(LoopbackStarter(folder)) as engine:
        async with child_of(engine, Due(1)) as first:
            await attempts.run(first, attempts.start("add_one", [1]))
            async with child_of(engine, Due(1)) as second:
                await attempts.run(second, attempts.start("add_one", [1]))
        async with engine.slot(Due(1)), engine.take(first.tenancy or Tenancy()) as again:
            assert again in (first, second)


async def test_a_host_that_works_is_not_ended_while_another_is_idle(folder: Path) -> None:
    starter = LoopbackStarter(folder)
    async with engine_with(starter, idle_seconds=0.5) as engine, child_of(engine, Due(1)) as busy:
        busy.send(attempts.start("work_until_stopped"))
        await attempts.receive_batch(busy)
        assert (await run(engine)).outputs == [2]
        assert len(starter.processes) == 2

        await attempts.eventually(lambda: len(engine._hosts) == 1)

        assert busy.is_alive
        assert [host.is_busy for host in engine._hosts.values()] == [True]
        busy.kill(KillReason.CLOSING)


async def test_when_the_engine_ends_its_hosts_and_children_have_ended(folder: Path) -> None:
    starter = LoopbackStarter(folder)
    async with engine_with(starter) as engine, child_of(engine, Due(1)) as child:
        child.send(attempts.start("loop_forever"))
        [process] = starter.processes.values()
        children = [found.pid for found in attempts.descendants()]
        await engine.__aexit__(None, None, None)

    assert process.returncode == 0
    assert children
    assert all(map(attempts.is_gone, children))


async def test_a_new_secret_of_a_host_ends_the_validity_of_the_last(folder: Path) -> None:
    starter = NoRoom(folder)
    async with engine_with(starter) as engine:
        slot = engine.slot(Due(1))
        waiting = asyncio.create_task(slot.__aenter__())
        await attempts.eventually(lambda: bool(engine._hosts))
        [host] = engine._hosts.values()
        first, second = engine._issue(host), engine._issue(host)

        assert engine._secrets.redeem(first) is None
        assert engine._secrets.redeem(second) is not None
        waiting.cancel()
        await asyncio.wait((waiting,))
