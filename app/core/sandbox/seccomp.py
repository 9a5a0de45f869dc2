"""Seccomp filter that blocks system calls in sandboxed processes. Blocked calls fail with EPERM.

The filter is a deny-list: with an allow-list, a new version of glibc or of a numerical library that uses
another system call would cause an outage. Landlock, dropped capabilities and removed secrets do not rely on
the list being complete. System calls newer than the list fail with ENOSYS, for which glibc has fallbacks. See
`seccomp(2)`, and `linux/filter.h` for the instruction format.
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
"""Their first argument is a process id, or a thread id for `tkill`: the main thread's equals the pid."""

_FOREIGN_FILES: Final = (
    *("chmod", "fchmod", "fchmodat", "chown", "fchown", "lchown", "fchownat"),
    *("setxattr", "lsetxattr", "fsetxattr", "removexattr", "lremovexattr", "fremovexattr"),
    *("utime", "utimes", "futimesat", "utimensat"),
    *("symlink", "symlinkat", "link", "linkat", "mknod", "mknodat"),
    *("inotify_init", "inotify_init1", "inotify_add_watch"),
)
"""Operations on files that Landlock does not cover: attributes, links, watches."""

_ALWAYS: Final = (
    # Other processes
    *("ptrace", "process_vm_readv", "process_vm_writev", "process_madvise", "process_mrelease", "kcmp"),
    *("pidfd_open", "pidfd_send_signal", "pidfd_getfd", "ioprio_set"),
    *("migrate_pages", "move_pages"),
    # System V IPC and message queues, through which a Postgres of the same user could be reached
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
# <asm-generic/fcntl.h>: F_SETOWN, F_SETSIG, F_SETOWN_EX, F_NOTIFY: they send signals through a descriptor
_REFUSED_FCNTLS: Final = (8, 10, 15, 1026)
# <asm-generic/ioctls.h>, <asm-generic/sockios.h>: TIOCSTI, TIOCLINUX, FIOSETOWN, SIOCSPGRP
_REFUSED_IOCTLS: Final = (0x5412, 0x541C, 0x8901, 0x8902)


@dataclass(frozen=True)
class _Condition:
    """Holds if the masked low 32 bits of an argument equal one of the values (`is_negated`: none of them)."""

    argument: int
    values: tuple[int, ...]
    mask: int = 0xFFFFFFFF
    is_negated: bool = False


@dataclass(frozen=True)
class _Rule:
    """Blocks a system call with an errno, unless the rule has conditions and all of them hold."""

    name: str
    conditions: tuple[_Condition, ...] = ()
    error: int = errno.EPERM


def is_available() -> bool:
    """Whether the filter supports this platform and architecture."""
    return sys.platform == "linux" and platform.machine() in _AUDIT_ARCHITECTURES


def apply(permissions: Collection[Permission]) -> None:
    """Install the filter for these permissions irreversibly in the calling thread and its descendants.

    Requires `no_new_privs`. Does nothing if the filter is not available. Raises OSError.
    """
    if not is_available():
        return
    program = compile_filter(platform.machine(), os.getpid(), frozenset(permissions))
    buffer = ctypes.create_string_buffer(program, len(program))
    header = struct.pack("HP", len(program) // _INSTRUCTION.size, ctypes.addressof(buffer))
    prctl.call(prctl.SET_SECCOMP, _SECCOMP_MODE_FILTER, header)


def prepare() -> None:
    """Compile and cache this process's filter for no permissions, so that `apply` does not have to."""
    if is_available():
        compile_filter(platform.machine(), os.getpid(), frozenset())


@functools.lru_cache(maxsize=1)
def compile_filter(machine: str, pid: int, permissions: frozenset[Permission]) -> bytes:
    """Return the BPF program for one architecture, process and set of permissions."""
    return b"".join(_program(machine, pid, permissions))


def _rules(pid: int, permissions: Collection[Permission]) -> Iterator[_Rule]:
    if Permission.NETWORK not in permissions:
        yield from map(_Rule, _NETWORK)
        # asyncio's self-pipe needs a stream socket pair. Datagram sockets can send to any address.
        is_local = _Condition(0, (socket.AF_UNIX,))
        is_stream = _Condition(1, (socket.SOCK_STREAM,), mask=_SOCK_TYPE_MASK)
        yield _Rule("socketpair", (is_local, is_stream))
    # `clone3` passes its flags in memory, which a filter cannot read; glibc falls back to `clone`.
    yield _Rule("clone3", error=errno.ENOSYS)
    no_namespaces = _Condition(0, (0,), mask=_CLONE_NAMESPACES)
    if Permission.PROCESSES in permissions:
        yield _Rule("clone", (no_namespaces,))
    else:
        yield _Rule("clone", (_Condition(0, (_CLONE_THREAD,), mask=_CLONE_THREAD), no_namespaces))
        yield from map(_Rule, _PROGRAMS)
        yield from (_Rule(name, (_Condition(0, (pid,)),)) for name in _SIGNALS)
    if Permission.FILES not in permissions:
        yield from map(_Rule, _FOREIGN_FILES)
    yield from map(_Rule, _ALWAYS)
    only_self = (_Condition(0, (0, pid)),)
    yield _Rule("prlimit64", only_self)
    yield _Rule("setpriority", (_Condition(0, (os.PRIO_PROCESS,)), _Condition(1, (0, pid))))
    yield from (
        _Rule(name, only_self)
        for name in ("sched_setaffinity", "sched_setscheduler", "sched_setparam", "sched_setattr")
    )
    yield _Rule("prctl", (_Condition(0, _REFUSED_PRCTLS, is_negated=True),))
    yield _Rule("fcntl", (_Condition(1, _REFUSED_FCNTLS, is_negated=True),))
    yield _Rule("ioctl", (_Condition(1, _REFUSED_IOCTLS, is_negated=True),))


def _program(machine: str, pid: int, permissions: Collection[Permission]) -> Iterator[bytes]:
    # Another architecture numbers its calls differently; x32 uses numbers above all known ones.
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
        body = list(_rule_body(rule))
        yield _instruction(_JUMP_IF_EQUAL, number, on_false=len(body))
        yield from body
    yield _instruction(_RETURN, _ALLOW)


def _rule_body(rule: _Rule) -> Iterator[bytes]:
    """Yield the instructions that run once the call's number has matched. Every path returns."""
    block = _instruction(_RETURN, _ERRNO | rule.error)
    for condition in rule.conditions:
        # The low half of the 64-bit argument: both architectures are little-endian.
        yield _instruction(_LOAD_WORD, _ARGUMENTS_OFFSET + 8 * condition.argument)
        if condition.mask != 0xFFFFFFFF:
            yield _instruction(_AND, condition.mask)
        for left, value in zip(reversed(range(len(condition.values))), condition.values, strict=True):
            # On a match, skip the remaining comparisons and the instruction that handles "no match".
            yield _instruction(_JUMP_IF_EQUAL, value, on_true=left + 1)
        if condition.is_negated:
            yield _instruction(_JUMP_IF_EQUAL, 0, on_true=1, on_false=1)
        yield block
    if rule.conditions:
        yield _instruction(_RETURN, _ALLOW)
    else:
        yield block


def _instruction(code: int, value: int, *, on_true: int = 0, on_false: int = 0) -> bytes:
    return _INSTRUCTION.pack(code, on_true, on_false, value)
