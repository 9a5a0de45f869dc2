"""Binding for `prctl(2)`, which changes attributes of the calling process. Does nothing outside Linux."""

import ctypes
import os
import sys
from typing import Final

# <linux/prctl.h>
SET_PDEATHSIG: Final = 1
SET_DUMPABLE: Final = 4
SET_SECCOMP: Final = 22
CAPBSET_DROP: Final = 24
SET_CHILD_SUBREAPER: Final = 36
SET_NO_NEW_PRIVS: Final = 38
CAP_AMBIENT: Final = 47

_libc: Final = ctypes.CDLL(None, use_errno=True)


def call(option: int, second: int, third: int | bytes = 0) -> None:
    """Call `prctl(option, second, third)`; pass a C structure as bytes. Raises OSError."""
    if sys.platform != "linux":
        return
    unused = ctypes.c_ulong(0)
    last = ctypes.c_char_p(third) if isinstance(third, bytes) else ctypes.c_ulong(third)
    if _libc.prctl(option, ctypes.c_ulong(second), last, unused, unused) != 0:
        raise error()


def error() -> OSError:
    """Return the error of the last failed C library call as an OSError."""
    number = ctypes.get_errno()
    return OSError(number, os.strerror(number))
