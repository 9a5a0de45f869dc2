"""The arithmetic of the autoscalers, with which the test of the fleet scales its workers."""

import pytest

from tests.faults.autoscaler import Autoscaler, composed
from tests.k8s.rendering import named, rendered


@pytest.fixture
def autoscaler() -> Autoscaler:
    """With the numbers of the manifest: 2 slots for each worker, 1 to 20 workers."""
    scaled = named(rendered("production"), "ScaledObject", "headrace-worker")["spec"]
    return Autoscaler.from_manifest(scaled, maximum=20, faster=1)


def test_it_runs_one_worker_for_every_two_slots(autoscaler: Autoscaler) -> None:
    assert autoscaler.replicas(2, composed(need=7, waited=0), now=0) == 4
    assert autoscaler.replicas(4, composed(need=7, waited=61), now=1) == 5


def test_it_keeps_what_there_is_within_a_tenth_of_the_target(autoscaler: Autoscaler) -> None:
    assert autoscaler.replicas(10, 21, now=0) == 10
    assert autoscaler.replicas(10, 23, now=1) == 12


def test_it_stays_within_its_bounds(autoscaler: Autoscaler) -> None:
    assert autoscaler.replicas(20, 42, now=0) == 20
    assert autoscaler.replicas(1, 0, now=1) == 1


def test_it_adds_four_or_doubles_in_15_seconds(autoscaler: Autoscaler) -> None:
    assert autoscaler.replicas(1, 42, now=0) == 5
    assert autoscaler.replicas(5, 42, now=10) == 5
    assert autoscaler.replicas(5, 42, now=16) == 10
    assert autoscaler.replicas(10, 42, now=32) == 20


def test_it_removes_one_worker_a_minute_once_none_was_needed_for_five(autoscaler: Autoscaler) -> None:
    assert autoscaler.replicas(5, 10, now=0) == 5
    assert autoscaler.replicas(5, 0, now=299) == 5
    assert autoscaler.replicas(5, 0, now=301) == 4
    assert autoscaler.replicas(4, 0, now=330) == 4
    assert autoscaler.replicas(4, 0, now=362) == 3
