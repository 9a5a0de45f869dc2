"""The grace rule: who has been in touch with Postgres for long enough to judge others."""

import pytest

from app.maintenance.connectivity import Connectivity
from tests.maintenance.support import be_in_touch
from tests.support.clocks import Clock

LEASE_SECONDS = 6.0


@pytest.fixture(params=[0.0, 1000.0], ids=["just booted", "up for a while"])
def clock(request: pytest.FixtureRequest) -> Clock:
    """The clock of a machine: the rule must not depend on how long that has been up."""
    return Clock(request.param)


@pytest.fixture
def contact(clock: Clock) -> Connectivity:
    return Connectivity(LEASE_SECONDS, clock)


def test_whoever_was_never_in_touch_may_not_rescue(contact: Connectivity) -> None:
    assert not contact.is_long_enough


def test_whoever_is_in_touch_for_two_leases_may_rescue(contact: Connectivity, clock: Clock) -> None:
    contact.touch()

    be_in_touch(contact, clock, 11)
    assert not contact.is_long_enough

    be_in_touch(contact, clock, 1)
    assert contact.is_long_enough


def test_a_break_starts_the_time_anew(contact: Connectivity, clock: Clock) -> None:
    contact.touch()
    be_in_touch(contact, clock, 12)

    clock.now += 4  # Postgres was away, or this process was frozen
    contact.touch()

    assert not contact.is_long_enough
    be_in_touch(contact, clock, 11)
    assert not contact.is_long_enough
    be_in_touch(contact, clock, 1)
    assert contact.is_long_enough


def test_a_slow_round_is_no_break(contact: Connectivity, clock: Clock) -> None:
    contact.touch()
    be_in_touch(contact, clock, 12)

    clock.now += 3
    contact.touch()

    assert contact.is_long_enough
