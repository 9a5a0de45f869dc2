"""Read NumPy and SciPy arrays from the members of an archive, safely.

The size in a header is compared with the actual bytes before memory is allocated. Arrays of objects are
refused: they are pickles.
"""

import ast
import io
import re
import tokenize
import zipfile
from functools import lru_cache
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from scipy import sparse

from worker.runtimes.runtime import BrokenModel

INDEX_TYPES: Final = (np.dtype(np.int32), np.dtype(np.int64))

_SPARSE: Final = {
    ("csr", False): sparse.csr_matrix,
    ("csr", True): sparse.csr_array,
    ("csc", False): sparse.csc_matrix,
    ("csc", True): sparse.csc_array,
}
MAX_LENGTH: Final = 2**40

_READERS: Final = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}

_PLAIN: Final = rb"'[<>|][biufSU]\d{1,9}'"
_FIELD: Final = rb"\('[a-z_]{0,40}', '[<>|][biufV]\d{1,2}'\)"
_SHAPE: Final = rb"\d{1,12},|\d{1,12}(?:, \d{1,12})+|"
_USUAL_HEADER: Final = re.compile(
    rb"\x93NUMPY\x01\x00..\{'descr': (%b|\[%b(?:, %b){0,31}\]), 'fortran_order': (True|False),"
    rb" 'shape': \((%b)\), \} *\n" % (_PLAIN, _FIELD, _FIELD, _SHAPE),
    re.DOTALL,
)
"""The headers that NumPy writes for arrays of models. NumPy parses others, ten times slower."""


def read(content: bytes) -> npt.NDArray[Any]:
    """Read a `.npy` file into a new array. Raises BrokenModel, ValueError."""
    shape, is_fortran, dtype, start = _header(content)
    if dtype.hasobject or not (_is_plain(dtype) or _is_record(dtype)):
        raise BrokenModel(f"an array has the unsupported type {dtype}")
    count = 1
    for length in shape:
        if type(length) is not int or not 0 <= length < MAX_LENGTH:
            raise BrokenModel("an array has an invalid length")
        count *= length
    if dtype.itemsize * count != len(content) - start or (dtype.itemsize == 0 and count):
        raise BrokenModel("an array does not have the size in its header")
    flat = np.frombuffer(content, dtype, count, start) if count else np.empty(0, dtype)
    if dtype.kind == "b":
        # NumPy allocates memory by the sum of the bytes, so other values than 0 and 1 would corrupt it.
        flat = flat.view(np.uint8) != 0
    array = flat.reshape(shape, order="F" if is_fortran else "C").copy(order="K")
    # NumPy stores 4 bytes per character. Code points beyond U+10FFFF crash the conversion to str.
    if dtype.kind == "U" and count and int(_code_points(flat).max()) > 0x10FFFF:
        raise BrokenModel("an array has invalid Unicode characters")
    return array if dtype.isnative else array.astype(dtype.newbyteorder("="))


def read_sparse(content: bytes) -> Any:
    """Read a `.npz` file of `scipy.sparse.save_npz` as a matrix. Raises BrokenModel, ValueError."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = {name.removesuffix(".npy"): read(archive.read(name)) for name in archive.namelist()}
    stored = members["format"].item()
    name = stored.decode("ascii", "replace") if isinstance(stored, bytes) else stored
    kind = _SPARSE.get((name, bool(members["_is_array"].item()) if "_is_array" in members else False))
    shape = members["shape"].tolist()
    if kind is None or not (isinstance(shape, list) and len(shape) == 2):
        raise BrokenModel(
            f"a sparse matrix has the format {str(name)[:20]!r}; only 2-D csr and csc are supported"
        )
    data, indices, indptr = members["data"], members["indices"], members["indptr"]
    if not all(type(length) is int and 0 <= length < 2**31 for length in shape):
        raise BrokenModel("a sparse matrix has an invalid length")
    rows, columns = shape if name == "csr" else shape[::-1]
    is_consistent = (
        data.ndim == indices.ndim == indptr.ndim == 1
        and data.dtype.kind in "biuf"
        and indices.dtype == indptr.dtype
        and indices.dtype in INDEX_TYPES
        and len(indptr) == rows + 1
        and len(indices) == len(data) == int(indptr[-1])
        and int(indptr[0]) == 0
        and bool((np.diff(indptr) >= 0).all())
        and (not len(indices) or (int(indices.min()) >= 0 and int(indices.max()) < columns))
    )
    if not is_consistent:
        raise BrokenModel("a sparse matrix has indices beyond its shape")
    return kind((data, indices, indptr), shape=tuple(shape))


def _header(content: bytes) -> tuple[tuple[Any, ...], bool, np.dtype[Any], int]:
    """Return shape, Fortran order, type and offset of the data. Raises BrokenModel, ValueError."""
    usual = _USUAL_HEADER.match(content)
    if usual is not None and usual.end() == 10 + int.from_bytes(content[8:10], "little"):
        description, is_fortran, lengths = usual.groups()
        shape = tuple(int(length) for length in lengths.split(b",") if length)
        return shape, is_fortran == b"True", _dtype(description), usual.end()
    buffer = io.BytesIO(content)
    version = np.lib.format.read_magic(buffer)
    if version not in _READERS:
        raise BrokenModel(f"an array has the unsupported .npy version {version}")
    try:
        shape, is_fortran, dtype = _READERS[version](buffer)
    except tokenize.TokenError:  # NumPy converts all other errors to ValueError
        raise BrokenModel("an array has a truncated header") from None
    return shape, is_fortran, dtype, buffer.tell()


@lru_cache(maxsize=64)
def _dtype(description: bytes) -> np.dtype[Any]:
    """Parse the type in a header. Cached, because a forest has hundreds of arrays of four types."""
    try:
        dtype: np.dtype[Any] = np.lib.format.descr_to_dtype(ast.literal_eval(description.decode("ascii")))
    except TypeError as error:
        raise ValueError(f"an array has an unknown type: {error}") from None
    return dtype


def _code_points(flat: npt.NDArray[Any]) -> npt.NDArray[np.uint32]:
    byte_order = np.uint32 if flat.dtype.isnative else np.dtype(np.uint32).newbyteorder()
    return np.asarray(np.ascontiguousarray(flat).view(byte_order))


def _is_plain(dtype: np.dtype[Any]) -> bool:
    return dtype.kind in "US" or (dtype.kind in "biuf" and dtype.itemsize <= 8)


def _is_record(dtype: np.dtype[Any]) -> bool:
    """Return whether it is a record of numbers, like the nodes of a tree."""
    return dtype.fields is not None and all(
        field[0].kind in "iuf" and field[0].subdtype is None for field in dtype.fields.values()
    )
