"""What the tests of cases share."""

from pathlib import Path

import pytest

from tests.cases.workbench import Workbench


@pytest.fixture
def bench(tmp_path: Path) -> Workbench:
    """A folder to make datasets and models in."""
    return Workbench(tmp_path)
