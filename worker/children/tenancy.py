"""Decide which jobs may share a child process. The worker decides it, before the child gets the job."""

from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

from app.core.sandbox.permissions import Permission
from app.jobs.kinds.kind import Kind
from app.jobs.transition_types import ClaimedJob


@dataclass(frozen=True)
class Tenancy:
    """What a job requires of its child, and what a child is bound to from its first job on.

    A child without an owner runs built-in code on inline rows, and serves all owners. A child that was
    given a file, a checkpoint or code of a plugin serves the owner of that job until it exits: should a
    malicious file have taken over the process, it never sees rows of another owner. `files` are storage
    keys, the only files that the child can open. A child that `may_write` has a folder of its own to write
    in.
    """

    owner_id: UUID | None = None
    permissions: frozenset[Permission] = frozenset()
    files: frozenset[str] = frozenset()
    may_write: bool = False

    def covers(self, required: "Tenancy") -> bool:
        """Return whether a child bound to this tenancy may run a job that requires the other."""
        return self.is_like(required) and required.files <= self.files

    def is_like(self, other: "Tenancy") -> bool:
        """Return whether both have the same owner, permissions and right to write; files may differ."""
        own = (self.owner_id, self.permissions, self.may_write)
        return own == (other.owner_id, other.permissions, other.may_write)

    @property
    def is_for_one_job(self) -> bool:
        """Whether the child ends after one job, so that no process that the job started outlives it."""
        return Permission.PROCESSES in self.permissions


def tenancy_of(job: ClaimedJob, kinds: Mapping[str, Kind]) -> Tenancy:
    """Return what a job requires of its child."""
    kind = kinds[job.kind]
    files = {file.key for file in job.files.values()}
    if job.checkpoint_file is not None:
        files.add(job.checkpoint_file.key)
    has_state = bool(files) or job.checkpoint is not None
    is_shared = kind.shares_children and not kind.permissions and not has_state
    owner_id = None if is_shared else job.owner_id
    may_write = kind.writes_files or job.is_profiled  # a child writes its profile into a file
    return Tenancy(owner_id, kind.permissions, frozenset(files), may_write)
