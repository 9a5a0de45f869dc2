"""The model's file is taken out of an MLflow model directory; anything else is refused or left alone."""

import random
import resource
import zipfile
from pathlib import Path

import httpx
import pytest

from app.models.errors import BrokenModel, ModelTooLarge, UnsafeModel
from app.models.mlflow import unpacking
from tests.conftest import StartWorker
from tests.models import files
from tests.support.accounts import Account

SKOPS = b"the skops file"
LIMIT = 1000
TOO_LARGE = ModelTooLarge(limit=LIMIT)


def unpacked(path: Path, members: dict[str, bytes]) -> tuple[bytes, list[int]]:
    """What is left of an archive, and the bytes that were reserved for it."""
    reserved: list[int] = []
    path.write_bytes(files.zipped(members))
    unpacking.unpack(path, limit_bytes=LIMIT, too_large=TOO_LARGE, reserve=reserved.append)
    return path.read_bytes(), reserved


def left_alone(folder: Path, content: bytes) -> None:
    path = folder / "model"
    path.write_bytes(content)

    unpacking.unpack(path, limit_bytes=LIMIT, too_large=TOO_LARGE, reserve=lambda _size: None)

    assert path.read_bytes() == content


@pytest.mark.parametrize("folder", ["", "model/", "mlruns/0/a/"])
def test_the_file_beside_the_description_is_the_model(tmp_path: Path, folder: str) -> None:
    members = {
        f"{folder}MLmodel": b"flavors:",
        f"{folder}model.skops": SKOPS,
        f"{folder}code/other.skops": b"not this one",
        f"{folder}conda.yaml": b"",
    }

    assert unpacked(tmp_path / "model", members) == (SKOPS, [len(SKOPS)])


def test_an_archive_without_a_description_is_left_alone(tmp_path: Path) -> None:
    left_alone(tmp_path, files.zipped({"schema.json": b"{}", "model.skops": SKOPS}))


def test_a_file_that_is_no_archive_is_left_alone(tmp_path: Path) -> None:
    left_alone(tmp_path, b"\x08\x0a")


def test_a_pickle_is_refused_with_advice(tmp_path: Path) -> None:
    with pytest.raises(UnsafeModel, match=r"in a pickle.*serialization_format='skops'"):
        unpacked(tmp_path / "model", {"MLmodel": b"", "model.pkl": b"\x80"})


@pytest.mark.parametrize(
    ("members", "reason"),
    [
        ({"MLmodel": b"", "conda.yaml": b""}, "without a skops or ONNX file"),
        ({"MLmodel": b"", "a.skops": SKOPS, "b.skops": SKOPS}, "2 skops or ONNX files"),
        ({"a/MLmodel": b"", "b/MLmodel": b"", "a/m.skops": SKOPS}, "2 MLflow models"),
    ],
)
def test_what_is_not_one_model_is_refused(tmp_path: Path, members: dict[str, bytes], reason: str) -> None:
    with pytest.raises(BrokenModel, match=reason):
        unpacked(tmp_path / "model", members)


def test_a_model_that_unpacks_to_more_than_the_limit_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelTooLarge):
        unpacked(tmp_path / "model", {"MLmodel": b"", "model.skops": b"0" * (LIMIT + 1)})


def test_a_damaged_member_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model"
    content = files.zipped({"MLmodel": b"", "model.skops": SKOPS})
    at = content.index(SKOPS) if SKOPS in content else content.index(b"model.skops") + len(b"model.skops")
    path.write_bytes(content[:at] + b"\xff\xff\xff" + content[at + 3 :])

    with pytest.raises(BrokenModel, match=r"model\.skops"):
        unpacking.unpack(path, limit_bytes=LIMIT, too_large=TOO_LARGE, reserve=lambda _size: None)


@pytest.mark.parametrize(
    "method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]
)
def test_a_damaged_member_is_refused_however_it_is_compressed(method: int, tmp_path: Path) -> None:
    path = tmp_path / "model"
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr("MLmodel", b"")
        archive.writestr("model.skops", random.Random(0).randbytes(LIMIT))
    content = bytearray(path.read_bytes())
    content[300:330] = b"\xff" * 30  # within the member
    path.write_bytes(content)

    with pytest.raises(BrokenModel, match=r"model\.skops"):
        unpacking.unpack(path, limit_bytes=LIMIT, too_large=TOO_LARGE, reserve=lambda _size: None)


def test_an_encrypted_member_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model"
    content = bytearray(files.zipped({"MLmodel": b"", "model.skops": SKOPS}))
    at = content.rindex(b"PK\x01\x02")  # the entry of the last member in the directory
    content[at + 8] |= 1
    path.write_bytes(content)

    with pytest.raises(BrokenModel, match=r"model\.skops"):
        unpacking.unpack(path, limit_bytes=LIMIT, too_large=TOO_LARGE, reserve=lambda _size: None)


def test_a_disk_that_takes_no_more_is_not_the_fault_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "model"
    path.write_bytes(files.zipped({"MLmodel": b"", "model.skops": SKOPS}))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(SKOPS) // 2, hard))
    try:
        with pytest.raises(OSError, match="File too large"):
            unpacking.unpack(path, limit_bytes=LIMIT, too_large=TOO_LARGE, reserve=lambda _size: None)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


async def upload(client: httpx.AsyncClient, who: Account, name: str, content: bytes) -> httpx.Response:
    return await client.post(f"/models/{name}/versions", content=content, headers=who.headers, timeout=60)


async def test_an_exported_directory_becomes_the_same_model_again(
    client: httpx.AsyncClient, alice: Account, start_worker: StartWorker
) -> None:
    content = files.as_skops(files.classifier())
    async with start_worker():
        first = await client.post(
            "/models/flowers/versions", content=content, headers=alice.headers, timeout=60
        )
        exported = await client.get("/models/flowers/versions/1/mlflow", headers=alice.headers)
        second = await client.post(
            "/models/copies/versions", content=exported.content, headers=alice.headers, timeout=60
        )

    assert (first.status_code, second.status_code) == (201, 201), second.text
    one, two = first.json(), second.json()
    assert (two["runtime"], two["sha256"], two["columns"]) == ("sklearn", one["sha256"], one["columns"])
