"""Signed-in users, without the cost of hashing a password."""

from dataclasses import dataclass
from uuid import UUID

from fastapi import FastAPI

from app.auth.services import AuthServices
from app.core.resources import Resources
from tests.support import jobs


@dataclass(frozen=True)
class Account:
    """A user and the headers of an authenticated request."""

    id: UUID
    headers: dict[str, str]


async def sign_in(app: FastAPI, name: str) -> Account:
    """Create a user with a token signed by the API's keys."""
    resources: Resources = app.state.resources
    auth: AuthServices = app.state.auth
    user_id = await jobs.user(resources.database, name)
    return Account(user_id, {"Authorization": f"Bearer {auth.tokens.issue_access(user_id)}"})
