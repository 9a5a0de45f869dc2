"""Becomes a server: gives up root, asks to be told when the parent dies, then executes it.

Run as a script by `process.py`, with the standard library only. It is a program of its own, and not
a `preexec_fn`, because Python code between fork and exec can deadlock in a process with threads.

    launch.py PARENT_PID UID GID DEATH_SIGNAL PROGRAM [ARGUMENT ...]

A UID of -1 means: stay who you are.
"""

import ctypes
import os
import signal
import sys

# From linux/prctl.h.
PR_SET_PDEATHSIG = 1


def become(uid: int, gid: int) -> None:
    """Leave root for this account, without root's other groups."""
    os.setgroups([])
    os.setgid(gid)
    os.setuid(uid)


def die_with(parent_pid: int, death_signal: int) -> None:
    """Have the kernel send `death_signal` when the thread that started this process ends."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_PDEATHSIG, death_signal, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    # The parent may have died before the kernel was asked.
    if os.getppid() != parent_pid:
        sys.exit("the process that wanted this server is gone")


def main() -> None:
    """Do as the command line says, and never return."""
    parent_pid, uid, gid, death_signal = (int(word) for word in sys.argv[1:5])
    program = sys.argv[5:]
    if uid != -1:
        become(uid, gid)
    # Only now: a change of user makes the kernel forget the request.
    if sys.platform == "linux":
        die_with(parent_pid, death_signal)
    # Python ignores these two signals, and its caller may block others; a program would inherit both.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    try:
        os.execv(program[0], program)  # noqa: S606 - to become this program is the purpose
    except OSError as error:
        sys.exit(f"cannot execute {program[0]} as user {os.geteuid()}: {error.strerror}")


if __name__ == "__main__":
    main()
