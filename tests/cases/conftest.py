"""Fixtures for the tests of reported cases."""

from pathlib import Path

import pytest

from tests.cases.workbench import Workbench


@pytest.fixture
def bench(tmp_path: Path) -> Workbench:
    """A workbench for datasets and models in a temporary folder."""
    return Workbench(tmp_path)
