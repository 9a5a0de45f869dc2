"""What can be said of every job when it is asked for, whatever its kind."""

from datetime import UTC, datetime
from typing import Annotated, Final

from pydantic import AfterValidator, AwareDatetime, Field, model_validator
from pydantic_core import PydanticCustomError

from app.http.body import CleanStr, LargeBody, at_most
from app.jobs.states import Priority

MAX_METADATA_PAIRS: Final = 16


def _in_utc(value: datetime) -> datetime:
    """The instant in UTC; near the first and the last year of the calendar there may be none."""
    try:
        return value.astimezone(UTC)
    except OverflowError:
        raise PydanticCustomError(
            "instant_range", "The instant must be between the years 1 and 9999"
        ) from None


Instant = Annotated[AwareDatetime, AfterValidator(_in_utc)]
QueueName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_.-]{0,63}$")]
MetadataKey = Annotated[CleanStr, Field(min_length=1, max_length=64)]
MetadataValue = Annotated[CleanStr, Field(max_length=256)]


class JobOptions(LargeBody):
    """What can be said of every job, whatever its kind."""

    priority: Priority = Priority.NORMAL
    queue: QueueName | None = Field(
        None, description="Which workers may run it; default: the kind's own queue."
    )
    max_attempts: int | None = Field(None, ge=1, le=100, description="How often it is tried before it fails.")
    soft_limit_seconds: int | None = Field(
        None, ge=1, le=86_400, description="After this long it saves its progress and queues again."
    )
    time_limit_seconds: int | None = Field(
        None, ge=1, le=86_400, description="After this long the attempt is killed and counts as a failure."
    )
    run_at: Instant | None = Field(None, description="Do not start before this instant.")
    delay_seconds: float | None = Field(
        None, ge=0, le=366 * 86_400, description="Do not start before this passed."
    )
    expires_in_seconds: int | None = Field(
        None, ge=1, le=366 * 86_400, description="How long the results are kept after the end."
    )
    metadata: Annotated[dict[MetadataKey, MetadataValue], at_most(MAX_METADATA_PAIRS)] = Field(
        default_factory=dict, json_schema_extra={"maxProperties": MAX_METADATA_PAIRS}
    )

    @model_validator(mode="after")
    def _check_one_start_time(self) -> "JobOptions":
        if self.run_at is not None and self.delay_seconds is not None:
            raise ValueError("give run_at or delay_seconds, not both")
        return self
