"""`inspect_model`: check an uploaded model file."""

from typing import Any, Final

import msgspec

from app.jobs.kinds.inspect_model import FILE
from app.jobs.params import InspectModelParams
from app.models.versions import Signature
from worker.context import BadInput, JobContext, JobError, Outcome
from worker.runtimes import file_runtime
from worker.runtimes.runtime import BrokenModel, UnsafeModel

MAX_NAMES: Final = 10_000
"""With more columns or classes than this, their names are not stored; the model works without."""


def inspect_model(job: JobContext) -> Outcome:
    """Return the file's `signature`, or why it is `refused`. Both complete the job."""
    params = _params(job)
    runtime = file_runtime(params.runtime)
    if runtime is None:
        raise JobError("unknown_runtime", f"this worker cannot run {params.runtime} models")
    path = job.file(FILE)
    try:
        signature = runtime.inspect(path)
    except (UnsafeModel, BrokenModel) as error:
        return {"refused": _refusal(error)}
    return {"signature": msgspec.to_builtins(_drop_excess_names(signature))}


def _params(job: JobContext) -> InspectModelParams:
    try:
        return msgspec.convert(job.params, InspectModelParams)
    except msgspec.ValidationError as error:
        raise BadInput(f"params: {error}") from error


def _refusal(error: UnsafeModel | BrokenModel) -> dict[str, Any]:
    types = {"types": list(error.types)} if isinstance(error, UnsafeModel) else {}
    return {"code": error.code, "message": error.message, **types}


def _drop_excess_names(signature: Signature) -> Signature:
    columns, classes = signature.columns, signature.classes
    return msgspec.structs.replace(
        signature,
        columns=None if columns is None or len(columns) > MAX_NAMES else columns,
        classes=None if classes is None or len(classes) > MAX_NAMES else classes,
    )
