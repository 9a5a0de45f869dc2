"""Landlock rulesets: the kernel restricts which files a process can open. See `landlock(7)`.

A ruleset is an allow-list that the process and its descendants can never relax. Rules apply to inodes, not to
paths, so links and renamed parents do not circumvent them.
"""

import ctypes
import errno
import functools
import os
import struct
import sys
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Final

from app.core import prctl
from app.core.sandbox.permissions import Permission

# <asm-generic/unistd.h>; the same on every architecture.
_CREATE_RULESET: Final = 444
_ADD_RULE: Final = 445
_RESTRICT_SELF: Final = 446

# <linux/landlock.h>
_CREATE_RULESET_VERSION: Final = 1
_RULE_PATH_BENEATH: Final = 1

_EXECUTE: Final = 1 << 0
_WRITE_FILE: Final = 1 << 1
_READ_FILE: Final = 1 << 2
_READ_DIR: Final = 1 << 3
_REMOVE_DIR: Final = 1 << 4
_REMOVE_FILE: Final = 1 << 5
_MAKE_DIR: Final = 1 << 7
_MAKE_REG: Final = 1 << 8
_REFER: Final = 1 << 13
_TRUNCATE: Final = 1 << 14
_IOCTL_DEV: Final = 1 << 15

_RIGHTS_BY_VERSION: Final = {1: (1 << 13) - 1, 2: _REFER, 3: _TRUNCATE, 5: _IOCTL_DEV}
"""File system rights that each ABI version added."""

_TCP: Final = (1 << 0) | (1 << 1)
_TCP_MIN_VERSION: Final = 4
_SCOPES: Final = (1 << 0) | (1 << 1)
"""Connections to abstract Unix sockets outside the sandbox, and signals to processes outside it."""
_SCOPES_MIN_VERSION: Final = 6

_NON_DIRECTORY_RIGHTS: Final = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | _IOCTL_DEV
"""Rights that a rule for something other than a directory may contain."""

READ: Final = _EXECUTE | _READ_FILE | _READ_DIR
WRITE: Final = (
    READ & ~_EXECUTE | _WRITE_FILE | _REMOVE_DIR | _REMOVE_FILE | _MAKE_DIR | _MAKE_REG | _REFER | _TRUNCATE
)
"""All rights except executing files and creating symbolic links, devices, sockets and pipes."""

DEVICE: Final = _READ_FILE | _WRITE_FILE | _READ_DIR | _IOCTL_DEV

_libc: Final = ctypes.CDLL(None, use_errno=True)


@functools.cache
def version() -> int:
    """Return the kernel's Landlock ABI version; 0 if Landlock is missing or disabled."""
    if sys.platform != "linux":
        return 0
    result: int = _libc.syscall(
        _CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint(_CREATE_RULESET_VERSION)
    )
    return max(0, result)


class Ruleset:
    """Allow-list for one process. Add rules with `allow_…`; they take effect with `enforce`.

    Call `enforce` or `close` exactly once. `enforce` requires `no_new_privs`. All methods do nothing without
    Landlock and raise OSError if a system call fails.
    """

    def __init__(self, permissions: Collection[Permission]) -> None:
        self._files = 0
        self._descriptor: int | None = None
        self._is_closed = False
        if not version():
            return
        self._files = 0 if Permission.FILES in permissions else _file_rights()
        network = 0 if Permission.NETWORK in permissions or version() < _TCP_MIN_VERSION else _TCP
        scopes = _SCOPES if version() >= _SCOPES_MIN_VERSION else 0
        if self._files | network | scopes:
            self._descriptor = _create_ruleset(self._files, network, scopes)

    def allow_reading(self, paths: Iterable[Path]) -> None:
        """Allow reading these files and everything below these folders. Missing paths are skipped."""
        self._allow(paths, READ)

    def allow_writing(self, paths: Iterable[Path]) -> None:
        """Allow writing these files and everything below these folders. Missing paths are skipped."""
        self._allow(paths, WRITE)

    def allow_devices(self, paths: Iterable[Path]) -> None:
        """Allow reading, writing and controlling these devices. Missing paths are skipped."""
        self._allow(paths, DEVICE)

    def enforce(self) -> None:
        """Apply the rules irreversibly to the calling thread and its descendants."""
        if self._is_closed:
            raise RuntimeError("the ruleset is already enforced or closed")
        if self._descriptor is not None:
            _check(_libc.syscall(_RESTRICT_SELF, self._descriptor, 0))
        self.close()

    def close(self) -> None:
        """Discard the ruleset."""
        self._is_closed = True
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _allow(self, paths: Iterable[Path], rights: int) -> None:
        if self._files and self._descriptor is not None:
            for path in paths:
                _add_rule(self._descriptor, path, rights & self._files)


def _file_rights() -> int:
    return sum(rights for since, rights in _RIGHTS_BY_VERSION.items() if since <= version())


def _create_ruleset(files: int, network: int, scopes: int) -> int:
    attributes = struct.pack("=QQQ", files, network, scopes)
    # Older kernels define a shorter structure and accept a longer one if the rest is zero.
    return _check(_libc.syscall(_CREATE_RULESET, attributes, ctypes.c_size_t(len(attributes)), 0))


def _add_rule(ruleset: int, path: Path, rights: int) -> None:
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.EACCES):
            return
        raise
    try:
        allowed = rights if path.is_dir() else rights & _NON_DIRECTORY_RIGHTS
        rule = struct.pack("=Qi", allowed, descriptor)
        _check(_libc.syscall(_ADD_RULE, ruleset, _RULE_PATH_BENEATH, rule, 0))
    finally:
        os.close(descriptor)


def _check(result: int) -> int:
    if result < 0:
        raise prctl.error()
    return result
