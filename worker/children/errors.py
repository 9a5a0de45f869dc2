"""What can go wrong with a child, as its worker sees it."""

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
    """A child, or the fork server that makes children, did not start."""


class ChildProtocolError(Exception):
    """The child sent what is no message, or no message that may come now."""


class ChildDied(Exception):
    """The child is gone.

    `reason` is the one it was killed for, None if it ended by itself. `exit_code` is negative for a signal,
    as in `subprocess`: -11 after a fault of its own, -9 without a reason from the kernel's OOM killer.
    """

    def __init__(self, pid: int, reason: KillReason | None, exit_code: int) -> None:
        super().__init__(pid, reason, exit_code)
        self.pid = pid
        self.reason = reason
        self.exit_code = exit_code

    @property
    def signal(self) -> signal.Signals | None:
        """The signal that ended the child, if one did."""
        return signal.Signals(-self.exit_code) if self.exit_code < 0 else None

    def __str__(self) -> str:
        how = f"exit code {self.exit_code}" if self.signal is None else self.signal.name
        return f"The process that ran the job died: {how if self.reason is None else self.reason.value}"
