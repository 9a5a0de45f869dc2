"""Signed-in users, without the cost of hashing a password."""

from dataclasses import dataclass
from uuid import UUID

from fastapi import FastAPI

from app.auth.roles import Role
from app.core.database import Database
from tests.support import jobs, rows
from tests.support.app_state import state_of


@dataclass(frozen=True)
class Account:
    """A user and the headers of an authenticated request."""

    id: UUID
    headers: dict[str, str]


async def sign_in(app: FastAPI, name: str, role: Role = Role.USER) -> Account:
    """A new user with a token of the API's own."""
    resources = state_of(app).resources
    auth = state_of(app).auth
    user_id = await jobs.user(resources.database, name)
    if role is not Role.USER:
        await set_role(resources.database, user_id, role)
    return Account(user_id, {"Authorization": f"Bearer {auth.tokens.issue_access(user_id)}"})


async def set_role(database: Database, user_id: UUID, role: Role) -> None:
    """Give a user another role, as another process would."""
    await rows.execute(database, "UPDATE users SET role = $2 WHERE id = $1", user_id, role.value)
