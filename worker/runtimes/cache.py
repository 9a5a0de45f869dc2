"""The models that this child has loaded, the ones used last."""

from functools import lru_cache
from typing import Final

from app.jobs.params import ModelReference
from worker.context import JobError
from worker.runtimes import RUNTIMES
from worker.runtimes.runtime import Model

MAX_MODELS: Final = 8


# One process runs one job at a time, and a version of a model never changes: no lock, no expiry.
@lru_cache(maxsize=MAX_MODELS)
def load(reference: ModelReference) -> Model:
    """The model, loaded if this child has not used it lately. Raises JobError `unknown_runtime`."""
    runtime = RUNTIMES.get(reference.runtime)
    if runtime is None:
        raise JobError("unknown_runtime", f"this worker cannot run {reference.runtime} models")
    return runtime.load(reference)
