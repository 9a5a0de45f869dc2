"""Labels of queues are bounded, and a gauge without a value has no sample."""

import pytest
from prometheus_client import REGISTRY, generate_latest

from app.core.metrics import MAX_QUEUES, OTHER_QUEUE, OptionalGauge, QueueLabels


def test_a_queue_that_nobody_serves_has_no_label_of_its_own() -> None:
    labels = QueueLabels()
    labels.admit(["default"])

    assert labels.label("default") == "default"
    assert {labels.label(f"made-up-{number}") for number in range(1000)} == {OTHER_QUEUE}
    assert labels.names == ("default",)


def test_no_more_queues_than_the_limit_get_a_label() -> None:
    labels = QueueLabels()

    assert labels.admit(["a", "b", "a"], 3) == ["a", "b"]
    assert labels.admit(["b", "c", "d"], 3) == ["c"]
    assert labels.admit(["e"], 3) == []
    assert labels.admit(["e"], 2) == []
    assert [labels.label(name) for name in "abcde"] == ["a", "b", "c", OTHER_QUEUE, OTHER_QUEUE]


def test_the_number_of_labels_is_bounded_whoever_asks() -> None:
    labels = QueueLabels()

    labels.admit([f"served-{number}" for number in range(100)], 1000)

    assert len(labels.names) == MAX_QUEUES


@pytest.fixture
def gauge() -> OptionalGauge:
    gauge = OptionalGauge("headrace_only_here", "A gauge of one test.", registry=None)
    REGISTRY.register(gauge)
    return gauge


def test_a_gauge_that_was_never_set_shows_no_false_zero(gauge: OptionalGauge) -> None:
    try:
        assert b"\nheadrace_only_here " not in generate_latest(REGISTRY)
        gauge.set(0)
        assert b"\nheadrace_only_here 0.0" in generate_latest(REGISTRY)
    finally:
        REGISTRY.unregister(gauge)
