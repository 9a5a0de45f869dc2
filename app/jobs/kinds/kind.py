"""What the system has to know about a kind of job before it runs one."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from app.core.errors import AppError
from app.core.files import StoredFile
from app.core.sandbox.permissions import Permission
from app.datasets.values import Dataset
from app.jobs.requests import JobOptions
from app.models.versions import ModelVersion


@dataclass(frozen=True)
class References:
    """What a request names and has to be looked up: models as the user wrote them, datasets by id."""

    models: tuple[str, ...] = ()
    datasets: tuple[UUID, ...] = ()


@dataclass(frozen=True)
class ResolvedReferences:
    """What a request's references mean, by what was written there."""

    models: Mapping[str, ModelVersion] = field(default_factory=dict)
    datasets: Mapping[UUID, Dataset] = field(default_factory=dict)


@dataclass(frozen=True)
class JobPlan:
    """What is stored of a request: what the handler is told, and the rows it works on.

    `params` is a JSON object, `rows` a JSON array; `total` is how many rows there are, if that is known.
    `files` are what the handler gets as local files, by the names under which it asks for them. The dataset
    and the version of a model that are named here cannot be deleted while the job needs them. `upload_bytes`
    are those of files that are stored for this job only, until it ends.
    """

    params: bytes
    rows: bytes | None = None
    total: int | None = None
    files: Mapping[str, StoredFile] = field(default_factory=dict)
    dataset_id: UUID | None = None
    model_version_id: UUID | None = None
    upload_bytes: int = 0


@dataclass(frozen=True)
class FanOut:
    """What a request becomes that asks for many jobs at once: a group, and what is said of it."""

    requests: tuple[JobOptions, ...]
    search: Mapping[str, Any]
    message: str


def no_fan_out(_request: Any) -> FanOut | None:
    """For a kind whose requests are each one job."""
    return None


def no_references(_request: Any) -> References:
    """For a kind whose requests name nothing that has to be looked up."""
    return References()


@dataclass(frozen=True)
class RetryPolicy:
    """How long to wait after a failure, and which failures are final.

    The n-th failure waits about `base_seconds` · 2ⁿ⁻¹, at most `maximum_seconds`; None means the setting.
    `never` holds codes of errors that another attempt would only meet again.
    """

    base_seconds: float | None = None
    maximum_seconds: float | None = None
    never: frozenset[str] = frozenset()


@dataclass(frozen=True, eq=False)
class Kind:
    """A sort of job. Each is itself and equal to no other.

    `request` is the body of `POST /jobs/<kind>`. `references` says what one names, `plan` turns it and what
    was found into work, and raises AppErrors for what can be seen to be wrong before the job exists (those
    in `errors` are in the OpenAPI document). A kind that `is_internal` has no such route: some other one, and
    nobody else, creates its jobs.

    `permissions` are what its handler may do beyond computing, if the setting CHILD_PERMISSIONS agrees. A
    kind that `shares_children` promises that its handler keeps nothing of a job: without files, such a job
    runs in a process that goes on to serve other owners. Every other kind's processes serve one owner each.
    `writes_files` says whether the handler writes files, temporary ones too, or commits large checkpoints. If
    not, its processes cannot write any.
    """

    name: str
    summary: str
    request: type[JobOptions]
    plan: Callable[[Any, ResolvedReferences], JobPlan]
    references: Callable[[Any], References] = no_references
    fan_out: Callable[[Any], FanOut | None] = no_fan_out
    message: str = "Job created successfully"
    errors: tuple[AppError | type[AppError], ...] = ()
    examples: dict[str, Any] = field(default_factory=dict)
    queue: str = "default"
    max_attempts: int = 3
    soft_limit_seconds: int = 1500
    time_limit_seconds: int = 1800
    retry: RetryPolicy = RetryPolicy()
    is_internal: bool = False
    permissions: frozenset[Permission] = frozenset()
    shares_children: bool = False
    writes_files: bool = True

    @property
    def path(self) -> str:
        """The kind's place below `/jobs`."""
        return self.name.replace("_", "-")

    @property
    def operation_id(self) -> str:
        """What a generated client calls the creation of such a job."""
        return f"create{''.join(word.capitalize() for word in self.name.split('_'))}Job"
