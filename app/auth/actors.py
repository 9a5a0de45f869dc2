"""Who acts in a request, for the audit log."""

from starlette.requests import HTTPConnection

from app.audit.values import Actor
from app.auth.deps import AuthState
from app.auth.identities import Identity
from app.http.addresses import client_network
from app.http.state import state_of


def actor_of(connection: HTTPConnection, identity: Identity | None) -> Actor:
    """Return the caller of a request or a WebSocket; without an identity, only where it comes from."""
    network = client_network(connection.scope, state_of(connection, AuthState).auth.trusted_proxies)
    request_id: str = connection.scope["request_id"]
    if identity is None:
        return Actor(network=network, request_id=request_id)
    return Actor(identity.id, identity.session_id, identity.key_id, network, request_id)
