"""What handlers are told, kind by kind: plain data, so that a child process need not load anything else."""

from uuid import UUID

import msgspec


class ModelReference(msgspec.Struct, frozen=True):
    """Exactly one version of one model, and the runtime that loads it. The one that is built in has no id."""

    name: str
    version: int
    runtime: str
    id: UUID | None = None


class BatchPredictParams(msgspec.Struct, frozen=True):
    """For `batch_predict`. The rows travel apart, as the job's payload."""

    model: ModelReference
    batch_size: int
