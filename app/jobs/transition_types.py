"""What goes into a transition and what comes out of it."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from app.core.files import StoredFile
from app.jobs.events import Event
from app.jobs.states import Priority, Status


@dataclass(frozen=True)
class NewJob:
    """A job to be created. `run_at` None means now, by the database's clock."""

    id: UUID
    owner_id: UUID
    kind: str
    queue: str
    priority: Priority
    head_start: timedelta
    params: bytes
    rows: bytes | None
    total: int | None
    metadata: dict[str, str]
    max_attempts: int
    soft_limit_seconds: int
    time_limit_seconds: int
    retention_seconds: int
    run_at: datetime | None = None
    delay: timedelta | None = None
    idempotency_key: str | None = None
    request_digest: bytes | None = None
    group_id: UUID | None = None
    files: dict[str, StoredFile] | None = None
    dataset_id: UUID | None = None
    model_version_id: UUID | None = None
    upload_bytes: int = 0


@dataclass(frozen=True)
class ClaimedJob:
    """A running job, as the worker that claimed it needs it. `params` and `rows` are JSON."""

    id: UUID
    attempt: int
    owner_id: UUID
    kind: str
    queue: str
    params: bytes
    rows: bytes | None
    total: int | None
    next_batch: int
    done: int
    checkpoint: bytes | None
    soft_limit_seconds: int
    time_limit_seconds: int
    failures: int
    max_attempts: int
    waited_seconds: float
    errors: int = 0
    files: dict[str, StoredFile] = field(default_factory=dict)
    checkpoint_file: StoredFile | None = None
    group_id: UUID | None = None
    dataset_id: UUID | None = None


@dataclass(frozen=True)
class Batch:
    """One computed batch. `output` holds one JSON object a line, a line a row.

    A large output is in the part file `part_key` of `part_bytes` in storage instead.
    """

    first_row: int
    row_count: int
    output: bytes | None
    step: str
    data: bytes = b"{}"
    part_key: str | None = None
    errors: int = 0
    part_bytes: int = 0

    @property
    def bytes(self) -> int:
        """How many bytes are stored of it."""
        return self.part_bytes if self.output is None else len(self.output)


@dataclass(frozen=True)
class Report:
    """What an attempt has to say: the batches from `first_batch` on, and its result if it is done.

    A large checkpoint is `checkpoint_file` instead. `is_early` says that what is done is the whole job,
    though its total promised more.
    """

    job_id: UUID
    attempt: int
    first_batch: int
    batches: tuple[Batch, ...]
    checkpoint: bytes | None = None
    checkpoint_file: StoredFile | None = None
    result: bytes | None = None
    is_early: bool = False
    owner_id: UUID | None = None

    @property
    def batch_bytes(self) -> int:
        """How many bytes the batches store."""
        return sum(batch.bytes for batch in self.batches)

    @property
    def checkpoint_bytes(self) -> int | None:
        """How many bytes the checkpoint stores, which takes the place of the one before; None without one."""
        if self.checkpoint_file is not None:
            return self.checkpoint_file.bytes
        return None if self.checkpoint is None else len(self.checkpoint)

    @property
    def is_final(self) -> bool:
        """Whether the attempt says that the job is done."""
        return self.result is not None


@dataclass(frozen=True)
class TransitionResult:
    """What a transition did to one job: where it stands now, and the events that tell of it."""

    job_id: UUID
    owner_id: UUID
    queue: str
    kind: str
    status: Status
    worker_id: UUID | None
    is_due: bool
    events: tuple[Event, ...]
