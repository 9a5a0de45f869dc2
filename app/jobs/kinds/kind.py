"""The API's half of a job kind: schema, limits and retry policy. The worker's half is its handler."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar
from uuid import UUID

import msgspec

from app.core.config import Settings
from app.core.errors import AppError
from app.core.files import StoredFile
from app.core.sandbox.permissions import Permission
from app.datasets.values import Dataset, DatasetReference
from app.jobs.requests import JobOptions
from app.jobs.shards.plan import Divisible
from app.models.versions import ModelVersion

P = TypeVar("P", bound=msgspec.Struct)


@dataclass(frozen=True)
class References:
    """What a request refers to: models by reference, as the user wrote it, and datasets by id or name."""

    models: tuple[str, ...] = ()
    datasets: tuple[DatasetReference, ...] = ()


@dataclass(frozen=True)
class ResolvedReferences:
    """The model versions and datasets that the references of a request resolve to, by reference."""

    models: Mapping[str, ModelVersion] = field(default_factory=dict)
    datasets: Mapping[DatasetReference, Dataset] = field(default_factory=dict)


@dataclass(frozen=True)
class JobPlan:
    """What is stored for a request: the handler's params, and the rows.

    `params` is a JSON object, `rows` a JSON array; `total` is the number of rows, if known. The handler gets
    `files` as local files, by these names. The dataset and the model version that are named here cannot be
    deleted while the job needs them. `upload_bytes` is the size of files that are stored for this job only,
    until it ends. A job that is `divisible` has a `total`, and its rows do not depend on each other.
    """

    params: bytes
    rows: bytes | None = None
    total: int | None = None
    files: Mapping[str, StoredFile] = field(default_factory=dict)
    dataset_id: UUID | None = None
    model_version_id: UUID | None = None
    upload_bytes: int = 0
    divisible: Divisible | None = None


@dataclass(frozen=True)
class FanOut:
    """The jobs into which one request fans out, as a group, and the message of the response.

    `search` is the state of a search. `member` is the list in the request that the jobs are made of, to which
    errors refer; None if each job is made of the whole request.
    """

    requests: tuple[JobOptions, ...]
    search: Mapping[str, Any] | None = None
    message: str = ""
    member: str | None = None


@dataclass(frozen=True)
class StoredRequest:
    """What is stored of a request: the counterpart of `JobPlan`, of which the kind made it.

    `rows` is None if there are none, or so many bytes of them that they are not read at once. `has_text_rows`
    means that the first of them is a text. `shards` is None for a job that was not divided.
    """

    params: Mapping[str, Any]
    total: int | None = None
    shards: int | None = None
    max_failed_shards: int | None = None
    dataset_id: UUID | None = None
    files: Mapping[str, StoredFile] = field(default_factory=dict)
    rows: bytes | None = None
    has_text_rows: bool = False

    def read_params(self, params: type[P]) -> P:
        """Return the params as the handler reads them. Raises RestoreError for those of another version."""
        try:
            return msgspec.convert(self.params, params, strict=False)
        except msgspec.ValidationError:
            raise RestoreError("another version has stored it in another form.") from None


@dataclass(frozen=True)
class RestoredRequest:
    """The body of the request that was stored, and the member that held its rows, which the body lacks."""

    body: dict[str, Any]
    rows_member: str | None = None


class RestoreError(Exception):
    """The request cannot be made again of what is stored. Its text ends a sentence with the reason."""


def admit_all(_request: Any, _settings: Settings) -> None:
    """Admit every request."""


def no_fan_out(_request: Any) -> FanOut | None:
    """Return None: each request is one job."""
    return None


def no_references(_request: Any) -> References:
    """Return no references."""
    return References()


@dataclass(frozen=True)
class RetryPolicy:
    """The delay before a retry, and the errors that are not retried.

    The delay after the n-th failure is about `base_seconds` · 2ⁿ⁻¹, at most `maximum_seconds`; None means the
    setting. `never` holds the codes of errors that every further attempt would repeat.
    """

    base_seconds: float | None = None
    maximum_seconds: float | None = None
    never: frozenset[str] = frozenset()


@dataclass(frozen=True, eq=False)
class Kind:
    """A kind of job. Compared by identity.

    `request` is the schema of the body of `POST /jobs/<kind>`. `references` returns what a request refers to.
    `admit` raises an AppError for what the settings do not allow; `plan` turns the request and the resolved
    references into what is stored, and raises one if the request cannot work. `errors` lists these for the
    OpenAPI document. Requests for which `fan_out` returns a value become a group of jobs. `restore` is the
    inverse of `plan`: it makes the body again of what is stored, and may raise RestoreError. An internal
    kind (`is_internal`) has no route of its own: another route creates its jobs.

    `permissions` is what the handler may do beyond computing, if the setting CHILD_PERMISSIONS allows it.
    `shares_children` promises that the handler keeps nothing of a job: a job without files then runs in a
    process that also serves other owners. Processes of all other kinds serve one owner each. Unless
    `writes_files`, the handler's process cannot write any file, not even temporary ones or large checkpoints.
    `outputs_rows` promises one output for each input row, in the same order, so that results can include it.
    """

    name: str
    summary: str
    request: type[JobOptions]
    plan: Callable[[Any, ResolvedReferences], JobPlan]
    references: Callable[[Any], References] = no_references
    admit: Callable[[Any, Settings], None] = admit_all
    fan_out: Callable[[Any], FanOut | None] = no_fan_out
    message: str = "Job created successfully"
    errors: tuple[AppError | type[AppError], ...] = ()
    examples: dict[str, Any] = field(default_factory=dict)
    restore: Callable[[StoredRequest], RestoredRequest] | None = None
    queue: str = "default"
    max_attempts: int = 3
    soft_limit_seconds: int = 1500
    time_limit_seconds: int = 1800
    retry: RetryPolicy = RetryPolicy()
    is_internal: bool = False
    permissions: frozenset[Permission] = frozenset()
    shares_children: bool = False
    writes_files: bool = True
    outputs_rows: bool = False

    @property
    def path(self) -> str:
        """Path segment below `/jobs`."""
        return self.name.replace("_", "-")

    @property
    def operation_id(self) -> str:
        """The OpenAPI operation that creates such a job."""
        return f"create{''.join(word.capitalize() for word in self.name.split('_'))}Job"
