"""A seccomp filter: system calls that a confined process is refused, with EPERM instead of its death.

The filter is a list of what is refused, not of what is allowed: numerical libraries use whatever calls a new
version of glibc likes, and an unforeseen refusal would be an outage. In return Landlock, the missing
capabilities and the missing secrets do not depend on this list being complete. What is newer than the list is
refused with ENOSYS, which glibc knows how to handle. See `seccomp(2)`, and `linux/filter.h` for the
instructions.
"""

import ctypes
import errno
import functools
import os
import platform
import socket
import struct
import sys
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Final

from app.core import prctl
from app.core.sandbox import syscalls
from app.core.sandbox.permissions import Permission

_AUDIT_ARCHITECTURES: Final = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}

# <linux/bpf_common.h>, <linux/seccomp.h>
_LOAD_WORD: Final = 0x20
_AND: Final = 0x54
_JUMP_IF_EQUAL: Final = 0x15
_JUMP_IF_GREATER: Final = 0x25
_RETURN: Final = 0x06
_ALLOW: Final = 0x7FFF0000
_ERRNO: Final = 0x00050000
_NUMBER_OFFSET: Final = 0
_ARCHITECTURE_OFFSET: Final = 4
_ARGUMENTS_OFFSET: Final = 16
_SECCOMP_MODE_FILTER: Final = 2

_INSTRUCTION: Final = struct.Struct("=HBBI")

_NETWORK: Final = ("socket", "connect", "bind", "listen", "accept", "accept4")

_PROGRAMS: Final = ("execve", "execveat", "fork", "vfork", "setpgid", "setsid")

_SIGNALS: Final = ("kill", "tkill", "tgkill", "rt_sigqueueinfo", "rt_tgsigqueueinfo")
"""Their first argument is a process; `tkill`'s is a thread, of which the filter knows only the first."""

_FOREIGN_FILES: Final = (
    *("chmod", "fchmod", "fchmodat", "chown", "fchown", "lchown", "fchownat"),
    *("setxattr", "lsetxattr", "fsetxattr", "removexattr", "lremovexattr", "fremovexattr"),
    *("utime", "utimes", "futimesat", "utimensat"),
    *("symlink", "symlinkat", "link", "linkat", "mknod", "mknodat"),
    *("inotify_init", "inotify_init1", "inotify_add_watch"),
)
"""What Landlock does not cover: attributes of files, links, watches."""

_ALWAYS: Final = (
    # Other processes
    *("ptrace", "process_vm_readv", "process_vm_writev", "process_madvise", "process_mrelease", "kcmp"),
    *("pidfd_open", "pidfd_send_signal", "pidfd_getfd", "ioprio_set"),
    *("migrate_pages", "move_pages"),
    # Memory shared by name, also with a Postgres of the same user
    *("shmget", "shmat", "shmctl", "msgget", "msgsnd", "msgrcv", "msgctl"),
    *("semget", "semop", "semctl", "semtimedop", "mq_open", "mq_unlink"),
    # Mounts and namespaces
    *("mount", "umount2", "pivot_root", "chroot", "move_mount", "open_tree", "fsopen", "fsconfig", "fsmount"),
    *("fspick", "mount_setattr", "unshare", "setns"),
    # Large or rarely used parts of the kernel
    *("bpf", "perf_event_open", "userfaultfd", "keyctl", "add_key", "request_key"),
    *("io_uring_setup", "io_uring_enter", "io_uring_register", "fanotify_init", "fanotify_mark"),
    *("open_by_handle_at", "name_to_handle_at", "memfd_create", "memfd_secret", "personality", "modify_ldt"),
    # The machine
    *("init_module", "finit_module", "delete_module", "kexec_load", "kexec_file_load", "reboot"),
    *("swapon", "swapoff", "acct", "settimeofday", "clock_settime", "clock_adjtime", "adjtimex"),
    *("sethostname", "setdomainname", "iopl", "ioperm", "quotactl", "quotactl_fd", "syslog", "vhangup"),
    *("lookup_dcookie", "nfsservctl", "uselib"),
)

_CLONE_THREAD: Final = 0x00010000
_CLONE_NAMESPACES: Final = 0x7E020000
_SOCK_TYPE_MASK: Final = 0xF

# <linux/prctl.h>: PR_SET_PDEATHSIG, _DUMPABLE, _MM, _CHILD_SUBREAPER, _PTRACER
_REFUSED_PRCTLS: Final = (1, 4, 35, 36, 0x59616D61)
# <asm-generic/fcntl.h>: F_SETOWN, F_SETSIG, F_SETOWN_EX, F_NOTIFY: signals to others by way of a descriptor
_REFUSED_FCNTLS: Final = (8, 10, 15, 1026)
# <asm-generic/ioctls.h>, <asm-generic/sockios.h>: TIOCSTI, TIOCLINUX, FIOSETOWN, SIOCSPGRP
_REFUSED_IOCTLS: Final = (0x5412, 0x541C, 0x8901, 0x8902)


@dataclass(frozen=True)
class _Test:
    """Passes if the low half of an argument, masked, is one of the values (`is_refusal`: none of them)."""

    argument: int
    values: tuple[int, ...]
    mask: int = 0xFFFFFFFF
    is_refusal: bool = False


@dataclass(frozen=True)
class _Rule:
    """One system call: refused with an errno unless it has tests and passes them all."""

    name: str
    tests: tuple[_Test, ...] = ()
    error: int = errno.EPERM


def is_available() -> bool:
    """Whether this machine can have the filter."""
    return sys.platform == "linux" and platform.machine() in _AUDIT_ARCHITECTURES


def apply(permissions: Collection[Permission]) -> None:
    """Refuse the calling thread, and what it starts, all that the permissions do not cover; for good.

    `no_new_privs` has to be set. Does nothing where there is no such filter. Raises OSError.
    """
    if not is_available():
        return
    program = compiled(platform.machine(), os.getpid(), frozenset(permissions))
    buffer = ctypes.create_string_buffer(program, len(program))
    header = struct.pack("HP", len(program) // _INSTRUCTION.size, ctypes.addressof(buffer))
    prctl.call(prctl.SET_SECCOMP, _SECCOMP_MODE_FILTER, header)


def prepare() -> None:
    """Compile the filter of this process for no permissions, so that `apply` takes no time."""
    if is_available():
        compiled(platform.machine(), os.getpid(), frozenset())


@functools.lru_cache(maxsize=1)
def compiled(machine: str, pid: int, permissions: frozenset[Permission]) -> bytes:
    """The program for one architecture and process."""
    return b"".join(_program(machine, pid, permissions))


def _rules(pid: int, permissions: Collection[Permission]) -> Iterator[_Rule]:
    if Permission.NETWORK not in permissions:
        yield from map(_Rule, _NETWORK)
        # asyncio wakes itself over a pair of sockets. Not of datagrams: those can be sent to any address.
        is_local = _Test(0, (socket.AF_UNIX,))
        is_stream = _Test(1, (socket.SOCK_STREAM,), mask=_SOCK_TYPE_MASK)
        yield _Rule("socketpair", (is_local, is_stream))
    # Which flags `clone3` has, a filter cannot see; without it glibc uses `clone`.
    yield _Rule("clone3", error=errno.ENOSYS)
    no_namespaces = _Test(0, (0,), mask=_CLONE_NAMESPACES)
    if Permission.PROCESSES in permissions:
        yield _Rule("clone", (no_namespaces,))
    else:
        yield _Rule("clone", (_Test(0, (_CLONE_THREAD,), mask=_CLONE_THREAD), no_namespaces))
        yield from map(_Rule, _PROGRAMS)
        yield from (_Rule(name, (_Test(0, (pid,)),)) for name in _SIGNALS)
    if Permission.FILES not in permissions:
        yield from map(_Rule, _FOREIGN_FILES)
    yield from map(_Rule, _ALWAYS)
    own = (_Test(0, (0, pid)),)
    yield _Rule("prlimit64", own)
    yield _Rule("setpriority", (_Test(0, (os.PRIO_PROCESS,)), _Test(1, (0, pid))))
    yield from (
        _Rule(name, own)
        for name in ("sched_setaffinity", "sched_setscheduler", "sched_setparam", "sched_setattr")
    )
    yield _Rule("prctl", (_Test(0, _REFUSED_PRCTLS, is_refusal=True),))
    yield _Rule("fcntl", (_Test(1, _REFUSED_FCNTLS, is_refusal=True),))
    yield _Rule("ioctl", (_Test(1, _REFUSED_IOCTLS, is_refusal=True),))


def _program(machine: str, pid: int, permissions: Collection[Permission]) -> Iterator[bytes]:
    # A program for another architecture has other numbers; one for x32 has numbers beyond all known ones.
    yield _instruction(_LOAD_WORD, _ARCHITECTURE_OFFSET)
    yield _instruction(_JUMP_IF_EQUAL, _AUDIT_ARCHITECTURES[machine], on_true=1)
    yield _instruction(_RETURN, _ERRNO | errno.EPERM)
    yield _instruction(_LOAD_WORD, _NUMBER_OFFSET)
    yield _instruction(_JUMP_IF_GREATER, syscalls.NEWEST, on_false=1)
    yield _instruction(_RETURN, _ERRNO | errno.ENOSYS)
    for rule in _rules(pid, permissions):
        number = syscalls.number(rule.name, machine)
        if number is None:
            continue
        verdict = list(_verdict(rule))
        yield _instruction(_JUMP_IF_EQUAL, number, on_false=len(verdict))
        yield from verdict
    yield _instruction(_RETURN, _ALLOW)


def _verdict(rule: _Rule) -> Iterator[bytes]:
    """What becomes of a call once its number has matched; every path returns."""
    refuse = _instruction(_RETURN, _ERRNO | rule.error)
    for test in rule.tests:
        yield _instruction(_LOAD_WORD, _ARGUMENTS_OFFSET + 8 * test.argument)  # its low half: little-endian
        if test.mask != 0xFFFFFFFF:
            yield _instruction(_AND, test.mask)
        for left, value in zip(reversed(range(len(test.values))), test.values, strict=True):
            # A match passes over the values that are left, and over what a mismatch with all of them does.
            yield _instruction(_JUMP_IF_EQUAL, value, on_true=left + 1)
        if test.is_refusal:
            yield _instruction(_JUMP_IF_EQUAL, 0, on_true=1, on_false=1)
        yield refuse
    if rule.tests:
        yield _instruction(_RETURN, _ALLOW)
    else:
        yield refuse


def _instruction(code: int, value: int, *, on_true: int = 0, on_false: int = 0) -> bytes:
    return _INSTRUCTION.pack(code, on_true, on_false, value)
