"""These tests compute in one thread, as children do."""

import pytest

from worker.training import threads


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    threads.limit_to_one()
