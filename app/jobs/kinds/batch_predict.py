"""`batch_predict`: run a model over many rows, batch by batch."""

from typing import Final

import msgspec

from app.jobs.kinds.kind import Kind

KIND: Final = Kind(name="batch_predict")


class ModelReference(msgspec.Struct, frozen=True):
    """Exactly one version of one model, and the runtime that loads it."""

    name: str
    version: int
    runtime: str


class Params(msgspec.Struct, frozen=True):
    """What the handler is told. The rows travel apart, as the job's payload."""

    model: ModelReference
    batch_size: int
