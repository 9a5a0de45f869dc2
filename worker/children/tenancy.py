"""Whose jobs a child may run: decided by the worker from the job, before the child hears of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

from app.core.sandbox.permissions import Permission
from app.jobs.kinds.kind import Kind
from app.jobs.transition_types import ClaimedJob


@dataclass(frozen=True)
class Tenancy:
    """What a job asks of its child, and from its first job on what a child is bound to.

    A child without an owner runs code of ours on rows that came with the job, and serves every owner. One
    that has been given a file, a checkpoint or code that we did not write serves the owner of that job until
    it ends: whatever such a file has made of the process, it meets no rows of another owner. `files` are keys
    of storage, the only files that the child can open. One that may write does so in a folder of its own.
    """

    owner_id: UUID | None = None
    permissions: frozenset[Permission] = frozenset()
    files: frozenset[str] = frozenset()
    may_write: bool = False

    def covers(self, wanted: "Tenancy") -> bool:
        """Whether a child that is bound to this may run a job that asks for that."""
        return self.is_like(wanted) and wanted.files <= self.files

    def is_like(self, other: "Tenancy") -> bool:
        """Whether both have the same owner and permissions, whatever the files they read."""
        mine = (self.owner_id, self.permissions, self.may_write)
        return mine == (other.owner_id, other.permissions, other.may_write)

    @property
    def is_for_one_job(self) -> bool:
        """Whether the child ends with its job, so that every process that the job started does."""
        return Permission.PROCESSES in self.permissions


def tenancy_of(job: ClaimedJob, kinds: Mapping[str, Kind]) -> Tenancy:
    """What a job asks of its child."""
    kind = kinds[job.kind]
    files = {file.key for file in job.files.values()}
    if job.checkpoint_file is not None:
        files.add(job.checkpoint_file.key)
    has_state = bool(files) or job.checkpoint is not None
    is_shared = kind.shares_children and not kind.permissions and not has_state
    owner_id = None if is_shared else job.owner_id
    return Tenancy(owner_id, kind.permissions, frozenset(files), kind.writes_files)
