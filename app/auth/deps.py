"""Authentication and authorization of requests: each route declares the permission that it needs.

A route that takes a `JobsReader` returns 401 without a valid token, and 403 to a caller without `jobs:read`.
"""

from dataclasses import dataclass
from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import Depends, Security
from fastapi.security import OAuth2PasswordBearer
from fastapi.security.base import SecurityBase
from starlette.requests import HTTPConnection, Request

from app.auth.identities import Identity
from app.auth.permissions import DESCRIPTIONS, Permission
from app.auth.service import RequestSource
from app.auth.services import AuthServices
from app.core.errors import Unauthorized
from app.http.addresses import client_network
from app.http.middleware import name_user
from app.http.state import HttpState, state_of

_IDENTITY: Final = "headrace.identity"
_HOLDER: Final = "headrace.holder"


@dataclass(frozen=True, kw_only=True)
class AuthState(HttpState):
    """The state of the process, with what authentication needs."""

    auth: AuthServices


async def get_auth_services(connection: HTTPConnection) -> AuthServices:
    """Return the services that verify passwords and tokens."""
    return state_of(connection, AuthState).auth


# Without auto_error: our own error is the same for every kind of invalid token.
bearer = OAuth2PasswordBearer(
    tokenUrl="token",
    refreshUrl="token",
    scopes={str(permission): description for permission, description in DESCRIPTIONS.items()},
    description="An access token from `POST /token`, or an API key from `POST /api-keys`.",
    auto_error=False,
)

AuthDep = Annotated[AuthServices, Depends(get_auth_services)]


async def get_source(request: Request, auth: AuthDep) -> RequestSource:
    """Return where the request comes from."""
    network = client_network(request.scope, auth.trusted_proxies)
    return RequestSource(network, request.headers.get("user-agent"), request.scope["request_id"])


SourceDep = Annotated[RequestSource, Depends(get_source)]


class SignedIn(SecurityBase):
    """Resolves to the caller behind the bearer token, who has the permission that the route declares.

    Raises Unauthorized if there is no valid token, and PermissionDenied. One dependency for all steps:
    FastAPI takes longer to resolve one than this takes to run.
    """

    def __init__(self, permission: Permission) -> None:
        self.permission = permission
        self.model = bearer.model
        self.scheme_name = bearer.scheme_name

    async def __call__(self, request: Request) -> Identity:
        """Return the caller."""
        known: Identity | None = request.scope.get(_IDENTITY)
        return known or await self._identify(request)

    async def before_body(self, request: Request) -> UUID:
        """Identify the caller before the body is read (see `BeforeBody`)."""
        identity = request.scope[_IDENTITY] = await self(request)
        return identity.id

    async def _identify(self, request: Request) -> Identity:
        identity = await get_caller(request)
        if identity is None:
            raise Unauthorized
        identity.ensure(self.permission)
        return identity


async def get_caller(request: Request) -> Identity | None:
    """Return the caller; None without a token. Raises Unauthorized for an invalid one."""
    auth = state_of(request, AuthState).auth
    identity = await identify(request, auth)
    if identity is not None:
        name_user(request.scope, identity.id)
        auth.usage.count(identity.id)
    return identity


async def identify(connection: HTTPConnection, auth: AuthServices) -> Identity | None:
    """Return whose token a request has; None without one. Raises Unauthorized for an invalid one.

    It is looked up once per request: the rate limit asks before the route does.
    """
    known: Identity | None = connection.scope.get(_HOLDER)
    if known is not None:
        return known
    token = await bearer(connection)
    if token is None:
        return None
    known = connection.scope[_HOLDER] = await auth.identities.identify(token)
    return known


CallerDep = Annotated[Identity | None, Depends(get_caller)]


def require(permission: Permission) -> Any:
    """Return the dependency of a route that needs this permission; the OpenAPI document shows it."""
    return Security(SignedIn(permission), scopes=[str(permission)])


JobsReader = Annotated[Identity, require(Permission.JOBS_READ)]
JobsWriter = Annotated[Identity, require(Permission.JOBS_WRITE)]
Predictor = Annotated[Identity, require(Permission.PREDICT)]
ModelsReader = Annotated[Identity, require(Permission.MODELS_READ)]
ModelsWriter = Annotated[Identity, require(Permission.MODELS_WRITE)]
DatasetsReader = Annotated[Identity, require(Permission.DATASETS_READ)]
DatasetsWriter = Annotated[Identity, require(Permission.DATASETS_WRITE)]
NotificationsReader = Annotated[Identity, require(Permission.NOTIFICATIONS_READ)]
NotificationsWriter = Annotated[Identity, require(Permission.NOTIFICATIONS_WRITE)]
Operator = Annotated[Identity, require(Permission.OPERATE)]
Administrator = Annotated[Identity, require(Permission.ADMIN)]
CredentialsAdministrator = Annotated[Identity, require(Permission.CREDENTIALS)]
AccountReader = Annotated[Identity, require(Permission.ACCOUNT_READ)]
AccountOwner = Annotated[Identity, require(Permission.ACCOUNT)]
