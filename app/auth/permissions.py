"""What callers may do: the permissions of each role, and of each scope of an API key.

The only place that decides. Every route declares the one permission that it needs (`app.auth.deps`). A caller
has the permissions of their role; with an API key, only those that one of the key's scopes also includes.
"""

from collections.abc import Mapping
from enum import StrEnum
from functools import cache
from typing import Final

from app.auth.roles import Role


class Permission(StrEnum):
    """A right that routes require."""

    JOBS_READ = "jobs:read"
    JOBS_WRITE = "jobs:write"
    PREDICT = "predict"
    MODELS_READ = "models:read"
    MODELS_WRITE = "models:write"
    DATASETS_READ = "datasets:read"
    DATASETS_WRITE = "datasets:write"
    NOTIFICATIONS_READ = "notifications:read"
    NOTIFICATIONS_WRITE = "notifications:write"
    OPERATE = "operate"
    ADMIN = "admin"
    CREDENTIALS = "credentials"
    ACCOUNT_READ = "account:read"
    ACCOUNT = "account"


class Scope(StrEnum):
    """A scope of an API key."""

    JOBS_READ = "jobs:read"
    JOBS_WRITE = "jobs:write"
    MODELS = "models:*"
    DATASETS = "datasets:*"
    NOTIFICATIONS = "notifications:*"
    PREDICT = "predict"
    ADMIN = "admin"


DESCRIPTIONS: Final[Mapping[Permission, str]] = {
    Permission.JOBS_READ: "See your jobs, groups, dead letters, schedules, results and event streams",
    Permission.JOBS_WRITE: "Create, cancel, retry and dismiss jobs, and manage schedules",
    Permission.PREDICT: "Predict synchronously",
    Permission.MODELS_READ: "See and download your models and the public models",
    Permission.MODELS_WRITE: "Upload, change and delete your models",
    Permission.DATASETS_READ: "See and download your datasets",
    Permission.DATASETS_WRITE: "Upload and delete your datasets",
    Permission.NOTIFICATIONS_READ: "See your subscriptions and their deliveries",
    Permission.NOTIFICATIONS_WRITE: "Manage subscriptions, which send the events of your jobs out",
    Permission.OPERATE: "See and control the jobs, schedules and dead letters of all users, and pause queues",
    Permission.ADMIN: (
        "Manage users, roles, invitations and quotas, read the audit log, and see the state of the system"
    ),
    Permission.CREDENTIALS: (
        "Reset passwords, end sessions and revoke API keys of other users, and make administrators"
    ),
    Permission.ACCOUNT_READ: "See your account and your quota",
    Permission.ACCOUNT: "Change your password, and manage your sessions and API keys",
}

_VIEWER: Final = frozenset(
    {
        Permission.JOBS_READ,
        Permission.MODELS_READ,
        Permission.DATASETS_READ,
        Permission.NOTIFICATIONS_READ,
        Permission.ACCOUNT_READ,
        Permission.ACCOUNT,
    }
)
_USER: Final = _VIEWER | {
    Permission.JOBS_WRITE,
    Permission.PREDICT,
    Permission.MODELS_WRITE,
    Permission.DATASETS_WRITE,
    Permission.NOTIFICATIONS_WRITE,
}
_OPERATOR: Final = _USER | {Permission.OPERATE}

ROLE_PERMISSIONS: Final[Mapping[Role, frozenset[Permission]]] = {
    Role.VIEWER: _VIEWER,
    Role.USER: _USER,
    Role.OPERATOR: _OPERATOR,
    Role.ADMIN: _OPERATOR | {Permission.ADMIN, Permission.CREDENTIALS},
}

# No other scope includes what `notifications:*` permits: a subscription sends events out, with results.
#
# No scope includes `account` or `credentials`: a leaked API key must not be able to create another one, or to
# take over an account.
SCOPE_PERMISSIONS: Final[Mapping[Scope, frozenset[Permission]]] = {
    Scope.JOBS_READ: frozenset({Permission.ACCOUNT_READ, Permission.JOBS_READ}),
    Scope.JOBS_WRITE: frozenset({Permission.ACCOUNT_READ, Permission.JOBS_WRITE}),
    Scope.MODELS: frozenset({Permission.ACCOUNT_READ, Permission.MODELS_READ, Permission.MODELS_WRITE}),
    Scope.DATASETS: frozenset({Permission.ACCOUNT_READ, Permission.DATASETS_READ, Permission.DATASETS_WRITE}),
    Scope.NOTIFICATIONS: frozenset(
        {Permission.ACCOUNT_READ, Permission.NOTIFICATIONS_READ, Permission.NOTIFICATIONS_WRITE}
    ),
    Scope.PREDICT: frozenset({Permission.ACCOUNT_READ, Permission.PREDICT}),
    Scope.ADMIN: frozenset({Permission.ACCOUNT_READ, Permission.OPERATE, Permission.ADMIN}),
}


@cache  # at most 4 roles × 129 combinations of scopes
def permissions_of(role: Role, scopes: frozenset[Scope] | None) -> frozenset[Permission]:
    """Return what a caller may do. `scopes` are those of an API key, None for an interactive sign-in."""
    if scopes is None:
        return ROLE_PERMISSIONS[role]
    granted = (SCOPE_PERMISSIONS[scope] for scope in scopes)
    return ROLE_PERMISSIONS[role] & frozenset[Permission]().union(*granted)
