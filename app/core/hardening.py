"""What keeps other people's code away from our secrets, and ends it with the process that runs it.

A handler runs models and libraries that we did not write. What is in a process' environment or memory can be
read through /proc by every process of the same user, unless the kernel is told otherwise. So each of our
processes drops its secrets once the settings are read, and makes itself undumpable as it starts. Root's
children also lose the capability that reads undumpable processes.
"""

import ctypes
import os
import re
import struct
import sys
from typing import Final

from app.core import prctl

SECRETS: Final = frozenset({"DATABASE_URL", "REDIS_URL", "SECRET_KEY", "PREVIOUS_SECRET_KEY"})
"""The settings that are secret."""

_STORAGE_CREDENTIALS: Final = ("AWS_", "AZURE_", "GOOGLE_")
"""Prefixes of the variables that give access to a bucket, which the API and the worker need all the time."""

_SECRET_NAME: Final = re.compile(
    r"SECRET|PASSWORD|PASSWD|PASSPHRASE|CREDENTIAL|TOKEN|(API|ACCESS|PRIVATE)_?KEY"
)
_SECRET_VALUE: Final = re.compile(r"\w://[^/\s]*:[^/\s]*@")
"""A URL with a password in it."""

_ONE_THREAD: Final = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
_NO_TELEMETRY: Final = {"ORT_DISABLE_TELEMETRY": "1"}

# <linux/capability.h>
_CAPABILITY_VERSION: Final = 0x20080522
_SETPCAP: Final = 8
_CLEAR_AMBIENT: Final = 4

_libc: Final = ctypes.CDLL(None, use_errno=True)


def drop_secrets() -> None:
    """Take the secrets out of this process' environment; call it once the settings are read.

    In every spelling, because settings are read in every spelling.
    """
    for name in [name for name in os.environ if name.upper() in SECRETS]:
        del os.environ[name]


def clean_environment() -> dict[str, str]:
    """A copy of this process' environment for processes that run other people's code.

    Without our secrets, and without what looks like anybody's: what is called a password, token or key, and
    URLs with a password. BLAS and OpenMP get one thread: slots should not compete for cores, and a process
    that forks should have no threads.
    """
    kept = {name: value for name, value in os.environ.items() if not _is_secret(name.upper(), value)}
    return {**kept, **_ONE_THREAD, **_NO_TELEMETRY}


def _is_secret(name: str, value: str) -> bool:
    return (
        name in SECRETS
        or name.startswith(_STORAGE_CREDENTIALS)
        or _SECRET_NAME.search(name) is not None
        or _SECRET_VALUE.search(value) is not None
    )


def make_undumpable() -> None:
    """Close this process' memory and /proc files to other processes of the same user.

    `drop_secrets` is not enough: the block of memory that a process was started with stays readable as
    /proc/<pid>/environ. An exec undoes this call; a fork does not.
    """
    prctl.call(prctl.SET_DUMPABLE, 0)


def drop_capabilities() -> None:
    """Give up every privilege of root, and the way to get one back by executing a program; for good.

    With CAP_SYS_PTRACE root reads undumpable processes. Files of other users need CAP_DAC_OVERRIDE.
    """
    if sys.platform != "linux":
        return
    forbid_privileges()
    if _may_bound():
        for capability in range(_last_capability() + 1):
            prctl.call(prctl.CAPBSET_DROP, capability)
    prctl.call(prctl.CAP_AMBIENT, _CLEAR_AMBIENT)
    header = struct.pack("=Ii", _CAPABILITY_VERSION, 0)
    if _libc.capset(header, bytes(24)) != 0:
        raise prctl.error()


def forbid_privileges() -> None:
    """No program that this process executes has more privileges than it: `no_new_privs`."""
    prctl.call(prctl.SET_NO_NEW_PRIVS, 1)


def adopt_orphans() -> None:
    """Become the parent of descendants whose own parent died, so that they are reaped."""
    prctl.call(prctl.SET_CHILD_SUBREAPER, 1)


def die_with_parent(signal_number: int) -> None:
    """Have the kernel send this signal to this process when its parent dies."""
    prctl.call(prctl.SET_PDEATHSIG, signal_number)


def _may_bound() -> bool:
    """Whether the bounding set can be changed, which takes a capability."""
    header = struct.pack("=Ii", _CAPABILITY_VERSION, 0)
    data = ctypes.create_string_buffer(24)
    if _libc.capget(header, data) != 0:
        raise prctl.error()
    (effective,) = struct.unpack_from("=I", data)
    return bool(effective & 1 << _SETPCAP)


def _last_capability() -> int:
    with open("/proc/sys/kernel/cap_last_cap", encoding="ascii") as file:  # noqa: PTH123  # one line
        return int(file.read())
