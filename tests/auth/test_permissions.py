"""Every operation of the OpenAPI document for every kind of caller: exactly the documented answers."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import httpx
import pytest
from fastapi import FastAPI

from app.auth.api_keys import commands
from app.auth.permissions import Permission, Scope, permissions_of
from app.auth.roles import Role
from app.core.database import Database
from tests.models import versions
from tests.support import api_keys, jobs, rows, schedules
from tests.support.accounts import Account, sign_in

UNKNOWN_ID = "019aa7c1-f3e2-7bd0-8c5d-3f1e2a4b6c8d"


@dataclass(frozen=True)
class Caller:
    """Who sends a request; None as role: nobody. `scopes` are those of an API key."""

    name: str
    role: Role | None
    scopes: frozenset[Scope] | None = None
    is_owner: bool = False
    is_rejected: bool = False

    @property
    def is_signed_in(self) -> bool:
        return self.role is not None and not self.is_rejected

    def has(self, permission: Permission) -> bool:
        return self.role is not None and permission in permissions_of(self.role, self.scopes)


def with_key(role: Role, *scopes: Scope, is_owner: bool = False) -> Caller:
    """A caller with an API key of a user with this role."""
    owner = "the owner" if is_owner else f"a {role}"
    return Caller(f"key of {owner}: {' '.join(scopes)}", role, frozenset(scopes), is_owner)


CALLERS: Final = (
    Caller("nobody", None),
    Caller("viewer", Role.VIEWER),
    Caller("other user", Role.USER),
    Caller("operator", Role.OPERATOR),
    Caller("admin", Role.ADMIN),
    Caller("owner", Role.USER, is_owner=True),
    Caller("viewing owner", Role.VIEWER, is_owner=True),
    *(with_key(Role.USER, scope, is_owner=True) for scope in Scope),
    with_key(Role.VIEWER, *Scope, is_owner=True),
    with_key(Role.OPERATOR, *Scope),
    *(with_key(Role.ADMIN, scope) for scope in (Scope.ADMIN, Scope.JOBS_READ)),
    with_key(Role.ADMIN, *Scope),
    replace(with_key(Role.ADMIN, *Scope), name="expired key", is_rejected=True),
    replace(with_key(Role.ADMIN, *Scope), name="revoked key", is_rejected=True),
)

FOREIGN: Final = {
    "/jobs/{job_id}": (403, "not_your_job"),
    "/task-progress/{job_id}": (403, "not_your_job"),
    "/groups/{group_id}": (404, "group_not_found"),
    "/dead-letters/{job_id}": (404, "dead_letter_not_found"),
    "/datasets/{dataset_id}": (404, "dataset_not_found"),
    "/models/{name}": (404, "model_not_found"),
    "/api-keys/{key_id}": (404, "api_key_not_found"),
    "/schedules/{schedule}": (404, "schedule_not_found"),
    "/schedule-groups/{group}": (404, "schedule_group_not_found"),
    "/scheduler/api/jobs/{schedule}": (404, "schedule_not_found"),
    "/scheduler/api/groups/{group}": (404, "schedule_group_not_found"),
    "/subscriptions/{subscription_id}": (404, "subscription_not_found"),
    "/deliveries/{delivery_id}": (404, "delivery_not_found"),
}
"""The answer about an object of another user, by the beginning of the path."""

OPERATED: Final = (
    "/jobs/",
    "/task-progress/",
    "/groups/",
    "/dead-letters/",
    "/schedules/{schedule}",
    "/scheduler/api/jobs/{schedule}",
)
"""Operators and administrators reach these objects of every user, and no others."""

NOT_AN_OBJECT: Final = {"POST /models/{name}/versions", "PUT /schedules/{schedule}"}
"""They create something of the caller with this name."""

NEEDS_A_COOKIE: Final = {"POST /session/refresh"}
"""The answer of these operations is 401 to everyone: no caller here has a cookie."""

BODIES: Final[Mapping[str, Any]] = {
    "changeModel": {"visibility": "private"},
    "changeModelVersion": {"tags": {"stage": "test"}},
    "setModelAlias": {"version": 1},
    "changeUser": {"is_active": True},
    "changeSubscription": {"name": "Deploys"},
    "replaySubscriptionDeliveries": {"from": "2026-03-01T00:00:00Z"},
}
"""Bodies that are valid. The other operations get an empty one, and answer 422 to those who may call them."""

ORDER: Final = ("GET", "POST", "PUT", "PATCH", "DELETE")


def operations(app: FastAPI) -> list[tuple[str, str, dict[str, Any]]]:
    """All operations, so that none deletes what a later one needs: inner objects first, users last."""
    found = [
        (method.upper(), path, operation)
        for path, methods in app.openapi()["paths"].items()
        for method, operation in methods.items()
    ]
    return sorted(found, key=lambda one: (ORDER.index(one[0]), one[1] == "/users/{user_id}", -len(one[1])))


def permission_of(operation: dict[str, Any]) -> Permission | None:
    """The permission that an operation needs; None if it needs none, or works without a token too."""
    security = operation.get("security", [])
    if not security or {} in security:
        return None
    ((name,),) = security[0].values()
    return Permission(name)


def foreign_answer(method: str, path: str, caller: Caller) -> tuple[int, str] | None:
    """What a caller is told who has the permission, but does not own the object; None if they reach it."""
    prefix = next((start for start in FOREIGN if path.startswith(start)), None)
    if prefix is None or caller.is_owner or f"{method} {path}" in NOT_AN_OBJECT:
        return None
    if caller.has(Permission.OPERATE) and path.startswith(OPERATED):
        return None
    if caller.has(Permission.CREDENTIALS) and path.startswith("/api-keys/"):
        return None
    return FOREIGN[prefix]


class Belongings:
    """What the owner has: one object of each kind, and new dead letters and schedules for each operation."""

    def __init__(self, store: Database, owner: Account, fixed: dict[str, str]) -> None:
        self._store = store
        self._owner = owner
        self._fixed = fixed
        self._jobs = 0

    @classmethod
    async def of(cls, store: Database, owner: Account) -> "Belongings":
        model = await versions.of_texts(store, owner.id)
        async with store.transaction() as connection:
            await connection.execute(
                "INSERT INTO model_aliases (model_id, alias, version_id)"
                " SELECT model_id, 'best', id FROM model_versions WHERE id = $1",
                model.id,
            )
        group_id = await rows.value(
            store,
            "INSERT INTO job_groups (id, owner_id) VALUES (gen_random_uuid(), $1) RETURNING id",
            owner.id,
        )
        dataset_id = await rows.value(
            store,
            """INSERT INTO datasets (id, owner_id, name, format, bytes, sha256, rows, columns, rows_bytes,
                rows_sha256)
            VALUES (gen_random_uuid(), $1, 'a', 'csv', 1, '0', 1, '[]', 1, '0') RETURNING id""",
            owner.id,
        )
        subscription_id = await rows.value(
            store,
            """INSERT INTO subscriptions (id, owner_id, name, channel, target, events, gather_seconds, status)
            VALUES (gen_random_uuid(), $1, 'a', 'chat', '{"url": "https://chat.invalid/"}', '{job.failed}', 0,
                'active')
            RETURNING id""",
            owner.id,
        )
        delivery_id = await rows.value(
            store,
            """INSERT INTO deliveries (subscription_id, type, data, status, ended_at)
            VALUES ($1, 'job.failed', '{}', 'failed', now()) RETURNING id""",
            subscription_id,
        )
        fixed = {
            "name": "churn",
            "number": "1",
            "plot": "importance",
            "alias": "best",
            "group_id": str(group_id),
            "dataset_id": str(dataset_id),
            "user_id": str(owner.id),
            "session_id": UNKNOWN_ID,
            "invitation_id": UNKNOWN_ID,
            "subscription_id": str(subscription_id),
            "delivery_id": str(delivery_id),
            "key_id": str((await api_keys.create(store, owner.id, Scope.JOBS_READ)).id),
        }
        return cls(store, owner, fixed)

    async def fill(self, path: str) -> str:
        """The path of an operation with the ids of the owner's objects."""
        job_id = UNKNOWN_ID
        if "{job_id}" in path:
            self._jobs += 1
            job = await jobs.running(self._store, self._owner.id, queue=f"queue-{self._jobs}")
            await jobs.fail(self._store, job, is_retryable=False)
            job_id = str(job.id)
        schedule_id = UNKNOWN_ID
        if "{schedule}" in path or "{group}" in path:
            added = await schedules.add(self._store, self._owner.id, group_name="reports")
            schedule_id = str(added.id)
        return path.format(**self._fixed, job_id=job_id, schedule=schedule_id, group="reports")


async def ask(
    client: httpx.AsyncClient, method: str, path: str, operation: dict[str, Any], headers: dict[str, str]
) -> httpx.Response:
    # The body of a stream does not end; a HEAD has the same status.
    sent = "HEAD" if path.endswith("/stream") else method
    body = BODIES.get(operation["operationId"], {} if "requestBody" in operation else None)
    return await client.request(sent, path, json=body, headers=headers)


def is_documented(answer: httpx.Response, operation: dict[str, Any]) -> bool:
    documented = operation["responses"].get(str(answer.status_code))
    if documented is None:
        return False
    if answer.status_code < 400 or not answer.content:
        return True
    problem = documented.get("content", {}).get("application/problem+json", {})
    return answer.json()["code"] in problem.get("examples", {})


async def headers_of(app: FastAPI, store: Database, caller: Caller, owner: Account) -> dict[str, str]:
    """The headers of a caller's requests."""
    if caller.role is None:
        return {}
    account = owner if caller.is_owner else await sign_in(app, "mallory", caller.role)
    if caller.scopes is None:
        return account.headers
    key = await api_keys.create(
        store, account.id, *caller.scopes, expires_in=-1 if caller.name == "expired key" else None
    )
    if caller.name == "revoked key":
        async with store.connection() as connection:
            await commands.revoke(connection, key.id, user_id=account.id)
    return key.headers


@pytest.mark.parametrize("caller", CALLERS, ids=lambda caller: caller.name)
async def test_each_operation_answers_each_caller_as_documented(
    app: FastAPI, client: httpx.AsyncClient, store: Database, caller: Caller
) -> None:
    owner = await sign_in(app, "alice", Role.USER if not caller.is_owner else caller.role or Role.USER)
    headers = await headers_of(app, store, caller, owner)
    belongings = await Belongings.of(store, owner)
    wrong: dict[str, Any] = {}
    denied = 0
    for method, path, operation in operations(app):
        answer = await ask(client, method, await belongings.fill(path), operation, headers)
        permission = permission_of(operation)
        expected: tuple[int, str] | None = None
        if caller.is_rejected and "security" in operation:
            expected = (401, "invalid_token")  # where a token is optional, too
        elif f"{method} {path}" in NEEDS_A_COOKIE or (permission is not None and not caller.is_signed_in):
            expected = (401, "invalid_token")
        elif permission is not None and not caller.has(permission):
            expected = (403, "forbidden")
        elif permission is not None:
            expected = foreign_answer(method, path, caller)
        got = (answer.status_code, answer.json()["code"] if answer.content and answer.is_error else "")
        if path.endswith("/stream"):  # a HEAD has no body
            expected, got = (None if expected is None else (expected[0], "")), (got[0], "")
        denied += expected is not None
        unwanted = {(401, "invalid_token"), (403, "forbidden"), *FOREIGN.values()}
        is_right = got == expected if expected is not None else got not in unwanted
        if not is_right or not is_documented(answer, operation):
            wrong[f"{method} {path}"] = {"expected": expected or "allowed", "got": got}

    assert not wrong
    assert denied >= (5 if caller.is_signed_in else 50)
