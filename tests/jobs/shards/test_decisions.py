"""What becomes of a parent, by the count of its shards."""

from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

import pytest

from app.jobs.shards import decisions
from app.jobs.shards.decisions import FailedShard, Settlement, ShardDrift, Tally
from app.jobs.states import Status

TALLY = Tally(
    id=UUID(int=1),
    status=Status.RUNNING,
    shards=4,
    total=100,
    max_failed_shards=1,
    max_row_errors=None,
    is_cancel_requested=False,
    done=100,
    errors=3,
    open=0,
    completed=4,
    failed=0,
    began_at=datetime(2026, 1, 1, tzinfo=UTC),
    first_failed=None,
    missing=(),
)
BOOM = FailedShard(25, 49, {"code": "boom", "message": "It broke.", "retryable": False, "attempt": 2})


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, False),
        ({"failed": 1}, False),
        ({"failed": 2}, True),
        ({"is_cancel_requested": True}, True),
        ({"max_row_errors": 3}, False),
        ({"max_row_errors": 2}, True),
    ],
)
def test_a_parent_is_doomed_once_it_cannot_complete(changes: dict[str, object], expected: bool) -> None:
    assert decisions.is_doomed(replace(TALLY, open=1, **changes)) is expected  # type: ignore[arg-type]  # any field


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, True),
        ({"began_at": None, "open": 2}, False),
        ({"began_at": None, "open": 0}, True),
        ({"is_cancel_requested": True}, False),
        ({"status": Status.RUNNING}, False),
    ],
)
def test_a_pending_parent_begins_with_its_first_shard(changes: dict[str, object], expected: bool) -> None:
    tally = replace(TALLY, status=Status.PENDING, open=2)

    assert decisions.begins(replace(tally, **changes)) is expected  # type: ignore[arg-type]  # any field


def test_a_parent_completes_with_all_its_shards() -> None:
    assert decisions.settle(TALLY) == Settlement(Status.COMPLETED, result={"total": 100, "errors": 3})
    assert TALLY.step == "4 of 4 shards"


def test_the_result_lists_where_rows_differ_from_those_of_the_training() -> None:
    shift = {"column": "age", "kind": "shifted", "value": 0.4, "message": "The values of 'age' moved."}

    assert decisions.settle(TALLY, [ShardDrift(0, 49, []), ShardDrift(50, 99, [shift])]).result == {
        "total": 100,
        "errors": 3,
        "warnings": ["Rows 50-99: The values of 'age' moved."],
        "drift": [
            {
                **shift,
                "message": "Rows 50-99: The values of 'age' moved.",
                "first_row": 50,
                "last_row": 99,
            }
        ],
    }
    many = decisions.settle(TALLY, [ShardDrift(0, 99, [shift] * 80)]).result
    assert many is not None
    assert len(many["drift"]) == len(many["warnings"]) == decisions.MAX_WARNINGS


def test_a_requested_cancel_decides_before_everything_else() -> None:
    tally = replace(TALLY, is_cancel_requested=True, failed=4, max_row_errors=0)

    assert decisions.settle(tally) == Settlement(Status.CANCELLED)
    assert decisions.settle(replace(TALLY, is_cancel_requested=True)) == Settlement(Status.CANCELLED)


def test_the_error_names_the_first_failed_shard_and_the_missing_rows() -> None:
    tally = replace(
        TALLY, completed=2, failed=2, done=60, first_failed=BOOM, missing=((35, 49), (50, 74), (90, 99))
    )

    settlement = decisions.settle(tally)

    assert settlement == Settlement(
        Status.FAILED,
        error={
            "code": "shards_failed",
            "message": "2 of 4 shards failed. First: rows 25-49: It broke.",
            "retryable": False,
            "missing": [[35, 74], [90, 99]],
            "cause": "boom",
        },
    )


def test_one_failed_shard_fails_the_job_although_the_others_were_allowed_to_go_on() -> None:
    assert decisions.settle(replace(TALLY, completed=3, failed=1, first_failed=BOOM)).status is Status.FAILED


def test_a_shard_that_neither_completed_nor_failed_is_missing_too() -> None:
    settlement = decisions.settle(replace(TALLY, completed=3, missing=((75, 99),)))

    assert settlement.status is Status.FAILED
    assert settlement.error is not None
    assert settlement.error["message"] == "1 of 4 shards did not complete."


def test_rows_with_errors_are_limited_over_all_shards() -> None:
    settlement = decisions.settle(replace(TALLY, max_row_errors=2))

    assert settlement.status is Status.FAILED
    assert settlement.error is not None
    assert (settlement.error["code"], settlement.error["retryable"]) == ("too_many_row_errors", False)


def test_an_error_lists_at_most_a_hundred_ranges() -> None:
    missing = tuple((row, row) for row in range(0, 1000, 2))

    error = decisions.settle(replace(TALLY, completed=1, failed=3, first_failed=BOOM, missing=missing)).error

    assert error is not None
    assert len(error["missing"]) == decisions.MAX_MISSING
