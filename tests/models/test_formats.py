"""What a file is, told without loading it, and what to do instead when it is something that runs code."""

import gzip
import io
import pickle  # noqa: TID251  # to have files that must be refused
import struct
import tracemalloc
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib  # noqa: TID251  # see above
import numpy as np
import pytest

from app.models import formats
from app.models.errors import BrokenModel, UnsafeModel
from tests.models import files


def of_joblib(compress: Any) -> bytes:
    buffer = io.BytesIO()
    joblib.dump(files.classifier(), buffer, compress=compress)
    return buffer.getvalue()


def of_numpy(save: Callable[..., Any], **arrays: Any) -> bytes:
    buffer = io.BytesIO()
    save(buffer, **arrays)
    return buffer.getvalue()


def of_torch() -> bytes:
    """What `torch.save` writes since 1.6: a zip archive around a pickle."""
    return files.zipped(
        {"model/data.pkl": pickle.dumps({}), "model/data/0": b"\0" * 8, "model/version": b"3\n"},
        compress=False,
    )


def of_torch_before() -> bytes:
    """What it wrote before: pickles one after the other, the first of a magic number."""
    return pickle.dumps(0x1950A86A20F9469CFC6C, 2) + pickle.dumps(1001, 2)


UNSAFE = {
    **{f"pickle {protocol}": pickle.dumps(files.classifier(), protocol) for protocol in range(6)},
    "a pickle that is a list": pickle.dumps([1, 2], 0),
    "joblib": of_joblib(0),
    "joblib zlib": of_joblib(("zlib", 3)),
    "joblib gzip": of_joblib(("gzip", 3)),
    "joblib bz2": of_joblib(("bz2", 3)),
    "joblib xz": of_joblib(("xz", 3)),
    "joblib lzma": of_joblib(("lzma", 3)),
    "npy": of_numpy(np.save, arr=np.arange(3)),
    "npy of objects": of_numpy(np.save, arr=np.array([{}], dtype=object)),
    "npz": of_numpy(np.savez, a=np.arange(3)),
    "torch": of_torch(),
    "torch before 1.6": of_torch_before(),
    "h5": b"\x89HDF\r\n\x1a\n" + bytes(100),
    "keras": files.zipped({"config.json": b"{}", "model.weights.h5": b"\x89HDF\r\n\x1a\n"}),
}

SKOPS = files.as_skops(files.classifier())
ONNX = files.as_onnx(files.classifier())

BROKEN = {
    "empty": b"",
    "text": b"this is no model",
    "one byte": b"P",
    "a zip of nothing": files.zipped({}),
    "a zip of something": files.zipped({"readme.txt": b"hello"}),
    "skops cut off": SKOPS[:-100],
    "skops in half": SKOPS[: len(SKOPS) // 2],
    "skops and more": SKOPS + b"more",
    "only the head of a zip": b"PK\x03\x04",
    "onnx cut off": ONNX[:-1],
    "onnx and more": ONNX + b"\xff",
    "onnx without a graph": b"\x08\x0a",
    "a number without an end": b"\x08" + b"\xff" * 20,
    "zeros": bytes(1000),
    "a bomb": files.bomb(),
}


@pytest.mark.parametrize(("content", "runtime"), [(SKOPS, "sklearn"), (ONNX, "onnx")])
def test_a_model_is_told_by_its_content(tmp_path: Path, content: bytes, runtime: str) -> None:
    assert formats.runtime_of(files.written(tmp_path, content)) == runtime


@pytest.mark.parametrize("content", UNSAFE.values(), ids=UNSAFE)
def test_what_could_run_code_is_refused_with_a_word_on_what_to_do(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(UnsafeModel, match=r"skops\.io\.dump, or export it to ONNX"):
        formats.runtime_of(files.written(tmp_path, content))


@pytest.mark.parametrize("content", BROKEN.values(), ids=BROKEN)
def test_what_is_no_model_is_said_to_be_broken(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(BrokenModel):
        formats.runtime_of(files.written(tmp_path, content))


@pytest.mark.parametrize("content", [SKOPS, ONNX, files.zipped({"schema.json": b"{}", "\u00fc.npy": b"1"})])
def test_a_damaged_file_is_told_or_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model"
    told = refused = 0
    for position in range(0, len(content), 1 + len(content) // 400):
        for bit in (0x01, 0x80):
            path.write_bytes(content[:position] + bytes([content[position] ^ bit]) + content[position + 1 :])
            try:
                told += formats.runtime_of(path) in (formats.SKLEARN, formats.ONNX)
            except (BrokenModel, UnsafeModel):
                refused += 1

    assert told
    assert refused


def test_a_list_of_members_as_large_as_the_file_is_not_read(tmp_path: Path) -> None:
    """A thousand bytes for each of a hundred thousand members would be as many objects in the API."""
    name = b"a" * 18
    entry = struct.pack("<4s6H3L5H2L", b"PK\x01\x02", 0, 0, 0, 0, 0, 0, 0, 0, 0, len(name), 0, 0, 0, 0, 0, 0)
    directory = (entry + name) * 200_000
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 0, 0, len(directory), 0, 0)
    path = files.written(tmp_path, b"PK\x03\x04" + directory + end)
    tracemalloc.start()

    with pytest.raises(BrokenModel):
        formats.runtime_of(path)

    assert tracemalloc.get_traced_memory()[1] < 1_000_000
    tracemalloc.stop()


def test_sizes_that_lie_do_not_help_a_bomb(tmp_path: Path) -> None:
    """`zipfile`, by which skops reads, never gives more of a member than the list of members says."""
    honest = files.zipped({"schema.json": b"{}", "0.npy": bytes(100_000_000)})
    claimed = struct.pack("<L", 100_000_000)
    assert honest.count(claimed) == 2
    path = files.written(tmp_path, honest.replace(claimed, struct.pack("<L", 1000)))

    assert formats.runtime_of(path) == "sklearn"
    with (
        zipfile.ZipFile(path) as archive,
        archive.open("0.npy") as member,
        pytest.raises(zipfile.BadZipFile),
    ):
        member.read()


def test_compressed_models_are_not_inflated_to_see_what_they_are(tmp_path: Path) -> None:
    for content in (gzip.compress(ONNX), zlib.compress(ONNX)):
        with pytest.raises(UnsafeModel):
            formats.runtime_of(files.written(tmp_path, content))


@pytest.mark.parametrize(
    "content", [b"\x80\x04N.", b"(lp0\n.", b"\x1f\x8b\x08", b"PK\x03\x04", b"\x93NUMPY", b""], ids=repr
)
def test_formats_of_plugins_are_asked_last(tmp_path: Path, content: bytes) -> None:
    greedy = formats.FileFormat("greedy", "any", lambda head: True)
    path = files.written(tmp_path, content)

    with pytest.raises((UnsafeModel, BrokenModel)):
        formats.runtime_of(path, [greedy])

    assert formats.runtime_of(files.written(tmp_path, b"something else"), [greedy]) == "greedy"
