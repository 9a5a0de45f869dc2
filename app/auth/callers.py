"""Which user sends a request, for what has to be decided before its route is known."""

from uuid import UUID

from starlette.requests import HTTPConnection
from starlette.types import Scope

from app.auth.deps import AuthState, bearer
from app.core.errors import Unauthorized
from app.http.state import find_state


async def find_user(scope: Scope) -> UUID | None:
    """Return the user of the request's bearer token; None without a valid one. Raises DatabaseUnavailable."""
    state = find_state(scope["app"], AuthState)
    token = await bearer(HTTPConnection(scope))
    if token is None or state is None:
        return None
    try:
        # The route identifies the caller again, from the cache.
        identity = await state.auth.identities.identify(token)
    except Unauthorized:
        return None
    return identity.id
