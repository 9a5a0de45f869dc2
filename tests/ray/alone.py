"""Run a program in a network of its own, in which only the loopback interface exists.

Ray listens on ports of its own choosing. In a network namespace nothing else reaches them, no port is taken,
and nothing leaves the machine.

    python -m tests.ray.alone PROGRAM ARGUMENT …
"""

import ctypes
import fcntl
import os
import socket
import struct
import sys
from pathlib import Path
from typing import Final

_CLONE_NEWUSER: Final = 0x1000_0000
_CLONE_NEWNET: Final = 0x4000_0000

# <linux/sockios.h>, <linux/if.h>
_SIOCSIFFLAGS: Final = 0x8914
_UP: Final = 0x1

_libc: Final = ctypes.CDLL(None, use_errno=True)


def main() -> None:
    """Become the program. Without user namespaces it runs in the machine's network, and skips its tests."""
    try:
        enter()
    except OSError as error:
        sys.stderr.write(f"No network of its own: {error}\n")
    os.execvp(sys.argv[1], sys.argv[1:])  # noqa: S606  # there is no shell


def enter() -> None:
    """Move this process into a new network, and bring its loopback interface up. Raises OSError."""
    uid, gid = os.getuid(), os.getgid()
    if uid == 0:
        _unshare(_CLONE_NEWNET)
    else:
        # The same user in both: Postgres does not run as root, and a mapped root has no other user.
        _unshare(_CLONE_NEWUSER | _CLONE_NEWNET)
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{uid} {uid} 1")
        Path("/proc/self/gid_map").write_text(f"{gid} {gid} 1")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, _SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", _UP))


def is_alone() -> bool:
    """Whether this process is in a network without a way out."""
    return [name for _, name in socket.if_nameindex()] == ["lo"]


def _unshare(flags: int) -> None:
    if _libc.unshare(flags) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


if __name__ == "__main__":
    main()
