"""What the end of an inspection means to whoever brought the model."""

from collections.abc import Mapping
from typing import Any, Final, Protocol

from app.jobs.states import Status
from app.models.errors import BrokenModel, InspectionCancelled, InspectionFailed, UnsafeModel

# How a child ends that a file is too much for.
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


class Row(Protocol):
    """The row of a job that has ended."""

    def __getitem__(self, column: str, /) -> Any:
        """The value of a column."""


def model_of(job: Row) -> tuple[str, int]:
    """The name and the number of the version that came of an inspection.

    Raises UnsafeModel, BrokenModel, InspectionCancelled, InspectionFailed.
    """
    match Status(job["status"]):
        case Status.COMPLETED:
            return _registered(job["result"])
        case Status.CANCELLED:
            raise InspectionCancelled(job_id=str(job["id"]))
    error: Mapping[str, Any] = job["error"]
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
