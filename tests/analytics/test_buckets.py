"""Percentiles from a histogram are at most 19 % off."""

import random
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable

import pytest

from app.analytics.buckets import EDGES, bucket_of, percentile
from app.core.database import Database

SHAPES: dict[str, Callable[[random.Random], float]] = {
    "constant": lambda dice: 3.7,
    "uniform": lambda dice: dice.uniform(0.01, 20.0),
    "log-normal": lambda dice: dice.lognormvariate(0.0, 1.5) + 0.001,
    "bimodal": lambda dice: dice.choice((0.05, 40.0)) * dice.uniform(0.9, 1.1),
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("share", [0.5, 0.95, 0.99])
def test_a_percentile_is_at_most_19_percent_off(shape: str, share: float) -> None:
    dice = random.Random(shape)
    values = sorted(SHAPES[shape](dice) for _ in range(5000))
    counts = Counter(bisect_right(EDGES, value) for value in values)

    found = percentile(counts, share, longest=values[-1])

    assert found is not None
    near = [values[round(share * len(values)) + step] for step in (-1, 0)]
    assert min(near) / 1.19 <= found <= max(near) * 1.19


def test_there_is_no_percentile_of_nothing() -> None:
    assert percentile({}, 0.5, longest=0.0) is None


def test_durations_beyond_the_last_edge_are_bounded_by_the_longest() -> None:
    found = percentile({len(EDGES): 3}, 0.99, longest=200_000.0)

    assert found is not None
    assert EDGES[-1] <= found <= 200_000.0


async def test_postgres_and_python_have_the_same_buckets(database: Database) -> None:
    values = [0.0, 0.0005, *EDGES, *(edge * 1.1 for edge in EDGES), 1e6]
    async with database.connection() as connection:
        found = await connection.fetch(
            f"SELECT {bucket_of('value')} AS bucket FROM unnest($1::float8[]) value", values
        )

    assert [row["bucket"] for row in found] == [bisect_right(EDGES, value) for value in values]
    assert len(EDGES) == 107
    assert EDGES[0] == 0.001
    assert EDGES[-1] > 86_400
