"""The state of an API process: opened when it starts, shared by all requests, typed for each layer.

Each layer extends the state of the layer below with what its own routes need, so that it imports nothing from
above. `app.state.AppState` has all of it.
"""

from dataclasses import dataclass
from typing import Final, TypeVar

from starlette.applications import Starlette
from starlette.requests import HTTPConnection

from app.core.resources import Resources
from app.http.body_budget import BodyBudget
from app.http.rate_limits import RequestRates

_ATTRIBUTE: Final = "headrace"


@dataclass(frozen=True, kw_only=True)
class HttpState:
    """What any route may use."""

    resources: Resources
    body_budget: BodyBudget
    request_rates: RequestRates


StateT = TypeVar("StateT", bound=HttpState)


def set_state(app: Starlette, state: HttpState) -> None:
    """Make this the state of all requests from now on."""
    setattr(app.state, _ATTRIBUTE, state)


def find_state(app: Starlette, kind: type[StateT]) -> StateT | None:
    """Return the state as the type of one layer; None before the process has started."""
    found: object = getattr(app.state, _ATTRIBUTE, None)
    if found is None:
        return None
    if not isinstance(found, kind):
        raise TypeError(f"the state of this application is not of type {kind.__name__}")
    return found


def state_of(connection: HTTPConnection, kind: type[StateT]) -> StateT:
    """Return the state as the type of the route's layer, for an HTTP request or a WebSocket."""
    found = find_state(connection.app, kind)
    if found is None:
        raise RuntimeError("the application has not started: its lifespan has not run")
    return found
