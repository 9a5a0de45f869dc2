"""Landlock: the files that a confined process may open, by the kernel's own check. See `landlock(7)`.

A ruleset names what is allowed; everything else is refused, for good and for all that the process starts.
Rules hold for files and folders themselves, not for their names: links and renamed parents change nothing.
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

_RIGHTS_BY_VERSION: Final = {1: (1 << 13) - 1, 2: _REFER, 3: _TRUNCATE, 5: 1 << 15}
"""The rights over files that each version of the interface added."""

_TCP: Final = (1 << 0) | (1 << 1)
_TCP_FROM: Final = 4
_SCOPES: Final = (1 << 0) | (1 << 1)
"""Abstract Unix sockets, and signals to processes outside."""
_SCOPES_FROM: Final = 6

_OF_A_FILE: Final = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | (1 << 15)
"""The rights that a rule for something other than a folder may hold."""

READ: Final = _EXECUTE | _READ_FILE | _READ_DIR
WRITE: Final = (
    READ & ~_EXECUTE | _WRITE_FILE | _REMOVE_DIR | _REMOVE_FILE | _MAKE_DIR | _MAKE_REG | _REFER | _TRUNCATE
)
"""Everything but links, devices, sockets and pipes; and nothing there is executed."""

_libc: Final = ctypes.CDLL(None, use_errno=True)


@functools.cache
def version() -> int:
    """The version of the interface that this kernel has; 0 if it has none, or has it switched off."""
    if sys.platform != "linux":
        return 0
    found: int = _libc.syscall(
        _CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint(_CREATE_RULESET_VERSION)
    )
    return max(0, found)


class Ruleset:
    """What one process will be allowed: put together with `allow_…`, nothing holds before `enforce`.

    It is enforced once, or closed. `no_new_privs` has to be set. Does nothing where there is no Landlock. Its
    methods raise OSError.
    """

    def __init__(self, permissions: Collection[Permission]) -> None:
        self._files = 0
        self._descriptor: int | None = None
        self._is_closed = False
        if not version():
            return
        self._files = 0 if Permission.FILES in permissions else _file_rights()
        network = 0 if Permission.NETWORK in permissions or version() < _TCP_FROM else _TCP
        scopes = _SCOPES if version() >= _SCOPES_FROM else 0
        if self._files | network | scopes:
            self._descriptor = _new(self._files, network, scopes)

    def allow_reading(self, paths: Iterable[Path]) -> None:
        """Let the process read these files, and below these folders. What does not exist is skipped."""
        self._allow(paths, READ)

    def allow_writing(self, paths: Iterable[Path]) -> None:
        """Let the process write these files, and below these folders. What does not exist is skipped."""
        self._allow(paths, WRITE)

    def enforce(self) -> None:
        """Hold the calling thread, and what it starts, to the rules; for good."""
        if self._is_closed:
            raise RuntimeError("a ruleset is enforced once")
        if self._descriptor is not None:
            _checked(_libc.syscall(_RESTRICT_SELF, self._descriptor, 0))
        self.close()

    def close(self) -> None:
        """Give the rules up."""
        self._is_closed = True
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _allow(self, paths: Iterable[Path], rights: int) -> None:
        if self._files and self._descriptor is not None:
            for path in paths:
                _add(self._descriptor, path, rights & self._files)


def _file_rights() -> int:
    return sum(rights for since, rights in _RIGHTS_BY_VERSION.items() if since <= version())


def _new(files: int, network: int, scopes: int) -> int:
    attributes = struct.pack("=QQQ", files, network, scopes)
    # An old kernel knows a shorter structure, and accepts a longer one if the rest is zero.
    return _checked(_libc.syscall(_CREATE_RULESET, attributes, ctypes.c_size_t(len(attributes)), 0))


def _add(ruleset: int, path: Path, rights: int) -> None:
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.EACCES):
            return
        raise
    try:
        allowed = rights if path.is_dir() else rights & _OF_A_FILE
        rule = struct.pack("=Qi", allowed, descriptor)
        _checked(_libc.syscall(_ADD_RULE, ruleset, _RULE_PATH_BENEATH, rule, 0))
    finally:
        os.close(descriptor)


def _checked(result: int) -> int:
    if result < 0:
        raise prctl.error()
    return result
