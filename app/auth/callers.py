"""Which user sends a request, for what has to be decided before its route is known."""

from uuid import UUID

from starlette.requests import HTTPConnection
from starlette.types import Scope

from app.auth.deps import AuthState, identify
from app.core.errors import Unauthorized
from app.http.state import find_state


async def find_user(scope: Scope) -> UUID | None:
    """Return the user of the request's bearer token; None without a valid one. Raises DatabaseUnavailable."""
    state = find_state(scope["app"], AuthState)
    if state is None:
        return None
    try:
        identity = await identify(HTTPConnection(scope), state.auth)
    except Unauthorized:
        return None
    return None if identity is None else identity.id
