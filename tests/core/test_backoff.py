"""Backoff: never at once, never beyond its maximum, however many failures."""

from hypothesis import given
from hypothesis import strategies as st

from app.core.backoff import delay_seconds

SECONDS = st.floats(0.001, 10_000)


@given(failures=st.integers(1, 100_000), base=SECONDS, maximum=SECONDS)
def test_a_delay_is_between_half_its_ceiling_and_its_ceiling(
    failures: int, base: float, maximum: float
) -> None:
    ceiling = min(maximum, base * 2.0 ** min(failures - 1, 60))

    delay = delay_seconds(failures, base=base, maximum=maximum)

    assert ceiling / 2 <= delay <= ceiling


@given(failures=st.integers(1, 40), base=SECONDS)
def test_the_ceiling_doubles_with_each_failure(failures: int, base: float) -> None:
    """Half of the next ceiling is this one: the delays of two failures in a row never overlap."""
    this = delay_seconds(failures, base=base, maximum=float("inf"))
    following = delay_seconds(failures + 1, base=base, maximum=float("inf"))

    assert this <= following


def test_delays_are_not_all_the_same() -> None:
    assert len({delay_seconds(3, base=1, maximum=60) for _ in range(20)}) > 1
