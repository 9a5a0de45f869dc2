"""The state of the application, as each layer sees it."""

from dataclasses import dataclass

import pytest
from fastapi import FastAPI
from starlette.requests import HTTPConnection

from app.http.state import HttpState, find_state, state_of
from app.main import create_app
from app.state import AppState
from app.streams.deps import StreamsState
from tests.support.app_state import replace_state


@dataclass(frozen=True, kw_only=True)
class OtherState(HttpState):
    """A state that no application has."""


def test_each_layer_sees_its_part_of_one_state(app: FastAPI) -> None:
    whole = find_state(app, AppState)
    connection = HTTPConnection({"type": "http", "app": app})

    assert whole is not None
    assert find_state(app, StreamsState) is whole
    assert state_of(connection, HttpState).resources is whole.resources
    assert whole.watcher is whole.hub


def test_a_layer_that_the_application_does_not_have_is_an_error(app: FastAPI) -> None:
    with pytest.raises(TypeError, match="OtherState"):
        find_state(app, OtherState)


def test_there_is_no_state_before_the_start(app: FastAPI) -> None:
    whole = find_state(app, AppState)
    assert whole is not None
    waiting = create_app(whole.resources.settings)

    assert find_state(waiting, AppState) is None
    with pytest.raises(RuntimeError, match="has not started"):
        state_of(HTTPConnection({"type": "http", "app": waiting}), HttpState)


def test_a_test_replaces_a_part_for_the_requests_that_follow(app: FastAPI) -> None:
    whole = find_state(app, AppState)
    assert whole is not None

    replace_state(app, kinds={})

    replaced = find_state(app, AppState)
    assert replaced is not None
    assert (replaced.kinds, replaced.hub) == ({}, whole.hub)
