"""A clock for the grace rule."""

from dataclasses import dataclass

from app.keeper.contact import Contact


@dataclass
class Clock:
    """A clock that goes when it is told to."""

    now: float

    def __call__(self) -> float:
        return self.now


def be_in_touch(contact: Contact, clock: Clock, seconds: int) -> None:
    """So many seconds of unbroken contact."""
    for _ in range(seconds):
        clock.now += 1
        contact.touch()
