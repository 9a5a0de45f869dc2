"""Tests here compute as children do: in one thread."""

import pytest

from worker.training import threads


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    threads.limit_to_one()
