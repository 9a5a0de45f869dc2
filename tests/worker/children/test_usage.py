"""What a child has written is measured while it may change, and without following it anywhere."""

import os
from pathlib import Path

import pytest

from worker.children import usage

KIB = 1024


@pytest.fixture
def room(tmp_path: Path) -> Path:
    """Two files of 64 KiB, one of them three folders down."""
    room = tmp_path / "room"
    deep = room / "a" / "b" / "c"
    deep.mkdir(parents=True)
    for folder in (room, deep):
        (folder / "file").write_bytes(b"x" * 64 * KIB)
    return room


def test_files_in_nested_folders_are_counted(room: Path) -> None:
    assert usage.exceeds_limit(room, 120 * KIB)
    assert not usage.exceeds_limit(room, 1024 * KIB)


def test_empty_files_are_counted_too(room: Path) -> None:
    for number in range(20):
        (room / str(number)).touch()

    assert usage.exceeds_limit(room, 1024 * KIB, max_files=20)
    assert not usage.exceeds_limit(room, 1024 * KIB, max_files=30)


def test_links_are_not_followed(room: Path, tmp_path: Path) -> None:
    (tmp_path / "foreign").write_bytes(b"x" * 1024 * KIB)
    (room / "file of others").symlink_to(tmp_path / "foreign")
    (room / "round and round").symlink_to(room)

    assert not usage.exceeds_limit(room, 512 * KIB)


def test_holes_take_no_space_and_missing_folders_are_empty(room: Path) -> None:
    with (room / "hole").open("wb") as file:
        file.truncate(1024**3)

    assert not usage.exceeds_limit(room, 1024 * KIB)
    assert not usage.exceeds_limit(room / "gone", 0)


def test_a_folder_too_deep_to_read_exceeds_any_limit(tmp_path: Path) -> None:
    """A child that goes down step by step gets deeper than any path that the worker could open."""
    top = os.open(tmp_path, os.O_RDONLY)
    name = "d" * 200
    folders = [top]
    try:
        for _ in range(30):
            os.mkdir(name, dir_fd=folders[-1])
            folders.append(os.open(name, os.O_RDONLY, dir_fd=folders[-1]))

        assert usage.exceeds_limit(tmp_path, 2**40)
    finally:
        for parent in reversed(folders[:-1]):
            os.rmdir(name, dir_fd=parent)
        for folder in folders:
            os.close(folder)
