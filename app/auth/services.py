"""The services that authenticate users, opened once per process."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from app.audit.refusals import Refusals, open_refusals
from app.auth.api_keys.usage import KeyUsage, open_key_usage
from app.auth.concurrency_limit import ConcurrencyLimiter
from app.auth.errors import TooManySignIns
from app.auth.identities import Identities
from app.auth.passwords import Passwords, open_passwords
from app.auth.rate_limits import RateLimits
from app.auth.service import SignIns
from app.auth.tokens import Tokens
from app.auth.usage import Usage, open_usage
from app.core.resources import Resources
from app.http.addresses import Network, parse_networks

REFRESHES_AT_ONCE: Final = 2
"""Concurrent refreshes of one token wait for each other, and must not hold all database connections."""

MAX_WAITING_REFRESHES: Final = 200


@dataclass(frozen=True)
class AuthServices:
    """Verifies passwords, tokens and API keys, counts requests, and limits sign-ins and sign-ups."""

    tokens: Tokens
    passwords: Passwords
    identities: Identities
    usage: Usage
    key_usage: KeyUsage
    rate_limits: RateLimits
    sign_ins: SignIns
    refusals: Refusals
    trusted_proxies: tuple[Network, ...]


@asynccontextmanager
async def open_auth_services(resources: Resources) -> AsyncIterator[AuthServices]:
    """Open the services during the body. Postgres does not have to be reachable yet."""
    tokens = Tokens(resources.settings)
    rate_limits = RateLimits(resources.settings)
    refreshes = ConcurrencyLimiter(
        at_once=REFRESHES_AT_ONCE, waiting=MAX_WAITING_REFRESHES, too_many=TooManySignIns
    )
    async with (
        open_passwords() as passwords,
        open_usage(resources.database) as usage,
        open_key_usage(resources.database) as key_usage,
        open_refusals(resources.database) as refusals,
    ):
        yield AuthServices(
            tokens=tokens,
            passwords=passwords,
            identities=Identities(tokens, resources.database, on_key_used=key_usage.note),
            usage=usage,
            key_usage=key_usage,
            rate_limits=rate_limits,
            refusals=refusals,
            sign_ins=SignIns(
                resources.settings,
                resources.database,
                tokens=tokens,
                passwords=passwords,
                rate_limits=rate_limits,
                refreshes=refreshes,
                refusals=refusals,
            ),
            trusted_proxies=parse_networks(resources.settings.trusted_proxies),
        )
