"""Fixtures of the audit log."""

import pytest

from app.core.config import Settings
from tests.audit.tampering import Tampering
from tests.conftest import Servers


@pytest.fixture
def tampering(servers: Servers, settings: Settings) -> Tampering:
    """What changes the log past its guards."""
    return Tampering(servers, settings)
