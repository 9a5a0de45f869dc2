"""Handle on a running attempt, to stop it from outside."""

from dataclasses import dataclass

from app.jobs.transition_types import ClaimedJob
from worker.children import messages
from worker.children.inside import InsideChild
from worker.children.messages import StopReason
from worker.children.pool import Child, KillReason


@dataclass
class RunningAttempt:
    """One attempt that runs here. To stop it at once, its child is killed with a reason."""

    job: ClaimedJob
    child: Child | InsideChild

    def revoke_as_fenced(self) -> None:
        """Stop at once: the worker has lost the attempt."""
        self.child.kill(KillReason.FENCED)

    def revoke_as_cancelled(self) -> None:
        """Stop at once: the job is being cancelled."""
        self.child.kill(KillReason.CANCELLED)

    def release(self) -> None:
        """Stop at once: the worker shuts down."""
        self.child.kill(KillReason.RELEASED)

    def request_stop(self, reason: StopReason) -> None:
        """Ask the handler to stop at its next commit."""
        self.child.send(messages.Stop(reason))
