"""Confines the calling process: what it may open, call and grow to, once and for good."""

import os
import resource
import tempfile
from collections.abc import Collection, Iterable
from pathlib import Path

from app.core import hardening
from app.core.sandbox import landlock, readable, seccomp
from app.core.sandbox.permissions import Permission


def confine(
    permissions: Collection[Permission],
    *,
    installed: Iterable[Path],
    files: Iterable[Path],
    scratch: Path | None,
) -> None:
    """Let this process read the installation and `files`, write below `scratch`, and compute.

    Beyond that only what the permissions say. Temporary files go to `scratch`; without it the process writes
    none. Raises OSError if the kernel has a mechanism and does not apply it.
    """
    if scratch is not None:
        os.environ["TMPDIR"] = tempfile.tempdir = str(scratch)
    elif Permission.FILES in permissions or not landlock.version():
        # Where Landlock refuses to open files, those that are open may grow: the worker's log may be one.
        limit_files(0)
    hardening.drop_capabilities()
    landlock.apply(
        permissions,
        readable=(*installed, *readable.OWN, *files),
        writable=(*(() if scratch is None else (scratch,)), *readable.WRITABLE_DEVICES),
    )
    # Last: from here on this process cannot change what holds for it.
    seccomp.apply(permissions)


def limit_files(max_bytes: int) -> None:
    """Refuse files that grow beyond so many bytes, with EFBIG, and core dumps."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (max_bytes, max_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def mechanisms() -> dict[str, int | bool]:
    """What this machine has to confine a process with, for the log of whoever starts one."""
    return {"seccomp": seccomp.is_available(), "landlock": landlock.version()}
