"""Puts rows right before a page that cannot be read: reading behind them is a crash, not a number."""

import ctypes
import mmap
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import numpy as np
import numpy.typing as npt

PAGE: Final = mmap.PAGESIZE
_PROT_NONE: Final = 0
_libc: Final = ctypes.CDLL(None, use_errno=True)


def guarded(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """A copy of the array whose last byte is the last before a page that cannot be read.

    The page before its first one cannot be read either. The pages are never given back: the array lives as
    long as the process of the batch.
    """
    pages = -(-max(array.nbytes, 1) // PAGE)
    memory = mmap.mmap(-1, (pages + 2) * PAGE)
    _KEPT.append(memory)
    start = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    for page in (0, pages + 1):
        if _libc.mprotect(ctypes.c_void_p(start + page * PAGE), PAGE, _PROT_NONE):
            raise OSError(ctypes.get_errno(), "mprotect")
    offset = (pages + 1) * PAGE - array.nbytes
    copy = np.frombuffer(memory, array.dtype, array.size, offset).reshape(array.shape)
    copy[...] = array
    return copy


_KEPT: Final[list[mmap.mmap]] = []


@contextmanager
def rows_before_a_guard() -> Iterator[None]:
    """Within it, what scikit-learn validates ends at a page that cannot be read.

    Validation is where rows get the type and order in which compiled code reads them: so its result is copied
    before a guard, wherever an estimator asks for it.
    """
    from sklearn.utils import validation

    genuine = validation.check_array

    def check_array(*args: Any, **keywords: Any) -> Any:
        checked = genuine(*args, **keywords)
        is_rows = type(checked) is np.ndarray and checked.dtype.kind in "fiu" and checked.flags.c_contiguous
        return guarded(checked) if is_rows and checked.size else checked

    validation.check_array = check_array
    try:
        yield
    finally:
        validation.check_array = genuine
