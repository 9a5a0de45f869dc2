"""Who is asking, for routes: `CurrentUser` is the signed-in user, or the answer is 401."""

from typing import Annotated, Final
from uuid import UUID

from fastapi import Depends
from fastapi.security import OAuth2PasswordBearer
from fastapi.security.base import SecurityBase
from starlette.requests import HTTPConnection, Request

from app.auth.identities import Identity
from app.auth.services import AuthServices
from app.core.errors import Unauthorized

_IDENTITY: Final = "headrace.identity"


async def get_auth_services(connection: HTTPConnection) -> AuthServices:
    """What this process needs to know who is asking."""
    auth: AuthServices = connection.app.state.auth
    return auth


# We raise our own error, so that whatever is wrong with a token gets the same answer.
bearer = OAuth2PasswordBearer(tokenUrl="token", auto_error=False)

GateDep = Annotated[AuthServices, Depends(get_auth_services)]


class SignedIn(SecurityBase):
    """The user whose bearer token came with the request; raises Unauthorized without a valid one.

    One dependency, not one for each step: FastAPI takes longer to resolve one than this takes to run.
    """

    def __init__(self) -> None:
        self.model = bearer.model
        self.scheme_name = bearer.scheme_name

    async def __call__(self, request: Request) -> Identity:
        """The identity behind the token."""
        known: Identity | None = request.scope.get(_IDENTITY)
        return known or await self._identify(request)

    async def before_body(self, request: Request) -> UUID:
        """Find out who is asking before the body is read (see `BeforeBody`)."""
        identity = request.scope[_IDENTITY] = await self._identify(request)
        return identity.id

    async def _identify(self, request: Request) -> Identity:
        token = await bearer(request)
        if token is None:
            raise Unauthorized
        auth: AuthServices = request.app.state.auth
        identity = await auth.identities.identify(token)
        auth.usage.count(identity.id)
        return identity


CurrentUser = Annotated[Identity, Depends(SignedIn())]
