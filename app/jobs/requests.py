"""Options of jobs of every kind."""

from typing import Annotated, Final
from uuid import UUID

from pydantic import Field, model_validator

from app.core.config import MAX_GPUS, QUEUE_NAME
from app.datasets.values import MAX_NAME_LENGTH, DatasetReference
from app.http.body import CleanStr, LargeBody, StrictBody, at_most
from app.http.instants import Instant
from app.jobs.states import Priority

MAX_METADATA_PAIRS: Final = 16

QueueName = Annotated[str, Field(pattern=QUEUE_NAME)]
MetadataKey = Annotated[CleanStr, Field(min_length=1, max_length=64)]
MetadataValue = Annotated[CleanStr, Field(max_length=256)]


GPU_QUEUE: Final = "gpu"
"""The queue of jobs with GPUs that name no other one."""


class JobResources(StrictBody):
    """What a job needs of the worker that runs it."""

    gpus: int = Field(
        0, ge=0, le=MAX_GPUS, description="Only workers whose slots have at least so many GPUs run the job."
    )


class JobOptions(LargeBody):
    """Options of jobs of every kind."""

    priority: Priority = Priority.NORMAL
    queue: QueueName | None = Field(
        None,
        description="Only workers that serve this queue run the job. Default: the queue of the kind, or `gpu`"
        " for a job with GPUs.",
    )
    resources: JobResources | None = Field(
        None,
        description="What the job needs of a worker. Default: no GPU.",
        # So that requests without it keep their digest under an idempotency key.
        exclude_if=lambda resources: resources is None,
    )
    max_attempts: int | None = Field(None, ge=1, le=100, description="Maximum number of attempts.")
    soft_limit_seconds: int | None = Field(
        None,
        ge=1,
        le=86_400,
        description="After this time the job saves its progress and is queued again.",
    )
    time_limit_seconds: int | None = Field(
        None, ge=1, le=86_400, description="After this time the attempt is killed and counts as a failure."
    )
    run_at: Instant | None = Field(
        None, description="Earliest start. Cannot be combined with `delay_seconds`."
    )
    delay_seconds: float | None = Field(
        None,
        ge=0,
        le=366 * 86_400,
        description="Earliest start, in seconds from now. Cannot be combined with `run_at`.",
    )
    expires_in_seconds: int | None = Field(
        None, ge=1, le=366 * 86_400, description="How long to keep the results after the job has ended."
    )
    profile: bool = Field(
        False,
        description="Sample where the job spends its time; read it at `/jobs/{job_id}/profile`.",
        # So that requests without it keep their digest under an idempotency key.
        exclude_if=lambda is_profiled: not is_profiled,
    )
    resubmitted_from: UUID | None = Field(
        None,
        description="Your earlier job in whose place this one is submitted; the new job shows it.",
        # So that requests without it keep their digest under an idempotency key.
        exclude_if=lambda job_id: job_id is None,
    )
    metadata: Annotated[dict[MetadataKey, MetadataValue], at_most(MAX_METADATA_PAIRS)] = Field(
        default_factory=dict, json_schema_extra={"maxProperties": MAX_METADATA_PAIRS}
    )

    @property
    def gpus(self) -> int:
        """The number of GPUs that the job needs."""
        return 0 if self.resources is None else self.resources.gpus

    def queue_or(self, default: str) -> str:
        """Return the queue of the job; `default` is that of its kind."""
        return self.queue or (GPU_QUEUE if self.gpus else default)

    @model_validator(mode="after")
    def _check_one_start_time(self) -> "JobOptions":
        if self.run_at is not None and self.delay_seconds is not None:
            raise ValueError("give run_at or delay_seconds, not both")
        return self


class DatasetOptions(JobOptions):
    """Options of jobs that may read a dataset."""

    dataset_id: UUID | None = Field(None, description="Read all rows of this dataset.")
    dataset: CleanStr | None = Field(
        None,
        min_length=1,
        max_length=MAX_NAME_LENGTH,
        description="Read all rows of the newest dataset with this name, as of when the job is created.",
        # So that requests without it keep their digest under an idempotency key.
        exclude_if=lambda name: name is None,
    )

    @property
    def dataset_reference(self) -> DatasetReference | None:
        """The dataset that the request names, if any."""
        return self.dataset if self.dataset_id is None else self.dataset_id
