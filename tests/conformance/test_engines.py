"""Every engine runs jobs with the same results, ends them the same way, and leaves nothing behind."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
import pytest_asyncio

from app.core import ids
from app.core.files import StoredFile
from app.core.sandbox import seccomp
from app.core.sandbox.permissions import Permission
from tests.conformance import engines, test_kinds
from tests.conformance.engine_handlers import UNNAMED_SIGNAL
from tests.conformance.engines import ENGINES, MEMORY_LIMIT_BYTES, Bench, Open
from tests.worker.children import attempts
from tests.worker.children.attempts import MEBIBYTE
from tests.worker.handlers import test_batch_predict
from tests.worker.handlers.datasets import as_file
from tests.worker.preprocessing import running as preprocessing
from worker.children.errors import ChildProtocolError, KillReason
from worker.children.messages import Batch, Committed, Done, Failed, Start, Stop, StopReason, Yielded
from worker.context import CHECKPOINT_FILE
from worker.files import FileFault

pytestmark = pytest.mark.asyncio(loop_scope="module")

ROWS = [
    {"text": f"{number} good and bad things", "x": None if number % 9 == 0 else number % 7}
    for number in range(2500)
]
STEPS: list[dict[str, Any]] = [
    {"step": "fill", "columns": ["x"], "statistic": "mean"},
    {"step": "split", "parts": [{"name": "train", "fraction": 0.8}, {"name": "test", "fraction": 0.2}]},
]


def batch_prediction(folder: Path) -> Start:
    return test_batch_predict.over_dataset(
        preprocessing.stored(folder, ROWS), shape={"column": "text"}, batch_size=400
    )


def training(folder: Path) -> Start:
    return test_kinds.start(test_kinds.KINDS["train_model"], folder)


def preprocess(folder: Path) -> Start:
    return preprocessing.start(folder, preprocessing.stored(folder, ROWS), STEPS)


@pytest.fixture(scope="module", params=ENGINES)
def engine_name(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(scope="module")
def open_engine(engine_name: str) -> Open:
    return ENGINES[engine_name]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def bench(open_engine: Open, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Bench]:
    async with engines.bench(open_engine, tmp_path_factory.mktemp("bench")) as opened:
        yield opened


# Results


@pytest.mark.parametrize("job", [batch_prediction, training, preprocess])
async def test_a_job_has_the_same_results_byte_for_byte_as_in_a_pool_of_its_own(
    bench: Bench, tmp_path: Path, job: Callable[[Path], Start]
) -> None:
    message = job(tmp_path)
    async with engines.bench(engines.pool, tmp_path, slots=1) as other:
        expected = await other.run_and_store(message)

    assert await bench.run_and_store(message) == expected
    assert expected["outputs"]
    assert bool(expected["files"]) is (job is not batch_prediction)


async def test_a_large_checkpoint_is_stored_and_brought_to_the_next_attempt(bench: Bench) -> None:
    message = attempts.start("keep_a_checkpoint", params={"bytes": 9 * MEBIBYTE})
    async with bench.take(message) as taken:
        first = await attempts.run(taken.child, taken.message)
        [batch] = first.batches
        assert batch.checkpoint_file is not None
        stored = await bench.files.store(taken.job, "jobs", "checkpoint-0", batch.checkpoint_file)

    second = await bench.run(message, wanted={CHECKPOINT_FILE: stored})

    assert second.result == first.result == {"sha256": stored.sha256}


async def test_a_child_that_has_the_files_of_a_job_serves_it_again(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "rows").write_bytes(os.urandom(5 * MEBIBYTE))
    message = msgspec.structs.replace(
        attempts.start("read_file"), files={"dataset": as_file(tmp_path / "rows")}
    )

    wanted = await bench.store_files(message)
    numbers = []
    for _ in range(2):
        async with bench.take(message, wanted=wanted) as taken:
            attempt = await attempts.run(taken.child, taken.message)
        assert attempt.result == {"bytes": 5 * MEBIBYTE, "sha256": message.files["dataset"].sha256}
        numbers.append(taken.child.pid)

    assert numbers[0] == numbers[1]


async def test_a_damaged_file_fails_the_job_and_is_not_retried(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "rows").write_bytes(b"as it was stored")
    message = msgspec.structs.replace(
        attempts.start("read_file"), files={"dataset": as_file(tmp_path / "rows")}
    )
    wanted = await bench.store_files(message)
    path = bench.storage.local_path(wanted["dataset"].key)
    assert path is not None
    path.write_bytes(b"as it was changed")

    assert await _failure(bench, message, wanted) == ("artifact_integrity", False)


async def _failure(bench: Bench, message: Start, wanted: dict[str, StoredFile]) -> tuple[str, bool]:
    """Return how an attempt fails: before it starts, or in the child."""
    try:
        end = (await bench.run(message, wanted=wanted)).end
    except FileFault as fault:
        return fault.code, fault.is_retryable
    assert isinstance(end, Failed)
    return end.code, end.is_retryable


@pytest.mark.parametrize("name", ["none", "../outside", "folder", "/etc/hostname"])
async def test_only_a_file_that_the_handler_has_written_is_stored(bench: Bench, name: str) -> None:
    message = attempts.start("write_files", params={"model": "weights"})
    async with bench.take(message) as taken:
        attempt = await attempts.run(taken.child, taken.message)
        assert isinstance(attempt.end, Done), attempt.end
        kept = await bench.files.store(taken.job, "artifacts", "model", "model")

        with pytest.raises(FileFault) as fault:
            await bench.files.store(taken.job, "artifacts", "model", name)

    assert await bench.storage.get(kept) == b"weights"
    assert (fault.value.code, fault.value.is_retryable) == ("missing_file", False)


async def test_the_profile_of_an_attempt_is_stored(bench: Bench) -> None:
    message = msgspec.structs.replace(attempts.start("add_one", [1]), is_profiled=True)
    async with bench.take(message) as taken:
        attempt = await attempts.run(taken.child, taken.message)
        assert isinstance(attempt.end, Done)
        assert attempt.end.profile is not None
        key = await bench.files.store_profile(taken.job, attempt.end.profile)

    assert key is not None
    assert await bench.storage.get(key)


# Ends


@pytest.mark.parametrize("kind", ["loop_forever", "hold_the_gil_forever"])
async def test_a_cancelled_attempt_ends_wherever_it_is(bench: Bench, kind: str) -> None:
    async with asyncio.timeout(attempts.SECONDS), bench.take(attempts.start(kind)) as taken:
        taken.child.send(taken.message)
        if kind == "hold_the_gil_forever":
            await attempts.receive_batch(taken.child)
        taken.child.kill(KillReason.CANCELLED)
        death = await attempts.receive_death(taken.child)

    assert death.reason is KillReason.CANCELLED
    assert death.signal is signal.SIGKILL
    assert (await bench.run(attempts.start("add_one", [1]))).outputs == [2]


@pytest.mark.parametrize(
    ("kind", "how"),
    [
        ("segfault", "SIGSEGV"),
        ("exit_at_once", "exit code 3"),
        ("die_of_a_signal_without_a_name", f"signal {UNNAMED_SIGNAL}"),
    ],
)
async def test_a_child_that_dies_is_reported_with_its_cause(bench: Bench, kind: str, how: str) -> None:
    async with bench.take(attempts.start(kind)) as taken:
        taken.child.send(taken.message)
        death = await attempts.receive_death(taken.child)

    assert death.reason is None
    assert how in str(death)
    assert (await bench.run(attempts.start("add_one", [1]))).outputs == [2]


async def test_a_child_above_the_memory_limit_is_killed_and_measured(bench: Bench) -> None:
    async with bench.take(attempts.start("allocate_bit_by_bit")) as taken:
        taken.child.send(taken.message)
        death = await attempts.receive_death(taken.child)
        measured = taken.child.measurements

    assert death.reason is KillReason.MEMORY_LIMIT
    assert measured.cpu_seconds is not None
    assert measured.memory_peak_bytes is not None
    assert measured.memory_peak_bytes > MEMORY_LIMIT_BYTES


async def test_a_child_above_the_disk_limit_is_killed_and_the_next_job_of_its_owner_is_not(
    bench: Bench,
) -> None:
    message = attempts.start("write_files_and_wait", params={"files": 40, "bytes": MEBIBYTE})
    async with bench.take(message) as taken:
        taken.child.send(taken.message)
        death = await attempts.receive_death(taken.child)

    assert death.reason is KillReason.DISK_LIMIT
    assert (await bench.run(attempts.start("add_one", [1]))).outputs == [2]


async def test_garbage_from_a_child_is_not_believed(bench: Bench) -> None:
    message = attempts.start("write_into_the_protocol", params={"bytes": "ffffffff00"})
    async with bench.take(message, Permission.FILES) as taken:
        taken.child.send(taken.message)
        with pytest.raises(ChildProtocolError):
            await attempts.receive(taken.child)


async def test_an_attempt_yields_when_it_is_asked_to(bench: Bench) -> None:
    async with bench.take(attempts.start("work_until_stopped")) as taken:
        taken.child.send(taken.message)
        await attempts.receive_batch(taken.child)
        taken.child.send(Stop(StopReason.DRAIN))
        ends = [message async for message in _acknowledged(taken.child)]

    assert isinstance(ends[-1], Yielded)


async def _acknowledged(child: Any) -> AsyncIterator[Any]:
    while True:
        message = await attempts.receive(child)
        if isinstance(message, Batch):
            child.send(Committed(message.index))
        yield message
        if isinstance(message, Done | Yielded | Failed):
            return


async def test_two_jobs_run_side_by_side(bench: Bench) -> None:
    async with bench.take(attempts.start("work_until_stopped")) as first:
        first.child.send(first.message)
        await attempts.receive_batch(first.child)
        async with bench.take(attempts.start("add_one", [1])) as second:
            attempt = await attempts.run(second.child, second.message)
        first.child.kill(KillReason.CLOSING)

    assert attempt.outputs == [2]


# What is left behind, and what a child may do


async def test_no_process_that_a_job_has_started_outlives_it(bench: Bench) -> None:
    permissions = (Permission.PROCESSES, Permission.FILES)
    message = attempts.start("spawn_a_grandchild", params={"then": "loop"})
    async with bench.take(message, *permissions) as taken:
        taken.child.send(taken.message)
        [grandchild] = attempts.outputs_of(await attempts.receive_batch(taken.child))
        taken.child.kill(KillReason.CANCELLED)
        await attempts.receive_death(taken.child)

    await attempts.eventually(lambda: attempts.is_gone(grandchild))


async def test_a_child_has_no_secrets_in_its_environment(
    open_engine: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "ray://head:10001")
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    monkeypatch.setenv("DATABASE_URL", "postgresql://here")
    monkeypatch.setenv("HARMLESS", "yes")
    async with engines.bench(open_engine, tmp_path, slots=1) as bench:
        environment = (await bench.run(attempts.start("report_environment"))).result["environment"]

    assert environment["HARMLESS"] == "yes"
    assert [name for name in environment if name.startswith(("RAY_", "DATABASE_"))] == []


# Elsewhere children are not confined, as docs/security.md says. CI runs on Linux.
@pytest.mark.skipif(not seccomp.is_available(), reason="seccomp filters exist on Linux, x86_64 and aarch64")
async def test_a_child_has_no_network_and_reads_no_file_of_others(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "foreign").write_text("another owner's rows")

    attempt = await bench.run(attempts.start("try_to_escape", params={"path": str(tmp_path / "foreign")}))

    assert attempt.result == {"file": "PermissionError", "network": "PermissionError"}


async def test_when_an_engine_ends_no_process_and_no_file_is_left(open_engine: Open, tmp_path: Path) -> None:
    before = {process.pid for process in attempts.descendants()}
    async with engines.bench(open_engine, tmp_path, slots=1) as bench:
        async with bench.take(attempts.start("loop_forever")) as taken:
            taken.child.send(taken.message)
            started = {process.pid for process in attempts.descendants()} - before
        assert started

    await attempts.eventually(lambda: all(map(attempts.is_gone, started)))
    for scratch in tmp_path.glob("*/scratch"):
        assert list(scratch.iterdir()) == []


async def test_jobs_of_two_owners_never_share_a_child(bench: Bench) -> None:
    first = await bench.run(attempts.start("add_one", [1]))
    bench.owner_id = ids.new_id()
    second = await bench.run(attempts.start("add_one", [1]))
    third = await bench.run(attempts.start("add_one", [1]))

    assert first.result["pid"] != second.result["pid"]
    assert second.result["pid"] == third.result["pid"]
