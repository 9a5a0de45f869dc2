"""The state of an API that a test has started."""

from dataclasses import replace
from typing import Any

from fastapi import FastAPI

from app.http.state import find_state, set_state
from app.state import AppState


def state_of(app: FastAPI) -> AppState:
    """The state of a started API."""
    state = find_state(app, AppState)
    assert state is not None, "the API has not started"
    return state


def replace_state(app: FastAPI, **changes: Any) -> None:
    """Give the requests from now on other parts of the state."""
    set_state(app, replace(state_of(app), **changes))
