"""The database that the keeper looks after."""

import pytest

from app.core.database import Database
from app.core.resources import Resources


@pytest.fixture
def database(resources: Resources) -> Database:
    return resources.database
