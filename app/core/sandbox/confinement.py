"""Confines the calling process irreversibly: files, system calls, network and file sizes."""

import os
import resource
import tempfile
from collections.abc import Collection, Iterable
from pathlib import Path

from app.core import hardening
from app.core.sandbox import landlock, readable, seccomp
from app.core.sandbox.permissions import Permission


class Confinement:
    """Confines the current process to the files and permissions of one job.

    The constructor does the slow part in advance, for the common case of no permissions: it builds the rules
    for the installed files and compiles the system call filter.
    """

    def __init__(self, installed: Iterable[Path]) -> None:
        self._installed = (*installed, *readable.PER_PROCESS)
        self._without_permissions = self._ruleset(frozenset())
        seccomp.prepare()

    def apply(
        self,
        permissions: Collection[Permission],
        *,
        files: Iterable[Path],
        scratch: Path | None,
        uses_gpus: bool = False,
    ) -> None:
        """Restrict this process to reading the installation and `files` and writing below `scratch`.

        With `uses_gpus`, it may also use the devices of GPUs. Everything else requires a permission.
        Temporary files go to `scratch`; if it is None, the process cannot write any. Raises OSError if the
        kernel supports a mechanism but fails to apply it.
        """
        if scratch is not None:
            os.environ["TMPDIR"] = tempfile.tempdir = str(scratch)
        elif Permission.FILES in permissions or not landlock.version():
            # With Landlock, no limit is needed: files cannot be opened, and files already open, such as the
            # worker's log, must be able to grow.
            limit_files(0)
        hardening.drop_capabilities()
        ruleset = self._without_permissions
        if permissions:
            ruleset.close()
            ruleset = self._ruleset(permissions)
        ruleset.allow_reading(files)
        ruleset.allow_writing((*(() if scratch is None else (scratch,)), *readable.WRITABLE_DEVICES))
        if uses_gpus:
            ruleset.allow_reading(readable.gpu_drivers())
            ruleset.allow_devices(readable.gpu_devices())
        ruleset.enforce()
        # Last, because the filter blocks the calls above.
        seccomp.apply(permissions)

    def _ruleset(self, permissions: Collection[Permission]) -> landlock.Ruleset:
        ruleset = landlock.Ruleset(permissions)
        ruleset.allow_reading(self._installed)
        return ruleset


def limit_files(max_bytes: int) -> None:
    """Make writes beyond `max_bytes` of a file fail with EFBIG, and disable core dumps."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (max_bytes, max_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def mechanisms() -> dict[str, int | bool]:
    """Return the sandbox mechanisms that this machine supports, for logging."""
    return {"seccomp": seccomp.is_available(), "landlock": landlock.version()}
