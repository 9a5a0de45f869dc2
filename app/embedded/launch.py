"""Executes a server: drops root, asks the kernel for a signal when the parent dies, then calls exec.

`process.py` runs this file as a script, with the standard library only. It is not a `preexec_fn` because
Python code between fork and exec can deadlock in a process with threads.

    launch.py PARENT_PID UID GID DEATH_SIGNAL PROGRAM [ARGUMENT ...]

A UID of -1 keeps the current user.
"""

import ctypes
import os
import signal
import sys

# From linux/prctl.h.
PR_SET_PDEATHSIG = 1


def become(uid: int, gid: int) -> None:
    """Switch from root to this account, and drop root's supplementary groups."""
    os.setgroups([])
    os.setgid(gid)
    os.setuid(uid)


def die_with(parent_pid: int, death_signal: int) -> None:
    """Have the kernel send `death_signal` when the thread that started this process ends."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_PDEATHSIG, death_signal, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    # The parent may have died before the call.
    if os.getppid() != parent_pid:
        sys.exit("the process that started this server has ended")


def main() -> None:
    """Execute the program of the command line; does not return."""
    parent_pid, uid, gid, death_signal = (int(word) for word in sys.argv[1:5])
    program = sys.argv[5:]
    if uid != -1:
        become(uid, gid)
    # After the change of user, which clears the request.
    if sys.platform == "linux":
        die_with(parent_pid, death_signal)
    # Python ignores these two signals, and its caller may block others; a program would inherit both.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    try:
        os.execv(program[0], program)  # noqa: S606 - this is what the script is for
    except OSError as error:
        sys.exit(f"cannot execute {program[0]} as user {os.geteuid()}: {error.strerror}")


if __name__ == "__main__":
    main()
