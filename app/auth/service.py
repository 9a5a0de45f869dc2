"""Signing in, staying signed in and signing out: the same steps for programs and for browsers."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final
from uuid import UUID

from sqlmodel.ext.asyncio.session import AsyncSession

from app.audit import commands as audit
from app.audit.actions import Action, AuditOutcome, ObjectType
from app.audit.refusals import Refusals
from app.audit.values import Actor, Entry
from app.auth import commands, queries, usernames
from app.auth.concurrency_limit import ConcurrencyLimiter
from app.auth.errors import InactiveUser, InvalidCredentials, TooManyAttempts
from app.auth.passwords import Passwords
from app.auth.rate_limits import RateLimits
from app.auth.sessions import commands as sessions
from app.auth.sessions import queries as session_queries
from app.auth.sign_ins import counted
from app.auth.tokens import Tokens
from app.auth.values import TokenSet, User
from app.core.config import Settings
from app.core.database import Database
from app.core.errors import AppError, Unauthorized

_OUTCOMES: Final[Mapping[type[AppError], AuditOutcome]] = {
    InvalidCredentials: AuditOutcome.FAILED,
    InactiveUser: AuditOutcome.DENIED,
    TooManyAttempts: AuditOutcome.THROTTLED,
}


@dataclass(frozen=True)
class RequestSource:
    """Where a request comes from."""

    network: str
    client: str | None  # the User-Agent header
    request_id: str

    @property
    def actor(self) -> Actor:
        """Who acts, as long as that is not known."""
        return Actor(network=self.network, request_id=self.request_id)


class SignIns:
    """Issues token sets.

    With `in_cookie`, the refresh token is one for the cookie of a browser: accepted from there only, and
    accepted again for `commands.REUSE_GRACE`.
    """

    def __init__(
        self,
        settings: Settings,
        database: Database,
        *,
        tokens: Tokens,
        passwords: Passwords,
        rate_limits: RateLimits,
        refreshes: ConcurrencyLimiter,
        refusals: Refusals,
    ) -> None:
        self._database = database
        self._tokens = tokens
        self._passwords = passwords
        self._rate_limits = rate_limits
        self._refreshes = refreshes
        self._refusals = refusals
        self._access_seconds = settings.access_token_seconds
        self._refresh_lifetime = timedelta(seconds=settings.refresh_token_seconds)

    @counted
    async def sign_in(
        self, username: str, password: str, source: RequestSource, *, in_cookie: bool = False
    ) -> TokenSet:
        """Check the password and start a session.

        Raises InvalidCredentials, InactiveUser, TooManyAttempts and TooManySignIns. The audit log records
        every outcome but the last.
        """
        try:
            return await self._sign_in(username, password, source, in_cookie=in_cookie)
        except (InvalidCredentials, InactiveUser, TooManyAttempts) as error:
            await self._refusals.record(
                source.actor, Action.SIGN_IN, _OUTCOMES[type(error)], usernames.key(username)
            )
            raise

    async def _sign_in(
        self, username: str, password: str, source: RequestSource, *, in_cookie: bool
    ) -> TokenSet:
        network = source.network
        rules = self._rate_limits.sign_in_rules(username)
        self._rate_limits.check_blocked(rules, network)
        async with self._passwords.turn(network) as turn:
            async with self._database.connection() as connection:
                await self._rate_limits.check(connection, rules, network)
            async with self._database.session() as session:
                user = await queries.find_user(session, username)
            # After the transaction: hashing is slow, and must not hold a connection.
            known_hash = user.password_hash if user is not None else None
            is_right = await turn.check(password, known_hash)
            if user is None or not is_right:
                async with self._database.connection() as connection:
                    await self._rate_limits.record(connection, rules, network)
                raise InvalidCredentials
            async with self._database.transaction() as connection:
                await self._rate_limits.clear(connection, rules[0], network)
            if not user.is_active:
                raise InactiveUser
            async with self._database.session() as session:
                # A change of the password ends all sessions, also one that starts at the same time.
                if not await commands.lock_password(session, user):
                    raise InvalidCredentials
                signed_in = await self._issue(session, user, source, in_cookie=in_cookie)
                actor = replace(source.actor, user_id=user.id, session_id=signed_in.session_id)
                entry = Entry(
                    Action.SIGN_IN, ObjectType.USER, str(user.id), details={"username": user.username}
                )
                await audit.record_in_session(session, actor, entry)
                return signed_in

    async def refresh(self, token: str, source: RequestSource, *, in_cookie: bool = False) -> TokenSet:
        """Exchange a refresh token for a new token set. Raises Unauthorized and TooManySignIns."""
        async with self._refreshes.turn(source.network), self._database.session() as session:
            spent = await commands.spend_refresh_token(session, token, in_cookie=in_cookie, by=source.actor)
            user = None if spent is None else await queries.get_user(session, spent.user_id)
            if spent is not None and user is not None:
                return await self._issue(
                    session, user, source, session_id=spent.session_id, in_cookie=in_cookie
                )
        # Raised here: inside the session, it would roll back the revocation of the family.
        raise Unauthorized

    async def sign_out(self, token: str, source: RequestSource) -> None:
        """End the session to which the token in a cookie belongs, if it is open."""
        async with self._database.transaction() as connection:
            found = await session_queries.of_cookie(connection, token)
            if found is not None and found.session_id is not None:
                is_ended = await sessions.end(connection, found.user_id, found.session_id)
                if is_ended:
                    actor = replace(source.actor, user_id=found.user_id, session_id=found.session_id)
                    entry = Entry(Action.SIGN_OUT, ObjectType.SESSION, str(found.session_id))
                    await audit.record(connection, actor, entry)

    async def _issue(
        self,
        session: AsyncSession,
        user: User,
        source: RequestSource,
        *,
        session_id: UUID | None = None,
        in_cookie: bool,
    ) -> TokenSet:
        """Issue both tokens, in a new session unless one is given. Raises Unauthorized if it has ended."""
        issued = await commands.issue_refresh_token(
            session,
            user.id,
            session_id=session_id,
            lifetime=self._refresh_lifetime,
            client=source.client,
            network=source.network,
            in_cookie=in_cookie,
        )
        return TokenSet(
            user=user,
            access_token=self._tokens.issue_access(user.id, issued.session_id),
            expires_in=self._access_seconds,
            refresh_token=issued.refresh_token,
            session_id=issued.session_id,
        )
