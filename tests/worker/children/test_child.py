"""A child reports to the worker how its handlers end, and survives those that fail."""

from pathlib import Path

import pytest
from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

from app.core.sandbox.permissions import Permission
from tests.worker.children import attempts
from worker.children.messages import Batch, Committed, Done, Stop, StopReason, Yielded
from worker.context import MAX_UNACKNOWLEDGED, RUN_AHEAD_SECONDS

TEXTS = [f"I {word} this very much" for word in ("love", "hate", "see", "enjoy", "despise")] * 7
PARAMS = {"model": {"name": "sentiment", "version": 1, "runtime": "vader"}, "batch_size": 10}


async def test_batches_arrive_in_order_with_the_predictions_of_the_model() -> None:
    attempt = await attempts.run_alone(attempts.start("batch_predict", TEXTS, params=PARAMS))

    analyzer = SentimentIntensityAnalyzer()
    assert [(batch.index, batch.first_row, batch.row_count, batch.step) for batch in attempt.batches] == [
        (0, 0, 10, "Batch 1/4"),
        (1, 10, 10, "Batch 2/4"),
        (2, 20, 10, "Batch 3/4"),
        (3, 30, 5, "Batch 4/4"),
    ]
    assert [output["scores"]["compound"] for output in attempt.outputs] == [
        analyzer.polarity_scores(text)["compound"] for text in TEXTS
    ]
    assert attempt.result == {"total": 35, "errors": 0}


async def test_an_attempt_resumes_where_the_previous_one_stopped() -> None:
    whole = await attempts.run_alone(attempts.start("batch_predict", TEXTS, params=PARAMS))
    rest = await attempts.run_alone(
        attempts.start("batch_predict", TEXTS, params=PARAMS, resume_batch=2, done=20)
    )

    assert [(batch.index, batch.first_row) for batch in rest.batches] == [(2, 20), (3, 30)]
    assert rest.outputs == whole.outputs[20:]
    assert rest.result == whole.result


async def test_an_attempt_with_all_batches_committed_only_returns_the_result() -> None:
    attempt = await attempts.run_alone(
        attempts.start("batch_predict", TEXTS, params=PARAMS, resume_batch=4, done=35)
    )

    assert attempt.batches == []
    assert attempt.result == {"total": 35, "errors": 0}


async def test_a_handler_may_be_async() -> None:
    attempt = await attempts.run_alone(attempts.start("add_one_later", [1, 2]))

    assert attempt.outputs == [2, 3]


async def test_the_last_batch_is_sent_with_the_result() -> None:
    async with attempts.pool() as children, attempts.take(children) as child:
        child.send(attempts.start("commit_last", [1]))

        assert isinstance(await attempts.receive(child), Batch)
        assert isinstance(child.receive_nowait(), Done)


# Running ahead


async def test_a_child_computes_one_batch_ahead_of_the_unacknowledged_one(tmp_path: Path) -> None:
    computed = tmp_path / "computed"
    async with attempts.pool() as children, attempts.take(children, Permission.FILES) as child:
        child.send(attempts.start("commit_slowly", params={"computed": str(computed), "batches": 5}))
        assert [(await attempts.receive_batch(child)).index for _ in range(2)] == [0, 1]

        assert await attempts.receive_until_silent(child) == []
        assert computed.read_text() == "0\n1\n"

        child.send(Committed(0))
        assert (await attempts.receive_batch(child)).index == 2
        assert await attempts.receive_until_silent(child) == []
        assert computed.read_text() == "0\n1\n2\n"


async def test_cheap_batches_run_further_ahead_up_to_a_limit(tmp_path: Path) -> None:
    computed = tmp_path / "computed"
    async with attempts.pool() as children, attempts.take(children, Permission.FILES) as child:
        child.send(attempts.start("commit_fast", params={"computed": str(computed), "batches": 500}))
        batches = [batch for batch in await attempts.receive_until_silent(child) if isinstance(batch, Batch)]

        assert len(batches) <= MAX_UNACKNOWLEDGED
        assert (
            len(batches) == MAX_UNACKNOWLEDGED or sum(batch.seconds for batch in batches) >= RUN_AHEAD_SECONDS
        )
        assert len(computed.read_text().splitlines()) == len(batches)


# Stopping


@pytest.mark.parametrize("reason", StopReason)
async def test_a_child_yields_after_a_commit_when_asked_to_stop(reason: StopReason) -> None:
    async with attempts.pool() as children, attempts.take(children) as child:
        child.send(attempts.start("work_until_stopped"))
        batch = await attempts.receive_batch(child)
        assert batch.checkpoint == b"0"
        child.send(Stop(reason))

        message = await attempts.receive(child)
        while isinstance(message, Batch):
            child.send(Committed(message.index))
            message = await attempts.receive(child)

        assert isinstance(message, Yielded)


async def test_a_prediction_yields_between_batches_when_asked_to_stop() -> None:
    async with attempts.pool() as children, attempts.take(children) as child:
        child.send(attempts.start("batch_predict", TEXTS * 200, params=PARAMS))
        child.send(Stop(StopReason.DRAIN))

        message = await attempts.receive(child)
        while isinstance(message, Batch):
            child.send(Committed(message.index))
            message = await attempts.receive(child)

        assert isinstance(message, Yielded)


async def test_a_late_stop_does_not_stop_the_next_job() -> None:
    async with attempts.pool() as children, attempts.take(children) as child:
        await attempts.run(child, attempts.start("add_one", [1]))
        child.send(Stop(StopReason.SOFT_LIMIT))

        attempt = await attempts.run(child, attempts.start("batch_predict", TEXTS, params=PARAMS))

        assert attempt.result == {"total": 35, "errors": 0}


async def test_a_handler_that_yields_without_a_stop_request_fails() -> None:
    attempt = await attempts.run_alone(attempts.start("yield_unrequested"))

    assert attempt.failure.code == "handler_error"


# Outputs, errors and logs


async def test_logs_and_steps_are_sanitised_for_the_database() -> None:
    attempt = await attempts.run_alone(attempts.start("describe"))

    assert [(line.level, line.text) for line in attempt.logs] == [("warning", "a line\ufffd with NUL")]
    assert attempt.batches[0].step == "half?way"
    assert attempt.batches[0].data == {"epoch": 1, "loss": 0.5}


@pytest.mark.parametrize(
    ("kind", "code", "is_retryable"),
    [
        ("raise_key_error", "handler_error", True),
        ("raise_unprintable", "handler_error", True),
        ("raise_job_error", "no_luck", True),
        ("raise_bad_input", "bad_input", False),
        ("raise_system_exit", "handler_exit", True),
        ("raise_keyboard_interrupt", "handler_exit", True),
        ("allocate_at_once", "memory_limit", True),
        ("return_a_list", "unserialisable_output", False),
        ("return_an_object", "unserialisable_output", False),
        ("return_nan", "unserialisable_output", False),
        ("return_nul", "unserialisable_output", False),
        ("return_recursion", "unserialisable_output", False),
        ("commit_too_much", "message_too_large", False),
        ("no_such_kind", "unknown_kind", True),
    ],
)
async def test_a_failing_handler_fails_its_attempt_and_the_child_survives(
    kind: str, code: str, is_retryable: bool
) -> None:
    async with attempts.pool() as children, attempts.take(children) as child:
        attempt = await attempts.run(child, attempts.start(kind))

        assert (attempt.failure.code, attempt.failure.is_retryable) == (code, is_retryable)
        assert "\0" not in attempt.failure.message
        assert (await attempts.run(child, attempts.start("add_one", [1]))).result == {"pid": child.pid}


async def test_a_traceback_shows_frames_of_the_handler_only() -> None:
    attempt = await attempts.run_alone(attempts.start("raise_key_error"))

    assert attempt.failure.message == "KeyError: 'missing'"
    assert "in raise_key_error" in attempt.failure.traceback
    assert "child.py" not in attempt.failure.traceback


@pytest.mark.parametrize(
    ("kind", "row", "committed"), [("commit_an_object_in_row_12", 12, 1), ("commit_nan_in_row_1", 1, 0)]
)
async def test_an_error_about_an_output_that_is_not_json_names_the_row(
    kind: str, row: int, committed: int
) -> None:
    attempt = await attempts.run_alone(attempts.start(kind))

    assert attempt.failure.code == "unserialisable_output"
    assert f"row {row}:" in attempt.failure.message
    assert len(attempt.batches) == committed


async def test_prints_of_a_handler_go_to_the_workers_stderr(capfd: pytest.CaptureFixture[str]) -> None:
    attempt = await attempts.run_alone(attempts.start("print_garbage"))

    printed = capfd.readouterr()
    assert attempt.result == {}
    assert printed.out == ""
    assert "garbage" in printed.err


async def test_a_child_ignores_signals_meant_for_the_worker() -> None:
    attempt = await attempts.run_alone(attempts.start("ignore_signals"))

    assert attempt.result == {"survived": True}


async def test_programs_that_a_handler_starts_can_be_terminated() -> None:
    attempt = await attempts.run_alone(attempts.start("terminate_a_program"), Permission.PROCESSES)

    assert attempt.result == {"returncode": -15}
