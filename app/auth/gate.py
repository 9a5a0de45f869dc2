"""What a process needs to know who is asking, opened once beside the resources."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from app.auth.identities import Identities
from app.auth.passwords import Passwords, open_passwords
from app.auth.tokens import Tokens
from app.auth.usage import Usage, open_usage
from app.core.resources import Resources


@dataclass(frozen=True)
class Gate:
    """Where everybody passes who wants something."""

    tokens: Tokens
    passwords: Passwords
    identities: Identities
    usage: Usage


@asynccontextmanager
async def open_gate(resources: Resources) -> AsyncIterator[Gate]:
    """Open the gate, and close it at the end of the body. Postgres does not have to be there yet."""
    tokens = Tokens(resources.settings)
    async with open_passwords() as passwords, open_usage(resources.database) as usage:
        yield Gate(tokens, passwords, Identities(tokens, resources.database), usage)
