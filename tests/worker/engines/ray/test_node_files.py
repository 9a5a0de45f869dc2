"""The files of a host: a cache that the hosts of a node share, and the folders of its children."""

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from worker.engines.ray.node_files import Damaged, NodeFiles

KIB = 1024


@pytest.fixture
def files(tmp_path: Path) -> Iterator[NodeFiles]:
    """The files of a host, with 10 KiB of cache."""
    opened = NodeFiles(tmp_path / "node", 10 * KIB)
    yield opened
    opened.close()


@pytest.fixture
def others(tmp_path: Path, files: NodeFiles) -> Iterator[NodeFiles]:
    """The files of another host on the same node."""
    opened = NodeFiles(tmp_path / "node", 10 * KIB)
    yield opened
    opened.close()


def content(size: int = 4 * KIB) -> tuple[bytes, str]:
    """Random bytes, and their SHA-256."""
    made = os.urandom(size)
    return made, hashlib.sha256(made).hexdigest()


def bring(files: NodeFiles, child: int, size: int = 4 * KIB) -> Path:
    made, sha256 = content(size)
    assert files.bring(child, sha256, len(made)) is None
    for start in range(0, len(made), KIB):
        files.write(child, sha256, made[start : start + KIB])
    return files.seal(child, sha256)


def age(path: Path, seconds: float) -> None:
    moment = path.stat().st_mtime - seconds
    os.utime(path, (moment, moment))


def test_a_file_is_received_once_for_all_hosts_of_a_node(files: NodeFiles, others: NodeFiles) -> None:
    path = bring(files, 1)

    assert hashlib.sha256(path.read_bytes()).hexdigest() == path.name
    assert files.bring(2, path.name, 4 * KIB) == path
    assert others.bring(3, path.name, 4 * KIB) == path


def test_a_file_with_another_sha_256_is_not_kept(files: NodeFiles) -> None:
    made, sha256 = content()
    assert files.bring(1, sha256, len(made)) is None
    files.write(1, sha256, made[:-1])

    with pytest.raises(Damaged):
        files.seal(1, sha256)

    assert files.bring(1, sha256, len(made)) is None


@pytest.mark.parametrize("name", ["", "..", "../../../etc/passwd", "A" * 64, "0" * 63, "0" * 63 + "/"])
def test_only_a_sha_256_names_a_file_of_the_cache(files: NodeFiles, name: str) -> None:
    with pytest.raises(ValueError, match="SHA-256"):
        files.bring(1, name, 1)


def test_the_least_recently_used_files_are_evicted_and_those_in_use_stay(
    files: NodeFiles, others: NodeFiles
) -> None:
    kept, oldest, older = bring(files, 1), bring(files, 2), bring(files, 3)
    assert others.bring(4, older.name, 4 * KIB) == older
    for path, seconds in ((kept, 300), (oldest, 200), (older, 100)):
        age(path, seconds)
    files.forget(2)
    files.forget(3)

    bring(files, 5)

    assert kept.exists()  # a child of this host reads it
    assert older.exists()  # one of another host does
    assert not oldest.exists()


def test_what_a_child_keeps_is_kept_for_a_second_one_too(files: NodeFiles) -> None:
    path = bring(files, 1)
    gone = path.with_name("0" * 64)

    assert files.keep(2, [path, gone, Path("/etc/passwd")]) == (path,)
    files.forget(1)
    age(path, 100)
    bring(files, 3, 9 * KIB)

    assert path.exists()


def test_the_folder_of_a_child_goes_with_the_child(files: NodeFiles) -> None:
    folder = files.create_folder(1)
    (folder / "attempt").mkdir()
    (folder / "attempt" / "model").write_bytes(b"weights")

    assert folder.stat().st_mode & 0o777 == 0o700
    files.forget(1)
    assert not folder.exists()


def test_a_cleared_folder_is_empty_and_stays(files: NodeFiles) -> None:
    folder = files.create_folder(1)
    (folder / "attempt").mkdir()
    (folder / "attempt" / "draft").write_bytes(b"half")

    files.clear(1)

    assert list(folder.iterdir()) == []


def test_a_file_is_read_block_by_block(files: NodeFiles) -> None:
    folder = files.create_folder(1)
    (folder / "model").write_bytes(b"weights")

    number = files.open(1, "model")

    assert [files.read(number, 4), files.read(number, 4), files.read(number, 4)] == [b"weig", b"hts", b""]
    files.close_file(number)
    with pytest.raises(KeyError):
        files.read(number, 4)


@pytest.mark.parametrize("name", ["none", "../outside", "link", "folder", "/etc/hostname", "hard"])
def test_nothing_outside_the_folder_of_a_child_is_read(files: NodeFiles, tmp_path: Path, name: str) -> None:
    folder = files.create_folder(1)
    (folder.parent / "outside").write_bytes(b"another's")
    (folder / "link").symlink_to(folder.parent / "outside")
    (folder / "hard").hardlink_to(folder.parent / "outside")
    (folder / "folder").mkdir()

    with pytest.raises((OSError, ValueError)):
        files.open(1, name)


def test_a_folder_with_too_much_exceeds_the_limit(files: NodeFiles) -> None:
    folder = files.create_folder(1)
    (folder / "large").write_bytes(bytes(64 * KIB))

    assert files.exceeds_limit(1, 32 * KIB)
    assert not files.exceeds_limit(1, 128 * KIB)
    assert not files.exceeds_limit(2, 0)


def test_what_killed_hosts_have_left_is_removed(tmp_path: Path) -> None:
    node = tmp_path / "node"
    NodeFiles(node, KIB).close()
    no_process = 2**22 + 1  # above the largest process id
    (node / "scratch" / str(no_process)).mkdir()
    (node / "node" / f"incoming-{no_process}-0").write_bytes(b"half")
    (node / "node" / f"incoming-{os.getppid()}-0").write_bytes(b"half")

    NodeFiles(node, KIB).close()

    assert list((node / "scratch").iterdir()) == []
    assert [path.name for path in (node / "node").iterdir()] == [f"incoming-{os.getppid()}-0"]
