"""Process hardening: keep secrets out of reach of untrusted code, and end child processes with their parent.

Handlers run third-party models and libraries. By default, any process of the same user can read another's
environment and memory through /proc. Each Headrace process therefore removes secrets from its environment
once it has read the settings, and makes itself undumpable at start-up. Child processes also drop the
capability with which root can read undumpable processes.
"""

import ctypes
import os
import re
import struct
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from app.core import prctl

SECRETS: Final = frozenset(
    {
        "DATABASE_URL",
        "REDIS_URL",
        "SECRET_KEY",
        "PREVIOUS_SECRET_KEY",
        "OTEL_EXPORTER_OTLP_HEADERS",
        "SMTP_USERNAME",
        "SMTP_PASSWORD",
        "RAY_AUTH_TOKEN",
    }
)
"""Settings that hold secrets."""

_CREDENTIALS: Final = ("AWS_", "AZURE_", "GOOGLE_", "OTEL_", "RAY_")
"""Prefixes of variables with credentials of buckets, collectors and clusters. Only the API and the worker
keep them."""

_SECRET_NAME: Final = re.compile(
    r"SECRET|PASSWORD|PASSWD|PASSPHRASE|CREDENTIAL|TOKEN|(API|ACCESS|PRIVATE)_?KEY"
)
_SECRET_VALUE: Final = re.compile(r"\w://[^/\s]*:[^/\s]*@")
"""Matches a URL that contains a password."""

_ONE_THREAD: Final = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
_NO_TELEMETRY: Final = {"ORT_DISABLE_TELEMETRY": "1"}

# <linux/capability.h>
_CAPABILITY_VERSION: Final = 0x20080522
_SETPCAP: Final = 8
_CLEAR_AMBIENT: Final = 4

_libc: Final = ctypes.CDLL(None, use_errno=True)


def drop_secrets() -> None:
    """Remove the secrets from this process's environment. Call it after reading the settings.

    Ignores case, because settings are also read case-insensitively.
    """
    for name in [name for name in os.environ if name.upper() in SECRETS]:
        del os.environ[name]


def clean_environment() -> dict[str, str]:
    """Return a copy of the environment that is safe for processes that run untrusted code.

    Excludes Headrace's secrets and anything that looks like a secret: variables named like a password, token
    or key, and URLs that contain a password. Limits BLAS and OpenMP to one thread, because slots must not
    compete for cores and a process that forks must not have threads.
    """
    kept = {name: value for name, value in os.environ.items() if not _is_secret(name.upper(), value)}
    return {**kept, **_ONE_THREAD, **_NO_TELEMETRY}


def _is_secret(name: str, value: str) -> bool:
    return (
        name in SECRETS
        or name.startswith(_CREDENTIALS)
        or _SECRET_NAME.search(name) is not None
        or _SECRET_VALUE.search(value) is not None
    )


def make_undumpable() -> None:
    """Deny other processes of the same user access to this process's memory and /proc files.

    `drop_secrets` alone does not suffice: /proc/<pid>/environ still shows the initial environment. `exec`
    resets the flag; `fork` keeps it.
    """
    prctl.call(prctl.SET_DUMPABLE, 0)


@contextmanager
def dumpable() -> Iterator[None]:
    """Make this process dumpable during the body, so that it may open its own files in /proc.

    Only for a process that holds no secrets yet.
    """
    prctl.call(prctl.SET_DUMPABLE, 1)
    try:
        yield
    finally:
        make_undumpable()


def drop_capabilities() -> None:
    """Drop all capabilities irreversibly, including those that executing a program could add.

    CAP_SYS_PTRACE lets root read undumpable processes, and CAP_DAC_OVERRIDE the files of other users.
    """
    if sys.platform != "linux":
        return
    set_no_new_privs()
    if _can_drop_from_bounding_set():
        for capability in range(_last_capability() + 1):
            prctl.call(prctl.CAPBSET_DROP, capability)
    prctl.call(prctl.CAP_AMBIENT, _CLEAR_AMBIENT)
    header = struct.pack("=Ii", _CAPABILITY_VERSION, 0)
    if _libc.capset(header, bytes(24)) != 0:
        raise prctl.error()


def set_no_new_privs() -> None:
    """Set `no_new_privs`: programs that this process executes cannot gain privileges."""
    prctl.call(prctl.SET_NO_NEW_PRIVS, 1)


def adopt_orphans() -> None:
    """Become the subreaper: orphaned descendants become children of this process, which can reap them."""
    prctl.call(prctl.SET_CHILD_SUBREAPER, 1)


def die_with_parent(signal_number: int) -> None:
    """Ask the kernel to send `signal_number` to this process when its parent dies."""
    prctl.call(prctl.SET_PDEATHSIG, signal_number)


def _can_drop_from_bounding_set() -> bool:
    """Whether this process has CAP_SETPCAP, which changing the bounding set requires."""
    header = struct.pack("=Ii", _CAPABILITY_VERSION, 0)
    data = ctypes.create_string_buffer(24)
    if _libc.capget(header, data) != 0:
        raise prctl.error()
    (effective,) = struct.unpack_from("=I", data)
    return bool(effective & 1 << _SETPCAP)


def _last_capability() -> int:
    with open("/proc/sys/kernel/cap_last_cap", encoding="ascii") as file:  # noqa: PTH123  # one line
        return int(file.read())
