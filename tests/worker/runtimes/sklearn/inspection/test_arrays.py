"""Arrays in model files: headers must match their data, and values their types."""

import io
import struct
from typing import Any

import numpy as np
import pytest
from scipy import sparse
from sklearn.tree._tree import NODE_DTYPE

from worker.runtimes.runtime import BrokenModel
from worker.runtimes.sklearn.inspection import arrays


def written(array: Any) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=True)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "array",
    [
        np.arange(6).reshape(2, 3),
        np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        np.array(3.5),
        np.empty((0, 4)),
        np.array(["ä", "b\U0001f600"]),
        np.array([b"a", b"bc"]),
        np.array([True, False]),
        np.arange(3, dtype=">f8"),
        np.zeros(3, NODE_DTYPE),
    ],
)
def test_an_array_is_read_unchanged(array: Any) -> None:
    read = arrays.read(written(array))

    assert np.array_equal(read, array)
    assert read.dtype.isnative
    assert read.flags.writeable
    assert read.flags.f_contiguous == array.flags.f_contiguous


def with_header(header: bytes, numbers: bytes) -> bytes:
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + numbers


@pytest.mark.parametrize(
    "header",
    [
        b"{'descr': '<f8', 'fortran_order': False, 'shape': (2,), }\n",
        b"{'shape': (2,), 'fortran_order': False, 'descr': '<f8'}\n",
        b"{'descr': '<f8','fortran_order': False,'shape': (2,)}   \n",
    ],
)
def test_headers_are_read_in_any_notation(header: bytes) -> None:
    assert arrays.read(with_header(header, struct.pack("<2d", 1.5, 2.5))).tolist() == [1.5, 2.5]


def test_a_header_of_a_wrong_length_is_refused() -> None:
    header = b"{'descr': '<f8', 'fortran_order': False, 'shape': (1,), }\n"
    content = with_header(header, bytes(8))

    with pytest.raises(BrokenModel, match="truncated header"):
        arrays.read(content.replace(struct.pack("<H", len(header)), struct.pack("<H", len(header) - 4), 1))


@pytest.mark.parametrize("descr", [b"'<f3'", b"'|U-1'", b"[('a', '<f3')]", b"[('a', '<f8'), ('a', '<f8')]"])
def test_a_type_unknown_to_numpy_is_refused(descr: bytes) -> None:
    header = b"{'descr': " + descr + b", 'fortran_order': False, 'shape': (1,), }\n"

    with pytest.raises((BrokenModel, ValueError)):
        arrays.read(with_header(header, bytes(16)))


@pytest.mark.parametrize("shape", [b"(9,)", b"(1,)", b"(0,)", b"(-3,)", b"(2, 3)", b"(3, 0)"])
def test_a_header_with_a_wrong_size_is_refused(shape: bytes) -> None:
    content = written(np.arange(3)).replace(b"(3,)", shape, 1)

    with pytest.raises((BrokenModel, ValueError)):
        arrays.read(content)


@pytest.mark.parametrize(
    "array",
    [
        np.array([{}], dtype=object),
        np.array([1j]),
        np.array(["2020-01-01"], dtype="M8[D]"),
        np.zeros(2, np.longdouble),
        np.zeros(2, [("a", "O")]),
        np.zeros(2, [("a", "f8", (2,))]),
    ],
)
def test_an_array_of_an_unsupported_type_is_refused(array: Any) -> None:
    with pytest.raises(BrokenModel, match="unsupported type"):
        arrays.read(written(array))


def test_a_bool_is_normalised_to_zero_or_one() -> None:
    content = written(np.array([True, False]))[:-2] + b"\xff\x07"

    read = arrays.read(content)

    assert read.view(np.uint8).tolist() == [1, 1]


def test_a_character_beyond_unicode_is_refused() -> None:
    content = written(np.array(["ab"]))[:-4] + b"\xff\xff\xff\x7f"

    with pytest.raises(BrokenModel, match="invalid Unicode characters"):
        arrays.read(content)


@pytest.mark.parametrize("kind", [sparse.csr_matrix, sparse.csr_array, sparse.csc_matrix, sparse.csc_array])
def test_a_sparse_matrix_is_read_unchanged(kind: Any) -> None:
    matrix = kind(np.array([[0.0, 1.0, 0.0], [2.0, 0.0, 3.0]]))
    buffer = io.BytesIO()
    sparse.save_npz(buffer, matrix)

    read = arrays.read_sparse(buffer.getvalue())

    assert type(read) is kind
    assert np.array_equal(read.toarray(), matrix.toarray())


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("indices", np.array([0, 7], np.int32)),
        ("indices", np.array([0, -1], np.int32)),
        ("indices", np.array([0], np.int32)),
        ("indptr", np.array([0, 1, 900], np.int32)),
        ("indptr", np.array([0, 2, 1], np.int32)),
        ("indptr", np.array([-5, 1, 2], np.int32)),
        ("indptr", np.array([0, 2], np.int32)),
        ("data", np.zeros(90)),
        ("data", np.zeros((2, 1))),
        ("shape", np.array([2, 2**40])),
        ("shape", np.array([2])),
        ("format", np.array("coo")),
    ],
)
def test_a_sparse_matrix_with_indices_beyond_its_shape_is_refused(name: str, value: Any) -> None:
    parts = {
        "data": np.ones(2),
        "indices": np.array([0, 1], np.int32),
        "indptr": np.array([0, 1, 2], np.int32),
        "shape": np.array([2, 2]),
        "format": np.array("csr"),
    }
    buffer = io.BytesIO()
    np.savez(buffer, **{**parts, name: value})

    with pytest.raises(BrokenModel, match="a sparse matrix"):
        arrays.read_sparse(buffer.getvalue())
