"""The outcome of an inspection, as the user who uploaded the model sees it."""

from collections.abc import Mapping
from typing import Any, Final

from app.jobs.job import Job
from app.jobs.states import Status
from app.models.errors import BrokenModel, InspectionCancelled, InspectionFailed, UnsafeModel

# Error codes of a child that crashed or ran out of a resource while loading the file.
_CRASHES: Final = frozenset(
    {
        "child_died",
        "disk_limit",
        "handler_error",
        "memory_limit",
        "message_too_large",
        "time_limit",
        "unserialisable_output",
    }
)


def model_of(job: Job) -> tuple[str, int]:
    """Return the name and the number of the version that an inspection has registered.

    Raises UnsafeModel, BrokenModel, InspectionCancelled, InspectionFailed.
    """
    match job.status:
        case Status.COMPLETED:
            return _registered(job.result or {})
        case Status.CANCELLED:
            raise InspectionCancelled(job_id=str(job.id))
    error = job.error
    assert error is not None  # noqa: S101  # the database has no failed job without an error
    if error["code"] in _CRASHES:
        raise BrokenModel(reason=f"Loading it failed: {error['message']}")
    raise InspectionFailed(reason=error["message"])


def _registered(result: Mapping[str, Any]) -> tuple[str, int]:
    refusal = result.get("refused")
    if refusal is None:
        name, _, number = result["model"].rpartition("@")
        return name, int(number)
    if refusal["code"] == UnsafeModel.code:
        raise UnsafeModel(reason=refusal["message"], types=refusal["types"])
    raise BrokenModel(reason=refusal["message"])
