"""The pool replaces children that die, and leaks no slot, process or descriptor."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Coroutine
from typing import Any

import psutil
import pytest
import uvloop
from prometheus_client import REGISTRY

from app.core import hardening, ids, prctl
from app.core.sandbox.permissions import Permission
from tests.worker.children import attempts
from tests.worker.children.attempts import MEBIBYTE
from worker.children.disk_usage import MAX_FILES
from worker.children.messages import MAX_FROM_CHILD_BYTES, Done
from worker.children.pool import Child, ChildProtocolError, ChildStartFailed, KillReason
from worker.children.tenancy import Tenancy
from worker.context import ONNX_CUDA
from worker.handlers import HANDLERS


async def test_the_pool_starts_warm_children_that_announce_their_kinds() -> None:
    async with attempts.pool(slots=2, handlers="worker.handlers:HANDLERS") as children:
        assert set(children.kinds) == set(HANDLERS)
        async with attempts.take(children) as one, attempts.take(children) as other:
            assert one.pid != other.pid
            with pytest.raises(RuntimeError):
                await attempts.take(children).__aenter__()


async def test_a_child_is_replaced_after_its_maximum_number_of_jobs() -> None:
    pids = []
    async with attempts.pool(max_jobs_per_child=2) as children:
        for _ in range(4):
            async with attempts.take(children) as child:
                pids.append((await attempts.run(child, attempts.start("add_one", [1]))).result["pid"])

    assert pids[0] == pids[1] != pids[2] == pids[3]


# Children that die


@pytest.mark.parametrize(("kind", "exit_code"), [("segfault", -signal.SIGSEGV), ("exit_at_once", 3)])
async def test_a_child_that_dies_fails_its_attempt_and_is_replaced(kind: str, exit_code: int) -> None:
    async with attempts.pool(slots=2) as children, attempts.take(children) as sibling:
        async with attempts.take(children) as child:
            child.send(attempts.start(kind))
            death = await attempts.receive_death(child)
        assert (death.reason, death.exit_code) == (None, exit_code)

        async with attempts.take(children) as fresh:
            assert (await attempts.run(fresh, attempts.start("add_one", [1]))).result == {"pid": fresh.pid}
        assert fresh.pid != child.pid
        assert (await attempts.run(sibling, attempts.start("add_one", [1]))).result == {"pid": sibling.pid}


async def test_batches_sent_before_a_death_are_received() -> None:
    async with attempts.pool() as children, attempts.take(children) as child:
        child.send(attempts.start("commit_then_exit"))

        assert (await attempts.receive_batch(child)).output == b'{"prediction":1}\n'
        await attempts.receive_death(child)


async def test_a_child_that_dies_while_idle_is_replaced() -> None:
    async with attempts.pool() as children:
        async with attempts.take(children) as child:
            assert child.is_alive
        os.kill(child.pid, signal.SIGKILL)
        await attempts.eventually(lambda: not child.is_alive)

        async with attempts.take(children) as fresh:
            assert (await attempts.run(fresh, attempts.start("add_one", [1]))).outputs == [2]


@pytest.mark.parametrize(
    "garbage",
    [
        b"\x00\x00\x00\x04oops",
        b"\x00\x00\x00\x00",
        (MAX_FROM_CHILD_BYTES + 1).to_bytes(4, "big"),
        b"\x00\x00\x00\x0c\x81\xa4type\xa5Start",
    ],
    ids=["no message", "empty frame", "oversized frame", "a message of the worker's own"],
)
async def test_garbage_on_the_connection_is_a_protocol_error(garbage: bytes) -> None:
    async with attempts.pool() as children:
        async with attempts.take(children) as child:
            child.send(attempts.start("write_into_the_protocol", params={"bytes": garbage.hex()}))
            with pytest.raises(ChildProtocolError):
                await attempts.receive(child)
        async with attempts.take(children) as fresh:
            assert (await attempts.run(fresh, attempts.start("add_one", [1]))).outputs == [2]


async def test_a_child_that_closes_its_connection_is_killed() -> None:
    async with attempts.pool() as children, attempts.take(children) as child:
        child.send(attempts.start("close_everything"))

        death = await attempts.receive_death(child)

    assert death.reason is KillReason.PROTOCOL


async def test_a_child_above_the_memory_limit_is_killed() -> None:
    async with attempts.pool(memory_limit_bytes=128 * MEBIBYTE) as children, attempts.take(children) as child:
        child.send(attempts.start("allocate_bit_by_bit"))

        death = await attempts.receive_death(child)

    assert death.reason is KillReason.MEMORY_LIMIT


async def test_the_memory_of_the_largest_child_is_measured() -> None:
    def measured() -> float:
        return REGISTRY.get_sample_value("headrace_child_memory_bytes") or 0

    async with attempts.pool(memory_limit_bytes=512 * MEBIBYTE) as children:
        async with attempts.take(children) as child:
            await attempts.eventually(lambda: measured() > MEBIBYTE)
            assert measured() < 512 * MEBIBYTE
            await attempts.run(child, attempts.start("add_one", [1]))
        # An idle child still has its memory.
        await attempts.eventually(lambda: measured() > MEBIBYTE)


@pytest.mark.parametrize(("count", "size"), [(32, MEBIBYTE), (MAX_FILES + 1, 0)], ids=["large", "many"])
async def test_a_child_above_the_disk_limit_is_killed(count: int, size: int) -> None:
    """Each file is far below the limit on a single file."""
    async with attempts.pool(max_scratch_bytes=16 * MEBIBYTE) as children, attempts.take(children) as child:
        child.send(attempts.start("write_files_and_wait", params={"files": count, "bytes": size}))

        death = await attempts.receive_death(child)

    assert death.reason is KillReason.DISK_LIMIT


@pytest.mark.parametrize("kind", ["loop_forever", "hold_the_gil_forever"])
async def test_a_child_that_never_returns_can_be_killed(kind: str) -> None:
    async with attempts.pool() as children:
        async with attempts.take(children) as child:
            child.send(attempts.start(kind))
            await attempts.eventually(lambda: _is_computing(child))
            child.kill(KillReason.CANCELLED)
            death = await attempts.receive_death(child)

        assert death.reason is KillReason.CANCELLED
        assert attempts.is_gone(child.pid)


def _is_computing(child: Child) -> bool:
    return psutil.Process(child.pid).status() == psutil.STATUS_RUNNING


async def test_a_child_that_still_runs_when_it_is_returned_is_killed() -> None:
    async with attempts.pool() as children:
        async with attempts.take(children) as child:
            child.send(attempts.start("loop_forever"))

        assert attempts.is_gone(child.pid)


@pytest.mark.parametrize("then", ["exit", "loop"])
async def test_processes_of_a_handler_end_with_its_child(then: str) -> None:
    async with attempts.pool() as children:
        async with attempts.take(children, Permission.PROCESSES) as child:
            child.send(attempts.start("spawn_a_grandchild", params={"then": then}))
            grandchild = attempts.outputs_of(await attempts.receive_batch(child))[0]

        await attempts.eventually(lambda: attempts.is_gone(grandchild))


async def test_a_grandchild_that_holds_the_connection_does_not_hide_the_death() -> None:
    async with attempts.pool() as children, attempts.take(children, Permission.PROCESSES) as child:
        child.send(attempts.start("fork_a_grandchild_that_holds_the_connection"))
        grandchild = attempts.outputs_of(await attempts.receive_batch(child))[0]
        try:
            death = await attempts.receive_death(child)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.kill(grandchild, signal.SIGKILL)

    assert death.exit_code == 5


# The fork server and the worker


async def test_the_pool_recovers_when_the_fork_server_dies_with_its_children() -> None:
    async with attempts.pool() as children:
        (server,) = [process for process in attempts.descendants() if process.ppid() == os.getpid()]
        async with attempts.take(children) as child:
            child.send(attempts.start("loop_forever"))
            server.kill()
            await attempts.receive_death(child)
        await attempts.eventually(lambda: attempts.is_gone(child.pid))

        async with attempts.take(children) as fresh:
            assert (await attempts.run(fresh, attempts.start("add_one", [1]))).outputs == [2]


async def test_a_worker_that_is_pid_1_reaps_the_orphans_of_a_dead_fork_server() -> None:
    hardening.adopt_orphans()  # as PID 1 of a container does
    try:
        async with attempts.pool(slots=2) as children:
            (server,) = [process for process in attempts.descendants() if process.ppid() == os.getpid()]
            orphans = server.children()
            async with attempts.take(children) as child:
                server.kill()
                await attempts.receive_death(child)
            async with attempts.take(children) as fresh:
                assert (await attempts.run(fresh, attempts.start("add_one", [1]))).outputs == [2]

            await attempts.eventually(lambda: not any(orphan.is_running() for orphan in orphans))
    finally:
        prctl.call(prctl.SET_CHILD_SUBREAPER, 0)

    assert len(orphans) == 3  # and a zombie would be running still


_WORKER = """
import asyncio
from tests.worker.children import attempts

async def work():
    async with attempts.pool(slots=3) as children:
        async with attempts.take(children, "processes") as spawning, attempts.take(children) as computing:
            spawning.send(attempts.start("spawn_a_grandchild", params={"then": "loop"}))
            computing.send(attempts.start("hold_the_gil_forever"))
            await attempts.receive_batch(spawning)
            await attempts.receive_batch(computing)
            print("working", flush=True)
            await asyncio.sleep(600)

asyncio.run(work())
"""


def test_no_process_survives_a_killed_worker() -> None:
    with subprocess.Popen([sys.executable, "-c", _WORKER], stdout=subprocess.PIPE, text=True) as worker:
        assert worker.stdout is not None
        assert worker.stdout.readline() == "working\n"
        family = psutil.Process(worker.pid).children(recursive=True)
        assert len(family) == 6  # the fork server, three children and a fresh one, one grandchild

        worker.kill()

        _, alive = psutil.wait_procs(family, timeout=attempts.SECONDS)
    assert alive == []


async def test_no_process_and_no_descriptor_outlives_the_pool() -> None:
    descriptors = psutil.Process().num_fds()
    async with attempts.pool(slots=2) as children:
        async with attempts.take(children) as child:
            await attempts.run(child, attempts.start("add_one", [1]))
        async with attempts.take(children) as child:
            child.send(attempts.start("segfault"))
            await attempts.receive_death(child)
        assert len(attempts.descendants()) >= 2

    assert attempts.descendants() == []
    assert psutil.Process().num_fds() == descriptors


async def test_preloads_run_once_in_the_fork_server() -> None:
    preload = ["json", "tests.worker.children.bad_handlers:record_preload"]
    async with (
        attempts.pool(slots=2, preload=preload) as children,
        attempts.take(children) as one,
        attempts.take(children) as other,
    ):
        results = [
            (await attempts.run(child, attempts.start("report_preload"))).result for child in (one, other)
        ]

    assert [result["in"] for result in results] == [[result["parent"]] for result in results]


async def test_a_failing_preload_fails_the_start(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ChildStartFailed):
        async with attempts.pool(preload=["tests.worker.children.bad_handlers:fail_to_preload"]):
            pass

    assert "a broken installation" in capfd.readouterr().err
    assert attempts.descendants() == []


async def test_handlers_that_cannot_be_imported_fail_the_start(
    capfd: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(ChildStartFailed):
        async with attempts.pool(handlers="tests.worker.children.no_such_module:HANDLERS"):
            pass

    assert "no_such_module" in capfd.readouterr().err
    assert attempts.descendants() == []


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def test_the_pool_works_with_asyncio_and_uvloop(run: Callable[[Coroutine[Any, Any, None]], None]) -> None:
    async def story() -> None:
        async with attempts.pool(slots=2) as children:
            async with attempts.take(children) as child:
                attempt = await attempts.run(child, attempts.start("add_one", list(range(100_000))))
                assert len(attempt.outputs) == 100_000
                child.send(attempts.start("loop_forever"))
                child.kill(KillReason.TIME_LIMIT)
                await attempts.receive_death(child)
            async with attempts.take(children) as child:
                assert isinstance((await attempts.run(child, attempts.start("add_one", [1]))).end, Done)
        assert attempts.descendants() == []

    run(story())


# GPUs


async def visible(child: Child) -> str | None:
    """The GPUs that a handler sees."""
    environment = (await attempts.run(child, attempts.start("report_environment"))).result["environment"]
    found: str | None = environment.get("CUDA_VISIBLE_DEVICES")
    return found


async def test_children_of_different_slots_see_different_gpus_and_keep_them() -> None:
    ada, bob = Tenancy(ids.new_id()), Tenancy(ids.new_id())
    async with attempts.pool(slots=2, gpus=("0,1", "GPU-7")) as children:
        async with (
            attempts.take(children, tenancy=ada) as one,
            attempts.take(children, tenancy=bob) as other,
        ):
            first = {one.pid: await visible(one), other.pid: await visible(other)}
        async with attempts.take(children, tenancy=bob) as again:
            assert await visible(again) == first[again.pid]

    assert sorted(map(str, first.values())) == ["0,1", "GPU-7"]


async def test_a_child_gets_gpus_only_when_the_child_that_held_them_has_exited() -> None:
    others: list[int] = []
    async with (
        attempts.pool(slots=2, gpus=("0", "1")) as children,
        attempts.take(children, tenancy=Tenancy(ids.new_id())) as busy,
    ):
        held = await visible(busy)
        for _ in range(3):
            async with attempts.take(children, tenancy=Tenancy(ids.new_id())) as child:
                assert all(attempts.is_gone(pid) for pid in others)
                assert await visible(child) != held
            others.append(child.pid)

    assert len(set(others)) == 3


async def test_a_child_that_dies_gives_its_gpus_back() -> None:
    async with attempts.pool(slots=1, gpus=("5",)) as children:
        async with attempts.take(children) as child:
            child.send(attempts.start("segfault"))
            await attempts.receive_death(child)
        async with attempts.take(children) as fresh:
            assert await visible(fresh) == "5"


async def test_gpus_that_the_environment_shows_are_left_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "chosen by others")
    async with attempts.pool(slots=1, gpus=("",)) as children, attempts.take(children) as child:
        assert await visible(child) == "chosen by others"


async def test_children_know_whether_onnx_models_run_on_their_gpus() -> None:
    for onnx_cuda, expected in ((True, "true"), (False, None)):
        async with (
            attempts.pool(slots=1, gpus=("0",), onnx_cuda=onnx_cuda) as children,
            attempts.take(children) as child,
        ):
            result = (await attempts.run(child, attempts.start("report_environment"))).result
            assert result["environment"].get(ONNX_CUDA) == expected
            assert result["environment"]["CUDA_DEVICE_ORDER"] == "PCI_BUS_ID"
