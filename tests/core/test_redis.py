"""What a process believes of Redis changes seldom: once when it goes, once when it is back for good."""

import pytest
from structlog.testing import capture_logs

from app.core.redis import RECOVERY_SECONDS, Availability, Operation

AWAY = ConnectionError("away")


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_redis_is_back_when_nothing_has_failed_for_a_while() -> None:
    clock = Clock()
    redis = Availability(clock)

    redis.failed(AWAY, Operation.PUBLISH)
    assert not redis.is_up
    redis.succeeded(Operation.PUBLISH)
    assert not redis.is_up
    clock.now += RECOVERY_SECONDS
    redis.succeeded(Operation.SUBSCRIBE)

    assert redis.is_up


def test_what_failed_at_one_use_is_not_back_by_another() -> None:
    clock = Clock()
    redis = Availability(clock)

    redis.failed(AWAY, Operation.CONSUME)
    clock.now += RECOVERY_SECONDS
    redis.succeeded(Operation.PUBLISH)

    assert not redis.is_up


@pytest.mark.parametrize("pause", [0.1, 1.0, RECOVERY_SECONDS - 0.5])
def test_a_redis_that_fails_now_and_then_is_one_line_in_the_log(pause: float) -> None:
    clock = Clock()
    redis = Availability(clock)

    with capture_logs() as lines:
        for _ in range(20):
            redis.failed(AWAY, Operation.PUBLISH)
            redis.succeeded(Operation.PUBLISH)
            clock.now += pause
            redis.succeeded(Operation.CONSUME)

    assert [line["event"] for line in lines] == ["redis_unavailable"]
