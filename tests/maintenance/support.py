"""What the tests of the grace rule share."""

from app.maintenance.connectivity import Connectivity
from tests.support.clocks import Clock


def be_in_touch(contact: Connectivity, clock: Clock, seconds: int) -> None:
    """So many seconds of unbroken contact."""
    for _ in range(seconds):
        clock.now += 1
        contact.touch()
