"""Every built-in kind has both halves: its `Kind` and its handler."""

import pytest

from app.jobs.kinds import registry
from app.jobs.kinds.kind import Kind
from worker.handlers import HANDLERS
from worker.inside_handlers import INSIDE


def test_every_kind_has_a_handler_and_every_handler_a_kind() -> None:
    assert set(registry.BUILT_IN) == set(HANDLERS) | set(INSIDE)
    assert not set(HANDLERS) & set(INSIDE)


@pytest.mark.parametrize("kind", registry.BUILT_IN.values(), ids=lambda kind: kind.name)
def test_a_kind_has_a_summary_and_sensible_limits(kind: Kind) -> None:
    assert registry.BUILT_IN[kind.name] is kind
    assert kind.name == kind.name.lower()
    assert kind.summary
    assert kind.max_attempts >= 1
    assert 0 < kind.soft_limit_seconds <= kind.time_limit_seconds
