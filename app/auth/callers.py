"""Which user sends a request, for what has to be decided before its route is known."""

from typing import Final
from uuid import UUID

from starlette.types import Scope

from app.auth.deps import AuthState
from app.core.errors import Unauthorized
from app.http.state import find_state

_SCHEME: Final = "bearer"


async def find_user(scope: Scope) -> UUID | None:
    """Return the user of the request's bearer token; None without a valid one. Raises DatabaseUnavailable."""
    header = next((value for name, value in scope["headers"] if name == b"authorization"), None)
    state = find_state(scope["app"], AuthState)
    if header is None or state is None:
        return None
    scheme, _, token = header.decode("latin-1").partition(" ")
    if scheme.lower() != _SCHEME:
        return None
    try:
        # The route identifies the caller again, from the cache.
        identity = await state.auth.identities.identify(token.strip())
    except Unauthorized:
        return None
    return identity.id
