"""Reads NumPy and SciPy arrays from the members of a file. The size that a header claims is compared with the
bytes that are there before memory is allocated, and no array of objects is read: that would be a pickle."""

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
"""What NumPy writes for the arrays of a model. Any other header NumPy reads, ten times as slowly."""


def read(content: bytes) -> npt.NDArray[Any]:
    """The array of a `.npy` file, with its own memory. Raises BrokenModel, ValueError."""
    shape, is_fortran, dtype, start = _header(content)
    if dtype.hasobject or not (_is_plain(dtype) or _is_record(dtype)):
        raise BrokenModel(f"an array has the type {dtype}, which is not read")
    count = 1
    for length in shape:
        if type(length) is not int or not 0 <= length < MAX_LENGTH:
            raise BrokenModel("an array has a length that makes no sense")
        count *= length
    if dtype.itemsize * count != len(content) - start or (dtype.itemsize == 0 and count):
        raise BrokenModel("an array has another size than it claims")
    flat = np.frombuffer(content, dtype, count, start) if count else np.empty(0, dtype)
    if dtype.kind == "b":
        # NumPy counts on 0 and 1: it sizes memory by adding them up.
        flat = flat.view(np.uint8) != 0
    array = flat.reshape(shape, order="F" if is_fortran else "C").copy(order="K")
    # A text is 4 bytes a letter: those beyond U+10FFFF crash whatever turns them into a str.
    if dtype.kind == "U" and count and int(_letters(flat).max()) > 0x10FFFF:
        raise BrokenModel("an array has letters that Unicode does not have")
    return array if dtype.isnative else array.astype(dtype.newbyteorder("="))


def read_sparse(content: bytes) -> Any:
    """The matrix of a `.npz` file as `scipy.sparse.save_npz` writes it. Raises BrokenModel, ValueError."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = {name.removesuffix(".npy"): read(archive.read(name)) for name in archive.namelist()}
    written = members["format"].item()
    name = written.decode("ascii", "replace") if isinstance(written, bytes) else written
    kind = _SPARSE.get((name, bool(members["_is_array"].item()) if "_is_array" in members else False))
    shape = members["shape"].tolist()
    if kind is None or not (isinstance(shape, list) and len(shape) == 2):
        raise BrokenModel(
            f"a sparse matrix is {str(name)[:20]!r}; only csr and csc of two dimensions are read"
        )
    data, indices, indptr = members["data"], members["indices"], members["indptr"]
    if not all(type(length) is int and 0 <= length < 2**31 for length in shape):
        raise BrokenModel("a sparse matrix has a length that makes no sense")
    rows, columns = shape if name == "csr" else shape[::-1]
    is_sound = (
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
    if not is_sound:
        raise BrokenModel("a sparse matrix has places beyond its shape")
    return kind((data, indices, indptr), shape=tuple(shape))


def _header(content: bytes) -> tuple[tuple[Any, ...], bool, np.dtype[Any], int]:
    """Shape, order, type and place of the numbers. Raises BrokenModel, ValueError."""
    usual = _USUAL_HEADER.match(content)
    if usual is not None and usual.end() == 10 + int.from_bytes(content[8:10], "little"):
        written, is_fortran, lengths = usual.groups()
        shape = tuple(int(length) for length in lengths.split(b",") if length)
        return shape, is_fortran == b"True", _dtype(written), usual.end()
    buffer = io.BytesIO(content)
    version = np.lib.format.read_magic(buffer)
    if version not in _READERS:
        raise BrokenModel(f"an array is in format {version}, which is not read")
    try:
        shape, is_fortran, dtype = _READERS[version](buffer)
    except tokenize.TokenError:  # NumPy turns the other errors of a header into ValueErrors
        raise BrokenModel("an array has a header that ends too soon") from None
    return shape, is_fortran, dtype, buffer.tell()


@lru_cache(maxsize=64)
def _dtype(written: bytes) -> np.dtype[Any]:
    """The type that a header names. A forest has hundreds of arrays, of four types."""
    try:
        dtype: np.dtype[Any] = np.lib.format.descr_to_dtype(ast.literal_eval(written.decode("ascii")))
    except TypeError as error:
        raise ValueError(f"an array has a type that NumPy does not have: {error}") from None
    return dtype


def _letters(flat: npt.NDArray[Any]) -> npt.NDArray[np.uint32]:
    in_order = np.uint32 if flat.dtype.isnative else np.dtype(np.uint32).newbyteorder()
    return np.asarray(np.ascontiguousarray(flat).view(in_order))


def _is_plain(dtype: np.dtype[Any]) -> bool:
    return dtype.kind in "US" or (dtype.kind in "biuf" and dtype.itemsize <= 8)


def _is_record(dtype: np.dtype[Any]) -> bool:
    """Whether it is a record of numbers, as the nodes of a tree are."""
    return dtype.fields is not None and all(
        field[0].kind in "iuf" and field[0].subdtype is None for field in dtype.fields.values()
    )
