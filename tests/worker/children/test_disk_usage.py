"""Measuring what a child has written, without following links."""

import os
from pathlib import Path

import pytest

from worker.children import disk_usage

KIB = 1024


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two files of 64 KiB, one of them three folders down."""
    folder = tmp_path / "child"
    deep = folder / "a" / "b" / "c"
    deep.mkdir(parents=True)
    for parent in (folder, deep):
        (parent / "file").write_bytes(b"x" * 64 * KIB)
    return folder


def test_files_in_nested_folders_are_counted(folder: Path) -> None:
    assert disk_usage.exceeds_limit(folder, 120 * KIB)
    assert not disk_usage.exceeds_limit(folder, 1024 * KIB)


def test_empty_files_are_counted_too(folder: Path) -> None:
    for number in range(20):
        (folder / str(number)).touch()

    assert disk_usage.exceeds_limit(folder, 1024 * KIB, max_files=20)
    assert not disk_usage.exceeds_limit(folder, 1024 * KIB, max_files=30)


def test_links_are_not_followed(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "foreign").write_bytes(b"x" * 1024 * KIB)
    (folder / "file of others").symlink_to(tmp_path / "foreign")
    (folder / "cycle").symlink_to(folder)

    assert not disk_usage.exceeds_limit(folder, 512 * KIB)


def test_holes_take_no_space_and_missing_folders_are_empty(folder: Path) -> None:
    with (folder / "hole").open("wb") as file:
        file.truncate(1024**3)

    assert not disk_usage.exceeds_limit(folder, 1024 * KIB)
    assert not disk_usage.exceeds_limit(folder / "gone", 0)


def test_a_folder_too_deep_to_read_exceeds_any_limit(tmp_path: Path) -> None:
    """A child can descend step by step beyond the longest path that the worker can open."""
    top = os.open(tmp_path, os.O_RDONLY)
    name = "d" * 200
    folders = [top]
    try:
        for _ in range(30):
            os.mkdir(name, dir_fd=folders[-1])
            folders.append(os.open(name, os.O_RDONLY, dir_fd=folders[-1]))

        assert disk_usage.exceeds_limit(tmp_path, 2**40)
    finally:
        for parent in reversed(folders[:-1]):
            os.rmdir(name, dir_fd=parent)
        for folder in folders:
            os.close(folder)
