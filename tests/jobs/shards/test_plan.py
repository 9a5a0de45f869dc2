"""Into how many shards a job is divided, and where."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.jobs.shards.plan import MAX_SHARDS, Divisible, ShardPlan, may_divide, plan


@pytest.mark.parametrize(
    ("total", "slots", "expected"),
    [
        (99_999, 100, None),
        (100_000, 0, ShardPlan(2, 50_000)),
        (100_000, 2, ShardPlan(8, 13_000)),
        (100_000, 100, ShardPlan(20, 5_000)),
        (1_000_000, 2, ShardPlan(20, 50_000)),
        (1_000_000, 8, ShardPlan(32, 32_000)),
        (100_000_000, 2, ShardPlan(1000, 100_000)),
    ],
)
def test_a_large_job_is_divided_for_its_rows_and_the_slots(
    total: int, slots: int, expected: ShardPlan | None
) -> None:
    divisible = Divisible(batch_rows=1000)

    assert plan(total, divisible, slots=slots) == expected
    assert may_divide(total, divisible) is (expected is not None)


@pytest.mark.parametrize(
    ("total", "batch_rows", "wanted", "expected"),
    [
        (100, 10, 1, None),
        (1_000_000, 1000, 1, None),
        (100, 10, 3, ShardPlan(3, 40)),
        (100, 10, 7, ShardPlan(5, 20)),
        (100, 10, 1000, ShardPlan(10, 10)),
        (10, 10, 4, None),
        (11, 10, 4, ShardPlan(2, 10)),
    ],
)
def test_a_request_may_say_how_many_shards_at_most_one_for_each_batch(
    total: int, batch_rows: int, wanted: int, expected: ShardPlan | None
) -> None:
    assert plan(total, Divisible(batch_rows, wanted), slots=50) == expected


@given(
    total=st.integers(1, 3_000_000),
    batch_rows=st.integers(1, 10_000),
    wanted=st.none() | st.integers(1, MAX_SHARDS),
    slots=st.integers(0, 300),
)
def test_shards_have_whole_batches_and_cover_all_rows(
    total: int, batch_rows: int, wanted: int | None, slots: int
) -> None:
    found = plan(total, Divisible(batch_rows, wanted, max_failed=3), slots=slots)

    if found is None:
        return
    assert 2 <= found.shards <= MAX_SHARDS
    assert found.max_failed == 3
    assert found.rows % batch_rows == 0
    starts = [shard * found.rows for shard in range(found.shards)]
    assert all(second - first == found.rows for first, second in pairwise(starts))
    assert 0 < total - starts[-1] <= found.rows


@given(total=st.integers(1, 3_000_000), batch_rows=st.integers(1, 10_000), wanted=st.integers(2, MAX_SHARDS))
def test_the_number_of_shards_that_a_job_had_gives_the_same_plan_again(
    total: int, batch_rows: int, wanted: int
) -> None:
    first = plan(total, Divisible(batch_rows, wanted), slots=0)

    if first is not None:
        again = plan(total, Divisible(batch_rows, first.shards), slots=0)
        assert again is not None
        assert again.shards == first.shards
