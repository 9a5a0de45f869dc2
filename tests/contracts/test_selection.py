"""The marks by which the make targets choose: each test has them from its fixtures and its folder."""

import pytest

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


@pytest.mark.parametrize("path", sorted(selection.LONG_PATHS | selection.EVERY_DAY))
def test_the_paths_of_long_tests_are_there(path: str) -> None:
    assert (selection.TESTS / path).exists()


def test_what_is_left_out_of_the_fast_ones_is_not_even_imported() -> None:
    assert selection.is_excluded(selection.TESTS / "worker" / "training", "fast")
    assert selection.is_excluded(selection.TESTS / "faults" / "test_fleet.py", "fast")
    assert not selection.is_excluded(selection.TESTS / "worker" / "training", "not long")
    assert not selection.is_excluded(selection.TESTS / "jobs", "fast")


def test_the_tests_of_the_image_run_only_when_they_are_asked_for() -> None:
    folder = selection.TESTS / "image"

    assert not selection.is_excluded(folder, selection.IMAGE)
    for expression in ("fast", "not long", "long", "not huge", ""):
        assert selection.is_excluded(folder, expression)
