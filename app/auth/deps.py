"""Authentication of requests: a route that takes a `CurrentUser` returns 401 unless a user is signed in."""

from dataclasses import dataclass
from typing import Annotated, Final
from uuid import UUID

from fastapi import Depends
from fastapi.security import OAuth2PasswordBearer
from fastapi.security.base import SecurityBase
from starlette.requests import HTTPConnection, Request

from app.auth.identities import Identity
from app.auth.services import AuthServices
from app.core.errors import Unauthorized
from app.http.middleware import name_user
from app.http.state import HttpState, state_of

_IDENTITY: Final = "headrace.identity"


@dataclass(frozen=True, kw_only=True)
class AuthState(HttpState):
    """The state of the process, with what authentication needs."""

    auth: AuthServices


async def get_auth_services(connection: HTTPConnection) -> AuthServices:
    """Return the services that verify passwords and tokens."""
    return state_of(connection, AuthState).auth


# Without auto_error: our own error is the same for every kind of invalid token.
bearer = OAuth2PasswordBearer(tokenUrl="token", auto_error=False)

AuthDep = Annotated[AuthServices, Depends(get_auth_services)]


class SignedIn(SecurityBase):
    """Resolves to the user of the bearer token. Raises Unauthorized if there is no valid token.

    One dependency for all steps: FastAPI takes longer to resolve one than this takes to run.
    """

    def __init__(self) -> None:
        self.model = bearer.model
        self.scheme_name = bearer.scheme_name

    async def __call__(self, request: Request) -> Identity:
        """Return the user of the token."""
        known: Identity | None = request.scope.get(_IDENTITY)
        return known or await self._identify(request)

    async def before_body(self, request: Request) -> UUID:
        """Identify the user before the body is read (see `BeforeBody`)."""
        identity = request.scope[_IDENTITY] = await self._identify(request)
        return identity.id

    async def _identify(self, request: Request) -> Identity:
        token = await bearer(request)
        if token is None:
            raise Unauthorized
        auth = state_of(request, AuthState).auth
        identity = await auth.identities.identify(token)
        name_user(request.scope, identity.id)
        auth.usage.count(identity.id)
        return identity


CurrentUser = Annotated[Identity, Depends(SignedIn())]
