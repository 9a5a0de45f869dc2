"""Confines the calling process: what it may open, call and grow to, once and for good."""

import os
import resource
import tempfile
from collections.abc import Collection, Iterable
from pathlib import Path

from app.core import hardening
from app.core.sandbox import landlock, readable, seccomp
from app.core.sandbox.permissions import Permission


class Confinement:
    """Confines this process. What takes time, and needs neither permissions nor files, is done beforehand.

    Most processes get no permissions. For those the rules for the installation and the filter of system calls
    are ready before the job is known.
    """

    def __init__(self, installed: Iterable[Path]) -> None:
        self._installed = (*installed, *readable.OWN)
        self._without_permissions = self._ruleset(frozenset())
        seccomp.prepare()

    def apply(
        self, permissions: Collection[Permission], *, files: Iterable[Path], scratch: Path | None
    ) -> None:
        """Let this process read the installation and `files`, write below `scratch`, and compute.

        Beyond that only what the permissions say. Temporary files go to `scratch`; without it the process
        writes none. Raises OSError if the kernel has a mechanism and does not apply it.
        """
        if scratch is not None:
            os.environ["TMPDIR"] = tempfile.tempdir = str(scratch)
        elif Permission.FILES in permissions or not landlock.version():
            # Where Landlock refuses to open files, those that are open may grow: the worker's log may be one.
            limit_files(0)
        hardening.drop_capabilities()
        ruleset = self._without_permissions
        if permissions:
            ruleset.close()
            ruleset = self._ruleset(permissions)
        ruleset.allow_reading(files)
        ruleset.allow_writing((*(() if scratch is None else (scratch,)), *readable.WRITABLE_DEVICES))
        ruleset.enforce()
        # Last: from here on this process cannot change what holds for it.
        seccomp.apply(permissions)

    def _ruleset(self, permissions: Collection[Permission]) -> landlock.Ruleset:
        ruleset = landlock.Ruleset(permissions)
        ruleset.allow_reading(self._installed)
        return ruleset


def limit_files(max_bytes: int) -> None:
    """Refuse files that grow beyond so many bytes, with EFBIG, and core dumps."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (max_bytes, max_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def mechanisms() -> dict[str, int | bool]:
    """What this machine has to confine a process with, for the log of whoever starts one."""
    return {"seccomp": seccomp.is_available(), "landlock": landlock.version()}
