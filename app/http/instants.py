"""Times in requests."""

from datetime import UTC, datetime
from typing import Annotated

from pydantic import AfterValidator, AwareDatetime
from pydantic_core import PydanticCustomError


def _in_utc(value: datetime) -> datetime:
    """Convert an instant to UTC, which is impossible close to the years 1 and 9999."""
    try:
        return value.astimezone(UTC)
    except OverflowError:
        raise PydanticCustomError(
            "instant_range", "The instant must be between the years 1 and 9999"
        ) from None


Instant = Annotated[AwareDatetime, AfterValidator(_in_utc)]
