"""What keeps other people's code away from the worker's secrets, and ends it with the worker.

A handler runs models and libraries that we did not write. What is in a process' environment or memory
can be read through /proc by every process of the same user, unless the kernel is told otherwise. The
prctl calls exist on Linux only; elsewhere they do nothing.
"""

import ctypes
import os
import sys
from typing import Final

SECRETS: Final = frozenset({"DATABASE_URL", "REDIS_URL", "SECRET_KEY", "PREVIOUS_SECRET_KEY"})
"""The settings that no child may see."""

_STORAGE_CREDENTIALS: Final = ("AWS_", "AZURE_", "GOOGLE_")
"""How the variables start that give access to a bucket. The worker itself needs them as long as it lives."""

# <linux/prctl.h>
_PR_SET_PDEATHSIG: Final = 1
_PR_SET_DUMPABLE: Final = 4
_PR_SET_CHILD_SUBREAPER: Final = 36

_libc: Final = ctypes.CDLL(None, use_errno=True)


def drop_secrets() -> None:
    """Take the secrets out of this process' environment; call it once the settings are read.

    In every spelling, because settings are read in every spelling.
    """
    for name in [name for name in os.environ if name.upper() in SECRETS]:
        del os.environ[name]


def clean_environment() -> dict[str, str]:
    """A copy of this process' environment without the secrets, for its children.

    BLAS and OpenMP get one thread: slots are not to fight for cores, and what forks is not to have threads.
    """
    kept = {
        name: value
        for name, value in os.environ.items()
        if name.upper() not in SECRETS and not name.upper().startswith(_STORAGE_CREDENTIALS)
    }
    return {**kept, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


def make_undumpable() -> None:
    """Close this process' memory and /proc files to other processes of the same user.

    `drop_secrets` is not enough: the block of memory that a process was started with stays readable as
    /proc/<pid>/environ. An exec undoes this call, so no child inherits it.
    """
    _prctl(_PR_SET_DUMPABLE, 0)


def adopt_orphans() -> None:
    """Become the parent of descendants whose own parent died, so that somebody reaps them."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def die_with_parent(signal_number: int) -> None:
    """Have the kernel send this signal to this process when its parent dies."""
    _prctl(_PR_SET_PDEATHSIG, signal_number)


def _prctl(option: int, value: int) -> None:
    if sys.platform != "linux":
        return
    unused = ctypes.c_ulong(0)
    if _libc.prctl(option, ctypes.c_ulong(value), unused, unused, unused) != 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
