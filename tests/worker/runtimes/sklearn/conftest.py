"""Fixtures for the tests of scikit-learn models."""

from pathlib import Path

import pytest


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "model.skops"
