"""Handlers that run in the worker's own process, behind the same face as a child."""

import asyncio

import msgspec
import pytest

from app.core import ids
from worker.children.errors import ChildDied, KillReason
from worker.children.inside import InsideChild, InsideHandler, InsideJob
from worker.children.messages import Committed, Confine, Done, Failed, Start, Stop, StopReason, Yielded
from worker.context import JobError, Outcome

SECONDS = 30.0


def start(payload: bytes | None = None, *, attempt: int = 1) -> Start:
    return Start(
        job_id=ids.new_id(),
        attempt=attempt,
        kind="test",
        params=b'{"number": 7}',
        payload=payload,
        total=None,
        resume_batch=0,
        done=0,
        checkpoint=None,
        failures=attempt - 1,
    )


async def end_of(handler: InsideHandler, message: Start | None = None) -> object:
    async with asyncio.timeout(SECONDS), InsideChild(handler) as child:
        child.send(message or start())
        return await child.receive()


async def test_what_the_handler_returns_is_the_result() -> None:
    async def handler(job: InsideJob) -> Outcome:
        number = job.read_params(dict[str, int])["number"]
        return {"number": number, "row": job.read_row(str), "failures": job.failures}

    end = await end_of(handler, start(b'["text"]', attempt=3))

    assert isinstance(end, Done)
    assert msgspec.json.decode(end.result) == {"number": 7, "row": "text", "failures": 2}


async def test_a_handler_may_put_its_job_off() -> None:
    async def handler(_job: InsideJob) -> Outcome:
        return Yielded(delay_seconds=60.0)

    assert await end_of(handler) == Yielded(delay_seconds=60.0)


async def test_an_error_fails_the_attempt_with_its_code() -> None:
    async def handler(_job: InsideJob) -> Outcome:
        raise JobError("refused", "No.", is_retryable=False)

    assert await end_of(handler) == Failed("refused", "No.", False, "")


async def test_a_bug_fails_the_attempt_and_not_the_worker() -> None:
    async def handler(_job: InsideJob) -> Outcome:
        raise ZeroDivisionError("\0 oops")

    end = await end_of(handler)

    assert isinstance(end, Failed)
    assert (end.code, end.is_retryable) == ("handler_error", True)
    assert "ZeroDivisionError" in end.message
    assert "\0" not in end.message + end.traceback


@pytest.mark.parametrize("payload", [None, b"[]", b'["a", "b"]', b"[1]", b"not JSON"])
async def test_a_payload_that_is_not_one_row_is_bad_input(payload: bytes | None) -> None:
    async def handler(job: InsideJob) -> Outcome:
        return {"row": job.read_row(str)}

    end = await end_of(handler, start(payload))

    assert isinstance(end, Failed)
    assert (end.code, end.is_retryable) == ("bad_input", False)


async def test_a_result_that_is_not_json_is_refused() -> None:
    async def handler(_job: InsideJob) -> Outcome:
        return {"nan": float("nan")}

    end = await end_of(handler)

    assert isinstance(end, Failed)
    assert end.code == "unserialisable_output"


async def test_a_killed_handler_is_stopped_with_the_first_reason() -> None:
    started, stopped = asyncio.Event(), asyncio.Event()

    async def handler(_job: InsideJob) -> Outcome:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()
        return {}

    async with asyncio.timeout(SECONDS), InsideChild(handler) as child:
        child.send(start())
        await started.wait()
        child.kill(KillReason.CANCELLED)
        child.kill(KillReason.TIME_LIMIT)
        with pytest.raises(ChildDied) as died:
            await child.receive()

    assert died.value.reason is KillReason.CANCELLED
    assert stopped.is_set()


async def test_a_handler_that_is_killed_before_its_start_does_not_run() -> None:
    async def handler(_job: InsideJob) -> Outcome:
        raise AssertionError("it ran")

    async with asyncio.timeout(SECONDS), InsideChild(handler) as child:
        child.kill(KillReason.RELEASED)
        child.send(start())
        with pytest.raises(ChildDied) as died:
            await child.receive()

    assert died.value.reason is KillReason.RELEASED


async def test_a_kill_after_the_end_changes_nothing() -> None:
    async def handler(_job: InsideJob) -> Outcome:
        return {}

    async with asyncio.timeout(SECONDS), InsideChild(handler) as child:
        child.send(start())
        assert isinstance(await child.receive(), Done)
        child.kill(KillReason.CANCELLED)
        assert isinstance(await child.receive(), Done)

    assert child.kill_reason is None


async def test_the_handler_learns_that_it_should_stop() -> None:
    started, told = asyncio.Event(), asyncio.Event()

    async def handler(job: InsideJob) -> Outcome:
        started.set()
        await told.wait()
        return Yielded() if job.is_stop_requested else {}

    async with asyncio.timeout(SECONDS), InsideChild(handler) as child:
        child.send(start())
        await started.wait()
        child.send(Committed(0))
        child.send(Stop(StopReason.DRAIN))
        told.set()
        assert await child.receive() == Yielded()


async def test_leaving_the_attempt_stops_its_handler() -> None:
    started, stopped = asyncio.Event(), asyncio.Event()

    async def handler(_job: InsideJob) -> Outcome:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()
        return {}

    async with asyncio.timeout(SECONDS), InsideChild(handler) as child:
        child.send(start())
        await started.wait()

    assert stopped.is_set()


async def test_it_cannot_be_confined_and_has_no_message_but_the_end() -> None:
    async def handler(_job: InsideJob) -> Outcome:
        return {}

    async with InsideChild(handler) as child:
        with pytest.raises(RuntimeError):
            child.send(Confine((), (), None))
        with pytest.raises(RuntimeError):
            await child.receive()
        assert child.receive_nowait() is None
