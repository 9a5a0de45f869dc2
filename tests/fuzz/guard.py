"""Guard pages: places arrays directly before unreadable pages, so that an out-of-bounds read crashes."""

import ctypes
import mmap
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import numpy as np
import numpy.typing as npt

PAGE: Final = mmap.PAGESIZE
GUARD: Final = 1024 * 1024
"""It takes no memory. A wrong index often leads far beyond the first page."""
_PROT_NONE: Final = 0
_libc: Final = ctypes.CDLL(None, use_errno=True)


def guarded(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return a copy of the array that ends at `GUARD` bytes that cannot be read.

    So does what is before the array. The memory is never freed: the process only serves one batch.
    """
    inner = -(-max(array.nbytes, 1) // PAGE) * PAGE
    memory = mmap.mmap(-1, GUARD + inner + GUARD)
    _KEPT.append(memory)
    start = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    for begin in (0, GUARD + inner):
        if _libc.mprotect(ctypes.c_void_p(start + begin), ctypes.c_size_t(GUARD), _PROT_NONE):
            raise OSError(ctypes.get_errno(), "mprotect")
    offset = GUARD + inner - array.nbytes
    copy = np.frombuffer(memory, array.dtype, array.size, offset).reshape(array.shape)
    copy[...] = array
    return copy


_KEPT: Final[list[mmap.mmap]] = []


@contextmanager
def rows_before_a_guard() -> Iterator[None]:
    """During the body, place every array that scikit-learn validates before a guard page.

    Validation converts rows to the type and order that compiled code reads, so its result is what to guard.
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
