"""`batch_predict` on what it cannot work with; its good days are told in `tests/worker/children`."""

from collections.abc import Sequence
from typing import Any

import pytest

from tests.worker.children import attempts
from worker.children.messages import Failed

MODEL = {"name": "sentiment", "version": 1, "runtime": "vader"}


@pytest.mark.parametrize(
    ("params", "rows", "code"),
    [
        ({"model": MODEL}, ["text"], "bad_input"),
        ({"model": MODEL, "batch_size": "ten"}, ["text"], "bad_input"),
        ({"model": MODEL, "batch_size": 10}, [1], "bad_input"),
        ({"model": MODEL | {"runtime": "abacus"}, "batch_size": 10}, ["text"], "unknown_runtime"),
    ],
)
async def test_what_cannot_be_predicted_is_a_clear_failure(
    params: dict[str, Any], rows: Sequence[Any], code: str
) -> None:
    attempt = await attempts.run_alone(attempts.start("batch_predict", rows, params=params))

    assert isinstance(attempt.end, Failed)
    assert attempt.end.code == code


async def test_batches_before_a_bad_row_are_kept() -> None:
    params = {"model": MODEL, "batch_size": 2}

    attempt = await attempts.run_alone(attempts.start("batch_predict", ["a", "b", "c", 4], params=params))

    assert len(attempt.outputs) == 2
    assert attempt.failure.code == "bad_input"
