"""Signed-in users, without the cost of hashing a password."""

from dataclasses import dataclass
from uuid import UUID

from fastapi import FastAPI

from tests.support import jobs
from tests.support.app_state import state_of


@dataclass(frozen=True)
class Account:
    """A user and the headers of an authenticated request."""

    id: UUID
    headers: dict[str, str]


async def sign_in(app: FastAPI, name: str) -> Account:
    """A new user with a token of the API's own."""
    resources = state_of(app).resources
    auth = state_of(app).auth
    user_id = await jobs.user(resources.database, name)
    return Account(user_id, {"Authorization": f"Bearer {auth.tokens.issue_access(user_id)}"})
