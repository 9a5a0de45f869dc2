"""Every route declares the permission that it needs, and one table says who has it."""

from collections.abc import Iterator

import pytest
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from starlette.routing import BaseRoute, Route, WebSocketRoute

from app.auth.permissions import (
    DESCRIPTIONS,
    ROLE_PERMISSIONS,
    SCOPE_PERMISSIONS,
    Permission,
    Scope,
    permissions_of,
)
from app.auth.roles import Role
from app.core.config import Settings
from app.http.methods import MethodNotAllowedRoute
from app.main import create_app

PUBLIC = {
    "GET /",
    "GET /health",
    "GET /health/live",
    "GET /health/ready",
    "GET /shutdown-status",
    "GET /metrics",
    "GET /docs",
    "GET /docs/{name}",
    "GET /openapi.json",
    "GET /redoc",
    "GET /redoc/logo-mini.svg",
    "GET /dashboard",
    "GET /dashboard/assets/{digest}/{name:path}",
    "GET /dashboard/{path:path}",
    "GET /scheduler",
    "GET /scheduler/",
    "GET /watch",
    "GET /email/confirm",
    "POST /email/confirm",
    "GET /email/unsubscribe",
    "POST /email/unsubscribe",
    "DELETE /session",
    "POST /password-resets",
    "POST /session",
    "POST /session/refresh",
    "POST /token",
    "POST /token/refresh",
    "POST /users",
}
"""Routes that anyone may use, without a token. A new one is a decision: it belongs on this list."""

SOCKETS = {"/ws", "/ws/jobs/{job_id}"}
"""They take the token after the handshake; tests/auth/test_roles.py checks what they permit."""

APP = create_app(Settings(_env_file=None, database_url="postgresql://unused", redis_url="redis://unused"))


def declared(dependant: Dependant) -> Iterator[Permission]:
    """The permissions that a route and its dependencies declare."""
    permission = getattr(dependant.call, "permission", None)
    if isinstance(permission, Permission):
        yield permission
    for dependency in dependant.dependencies:
        yield from declared(dependency)


def names(route: BaseRoute) -> Iterator[str]:
    if isinstance(route, Route):
        for method in sorted((route.methods or set()) - {"HEAD"}):
            yield f"{method} {route.path}"


HTTP = {
    name: route
    for route in APP.routes
    if isinstance(route, Route) and not isinstance(route, MethodNotAllowedRoute)
    for name in names(route)
}


@pytest.mark.parametrize("name", HTTP)
def test_a_route_is_public_or_declares_one_permission(name: str) -> None:
    route = HTTP[name]
    permissions = set(declared(route.dependant)) if isinstance(route, APIRoute) else set()

    assert len(permissions) == (0 if name in PUBLIC else 1)


def test_the_list_of_public_routes_names_only_routes() -> None:
    assert set(HTTP) >= PUBLIC


def test_every_socket_is_known() -> None:
    found = {route.path for route in APP.routes if isinstance(route, WebSocketRoute)}

    assert found == SOCKETS


def test_the_openapi_document_names_the_permission_of_each_route() -> None:
    paths = APP.openapi()["paths"]
    for name, route in HTTP.items():
        if name in PUBLIC or not isinstance(route, APIRoute):
            continue
        method, path = name.split(" ")
        operation = paths[path][method.lower()]
        (scheme,) = operation["security"]
        (permission,) = set(declared(route.dependant))
        assert list(scheme.values()) == [[str(permission)]], name
        forbidden = operation["responses"]["403"]["content"]["application/problem+json"]["examples"]
        assert "forbidden" in forbidden, name


def test_each_role_includes_the_one_before() -> None:
    for lower, higher in zip(list(Role), list(Role)[1:], strict=False):
        assert ROLE_PERMISSIONS[lower] < ROLE_PERMISSIONS[higher]


def test_the_tables_are_complete() -> None:
    assert set(ROLE_PERMISSIONS) == set(Role)
    assert set(SCOPE_PERMISSIONS) == set(Scope)
    assert ROLE_PERMISSIONS[Role.ADMIN] == set(Permission) == set(DESCRIPTIONS)


def test_a_viewer_has_no_permission_that_changes_jobs_models_or_datasets() -> None:
    assert ROLE_PERMISSIONS[Role.VIEWER] == {
        Permission.JOBS_READ,
        Permission.MODELS_READ,
        Permission.DATASETS_READ,
        Permission.NOTIFICATIONS_READ,
        Permission.ACCOUNT_READ,
        Permission.ACCOUNT,
    }


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("scope", Scope)
def test_an_api_key_permits_no_more_than_its_owner_and_its_scopes(role: Role, scope: Scope) -> None:
    permitted = permissions_of(role, frozenset({scope}))

    assert permitted == ROLE_PERMISSIONS[role] & SCOPE_PERMISSIONS[scope]
    assert Permission.ACCOUNT not in permitted


def test_only_one_scope_has_events_sent_out() -> None:
    """A key that may create jobs must not be able to send their results to any URL."""
    found = {scope for scope in Scope if Permission.NOTIFICATIONS_WRITE in SCOPE_PERMISSIONS[scope]}

    assert found == {Scope.NOTIFICATIONS}


def test_an_api_key_without_scopes_permits_nothing() -> None:
    assert permissions_of(Role.ADMIN, frozenset()) == frozenset()
