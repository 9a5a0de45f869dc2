"""Times in requests."""

from datetime import UTC, datetime
from typing import Annotated, Final

from pydantic import AfterValidator, AwareDatetime
from pydantic_core import PydanticCustomError

# asyncpg stores the first and the last instant of Python as infinities, and reads these without a zone.
EARLIEST: Final = datetime.min.replace(tzinfo=UTC) + datetime.resolution
LATEST: Final = datetime.max.replace(tzinfo=UTC) - datetime.resolution


def _in_utc(value: datetime) -> datetime:
    """Convert an instant to UTC, which is impossible close to the years 1 and 9999.

    The very first instant, with which clients say "since ever", becomes the next one.
    """
    try:
        instant = value.astimezone(UTC)
    except OverflowError:
        instant = None
    if instant is None or instant > LATEST:
        raise PydanticCustomError(
            "instant_range",
            "The instant must be between {earliest} and {latest}",
            {"earliest": EARLIEST.isoformat(), "latest": LATEST.isoformat()},
        )
    return max(instant, EARLIEST)


Instant = Annotated[AwareDatetime, AfterValidator(_in_utc)]
