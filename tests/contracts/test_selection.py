"""The marks by which the make targets choose: each test has them from its fixtures and its folder."""

from pathlib import Path, PurePosixPath

import pytest
from hypothesis import settings

from tests.support import selection


def marks_of(item: pytest.Item) -> set[str]:
    return {mark.name for mark in item.iter_markers()} & {"fast", "server", "long"}


def test_a_test_that_needs_nothing_is_fast(request: pytest.FixtureRequest) -> None:
    assert marks_of(request.node) == {"fast"}


@pytest.mark.usefixtures("database_url")
def test_a_test_with_a_database_needs_a_server(request: pytest.FixtureRequest) -> None:
    assert marks_of(request.node) == {"server"}


def test_a_test_is_either_fast_or_needs_a_server_or_is_in_a_folder_of_slow_ones(
    request: pytest.FixtureRequest,
) -> None:
    """Of all that were collected with this one."""
    for item in request.session.items:
        marks = marks_of(item)
        assert not {"fast", "server"} <= marks, item.nodeid
        assert not {"fast", "long"} <= marks, item.nodeid
        assert marks or selection.is_excluded(item.path, selection.FAST), item.nodeid
        if item.path.parent == selection.TESTS / "faults":
            assert "long" in marks, item.nodeid


def test_no_example_fails_because_it_is_slow(request: pytest.FixtureRequest) -> None:
    """Of all that were collected with this one."""
    assert settings().deadline is None
    for item in request.session.items:
        used = getattr(getattr(item, "obj", None), "_hypothesis_internal_use_settings", None)
        assert used is None or used.deadline is None, item.nodeid


@pytest.mark.parametrize("path", sorted(selection.THOROUGH_PATHS))
def test_what_is_thorough_is_long(path: str) -> None:
    assert (selection.TESTS / path).is_file()
    assert not selection.LONG_PATHS.isdisjoint({path, *map(str, PurePosixPath(path).parents)})


@pytest.mark.parametrize("path", sorted(selection.LONG_PATHS | selection.EVERY_DAY))
def test_the_paths_of_long_tests_are_there(path: str) -> None:
    assert (selection.TESTS / path).exists()


def test_each_worker_starts_with_files_of_long_tests_and_ends_with_short_tests() -> None:
    a, b, c = Path("a"), Path("b"), Path("c")

    assert selection.deal([None, None, a, a, None, None, b, None], 2) == [2, 3, 0, 1, 6, 4, 5, 7]
    assert selection.deal([a, a, a, b, b, c], 2) == [0, 1, 2, 3, 4, 5]
    assert selection.deal([None, None, None], 2) == [0, 1, 2]


def test_what_is_left_out_of_the_fast_ones_is_not_even_imported() -> None:
    assert selection.is_excluded(selection.TESTS / "worker" / "training", "fast")
    assert selection.is_excluded(selection.TESTS / "faults" / "test_fleet.py", "fast")
    assert not selection.is_excluded(selection.TESTS / "worker" / "training", "not long")
    assert not selection.is_excluded(selection.TESTS / "jobs", "fast")


@pytest.mark.parametrize("mark", sorted(selection.APART))
def test_tests_that_are_apart_run_only_when_they_are_asked_for(mark: str) -> None:
    folder = selection.TESTS / mark

    assert folder.is_dir()
    assert not selection.is_excluded(folder, mark)
    for expression in ("fast", "not long", "long", "not huge", ""):
        assert selection.is_excluded(folder, expression)
