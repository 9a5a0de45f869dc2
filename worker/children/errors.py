"""Errors of child processes, as the worker sees them."""

import signal
from enum import StrEnum


class KillReason(StrEnum):
    """Why the worker killed a child."""

    CANCELLED = "cancelled"
    FENCED = "fenced"
    RELEASED = "released"
    TIME_LIMIT = "time_limit"
    MEMORY_LIMIT = "memory_limit"
    DISK_LIMIT = "disk_limit"
    PROTOCOL = "protocol"
    CLOSING = "closing"


class ChildStartFailed(Exception):
    """A child or the fork server failed to start."""


class ChildProtocolError(Exception):
    """The child sent invalid bytes, or a message that is not allowed in its state."""


class ChildDied(Exception):
    """The child process has exited.

    `reason` is why the worker killed it, None if the worker did not. `exit_code` is negative for a signal,
    as in `subprocess`: -11 after a segmentation fault; -9 without a reason is usually the kernel's OOM
    killer.
    """

    def __init__(self, pid: int, reason: KillReason | None, exit_code: int) -> None:
        super().__init__(pid, reason, exit_code)
        self.pid = pid
        self.reason = reason
        self.exit_code = exit_code

    @property
    def signal(self) -> signal.Signals | None:
        """The signal that ended the child, if one that has a name did: most real-time signals have none."""
        try:
            return signal.Signals(-self.exit_code) if self.exit_code < 0 else None
        except ValueError:
            return None

    def __str__(self) -> str:
        cause = f"exit code {self.exit_code}" if self.exit_code >= 0 else f"signal {-self.exit_code}"
        if self.signal is not None:
            cause = self.signal.name
        return f"The process that ran the job died: {cause if self.reason is None else self.reason.value}"
