"""Authentication of downloads: by a bearer token, or by a ticket for this path."""

from typing import Annotated, Any

from fastapi import Query, Security
from starlette.requests import Request

from app.auth.deps import AuthState, SignedIn
from app.auth.download_tickets import commands
from app.auth.download_tickets.paths import canonical
from app.auth.identities import Identity
from app.auth.permissions import Permission
from app.core.errors import Unauthorized
from app.http.middleware import name_user
from app.http.state import state_of


class SignedInOrTicket(SignedIn):
    """Resolves to the caller behind the bearer token, or to the one to whom the ticket was issued.

    Raises Unauthorized and PermissionDenied.
    """

    async def __call__(
        self,
        request: Request,
        ticket: Annotated[
            str | None, Query(description="From `POST /download-tickets`, in place of a bearer token.")
        ] = None,
    ) -> Identity:
        """Return the caller."""
        if ticket is None or "authorization" in request.headers:
            return await super().__call__(request)
        state = state_of(request, AuthState)
        path = canonical(request.scope["path"], request.url.query)
        async with state.resources.database.connection() as connection:
            identity = await commands.spend(connection, ticket, path)
        if identity is None:
            raise Unauthorized
        name_user(request.scope, identity.id)
        state.auth.usage.count(identity.id)
        identity.ensure(self.permission)
        return identity


def _require(permission: Permission) -> Any:
    return Security(SignedInOrTicket(permission), scopes=[str(permission)])


JobsDownloader = Annotated[Identity, _require(Permission.JOBS_READ)]
DatasetsDownloader = Annotated[Identity, _require(Permission.DATASETS_READ)]
AuditDownloader = Annotated[Identity, _require(Permission.ADMIN)]
ModelsDownloader = Annotated[Identity, _require(Permission.MODELS_READ)]
