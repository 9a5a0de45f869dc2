"""Why attempts fail: a stable code, a sentence for the job's owner, and whether a retry may help."""

from dataclasses import dataclass
from typing import assert_never

from app.core.config import Settings
from app.core.errors import AppError
from app.jobs.transition_types import ClaimedJob
from worker.children import messages
from worker.children.disk_usage import MAX_FILES
from worker.children.pool import ChildDied, ChildProtocolError, ChildStartFailed, KillReason
from worker.engines.engine import PlaceFault
from worker.files import FileFault
from worker.report_writer import Unstorable


@dataclass(frozen=True)
class Failure:
    """Why an attempt failed."""

    code: str
    message: str
    is_retryable: bool
    traceback: str | None = None

    @classmethod
    def from_message(cls, message: messages.Failed) -> "Failure":
        """Return the failure that the handler reports."""
        return cls(message.code, message.message, message.is_retryable, message.traceback)

    @classmethod
    def from_error(
        cls, error: FileFault | PlaceFault | ChildStartFailed | ChildProtocolError | Unstorable | AppError
    ) -> "Failure":
        """Convert an error of the worker to a failure."""
        match error:
            case FileFault():
                return cls(error.code, str(error), error.is_retryable)
            case PlaceFault():  # with its host, the child is lost
                return cls("child_died", f"The process that ran the job died: {error}", True)
            case ChildStartFailed():
                return cls("child_start_failed", str(error), True)
            case ChildProtocolError():
                return cls("child_protocol_error", str(error), True)
            case Unstorable():
                return cls("unstorable_output", str(error), False)
            case AppError():  # the quota is exceeded, or the completion was rejected
                return cls(error.code, error.detail, False)
            case never:
                assert_never(never)

    @classmethod
    def from_death(cls, death: ChildDied, job: ClaimedJob, settings: Settings) -> "Failure":
        """Convert the death of a child to a failure, unless the worker itself ended the attempt."""
        match death.reason:
            case KillReason.TIME_LIMIT:
                seconds = job.time_limit_seconds
                return cls("time_limit", f"The attempt ran longer than its limit of {seconds} s.", True)
            case KillReason.MEMORY_LIMIT:
                limit = settings.child_memory_limit_bytes
                return cls("memory_limit", f"The attempt used more than {limit} bytes of memory.", True)
            case KillReason.DISK_LIMIT:
                limit = settings.child_max_scratch_bytes
                message = f"The attempt wrote more than {limit} bytes, or {MAX_FILES} files, into its folder."
                return cls("disk_limit", message, False)
            case _:
                return cls("child_died", str(death), True)
