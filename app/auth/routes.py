"""Routes for signing up, signing in and staying signed in."""

from datetime import timedelta
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Form, Request, Response
from sqlmodel.ext.asyncio.session import AsyncSession
from starlette.status import HTTP_201_CREATED

from app.audit import commands as audit
from app.audit.actions import Action, ObjectType, Outcome
from app.audit.values import Entry
from app.auth import commands, passwords, queries, usernames
from app.auth.actors import actor_of
from app.auth.deps import AccountReader, AuthDep, CreatorDep, bearer
from app.auth.errors import (
    InactiveUser,
    InvalidCredentials,
    InvalidInvitation,
    InvitationNeeded,
    RegistrationClosed,
    TooManyAttempts,
    TooManySignIns,
    UsernameTaken,
    WeakPassword,
)
from app.auth.identities import Identity
from app.auth.invitations import queries as invitations
from app.auth.permissions import Permission
from app.auth.roles import Role
from app.auth.schemas import CreateUser, Refresh, SignIn, TokenPair, UserView
from app.auth.services import AuthServices
from app.core.config import Registration, Settings
from app.core.database import Database
from app.core.errors import DatabaseUnavailable, PermissionDenied, Unauthorized
from app.http import problems
from app.http.addresses import client_network
from app.http.deps import DatabaseDep, SessionDep, SettingsDep
from app.http.routing import BoundedRoute

router = APIRouter(route_class=BoundedRoute, tags=["Sign in"])


@router.post(
    "/users",
    operation_id="createUser",
    summary="Create an account",
    status_code=HTTP_201_CREATED,
    response_description="The new account",
    responses=problems.responses(
        RegistrationClosed,
        InvitationNeeded,
        InvalidInvitation,
        UsernameTaken,
        WeakPassword(reason="it needs 8 to 128 characters"),
        TooManyAttempts(retry_after=900),
        TooManySignIns,
        DatabaseUnavailable,
    ),
    # A token is optional: only an administrator needs one here.
    openapi_extra={"security": [{}, {bearer.scheme_name: [str(Permission.ADMIN)]}]},
)
async def create_user(
    body: CreateUser,
    request: Request,
    settings: SettingsDep,
    auth: AuthDep,
    database: DatabaseDep,
    creator: CreatorDep,
) -> UserView:
    """Creates an account. Usernames are not case-sensitive.

    Administrators create accounts with any role; others according to the setting `REGISTRATION`.
    """
    network = client_network(request.scope, auth.trusted_proxies)
    password = body.password.get_secret_value()
    invitation = None if body.invitation is None else body.invitation.get_secret_value()
    is_admin = creator is not None and creator.is_admin
    if not is_admin:
        _ensure_may_register(settings, creator, body.role, invitation)
    passwords.accept(password, body.username)
    if not is_admin:
        await _count_sign_up(auth, database, network)
    if invitation is not None:
        async with database.connection() as connection:
            # Before the password is hashed, which is slow: a token that is not valid must cost little.
            if not await invitations.is_valid(connection, invitation):
                raise InvalidInvitation
    async with database.session() as session:
        user = await commands.create_user(
            session,
            auth.passwords,
            username=body.username,
            password=password,
            email=body.email,
            role=body.role or Role.USER,
            invitation=invitation,
            network=network,
            by=actor_of(request, creator),
        )
    return UserView.model_validate(user)


@router.post(
    "/token",
    operation_id="createToken",
    summary="Sign in",
    response_description="A token pair",
    responses=problems.responses(
        InvalidCredentials,
        InactiveUser,
        TooManyAttempts(retry_after=900),
        TooManySignIns,
        DatabaseUnavailable,
    ),
)
async def create_token(
    form: Annotated[SignIn, Form()],
    request: Request,
    settings: SettingsDep,
    auth: AuthDep,
    database: DatabaseDep,
    response: Response,
) -> TokenPair:
    """Returns an access token and a refresh token for a username and a password."""
    network = client_network(request.scope, auth.trusted_proxies)
    rules = auth.rate_limits.sign_in_rules(form.username)
    auth.rate_limits.check_blocked(rules, network)
    async with auth.passwords.turn(network) as turn:
        async with database.connection() as connection:
            await auth.rate_limits.check(connection, rules, network)
        async with database.session() as session:
            user = await queries.find_user(session, form.username)
        # After the transaction: hashing is slow, and must not hold a connection.
        known_hash = user.password_hash if user is not None else None
        is_right = await turn.check(form.password.get_secret_value(), known_hash)
        if user is None or not is_right:
            async with database.connection() as connection:
                await auth.rate_limits.record(connection, rules, network)
            raise InvalidCredentials
        async with database.transaction() as connection:
            await auth.rate_limits.clear(connection, rules[0], network)
        if not user.is_active:
            raise InactiveUser
        async with database.session() as session:
            # A change of the password ends all sessions, also one that starts at the same time.
            if not await commands.lock_password(session, user):
                raise InvalidCredentials
            return await _issue_pair(session, auth, settings, request, response, user.id)


@router.post(
    "/token/refresh",
    operation_id="refreshToken",
    summary="Refresh a token",
    response_description="A new token pair",
    responses=problems.responses(Unauthorized, TooManySignIns, DatabaseUnavailable),
)
async def refresh_token(
    body: Refresh,
    request: Request,
    settings: SettingsDep,
    auth: AuthDep,
    database: DatabaseDep,
    response: Response,
) -> TokenPair:
    """Returns a new token pair for a refresh token.

    A refresh token is valid once. A second use revokes all tokens that descend from the same sign-in.
    """
    network = client_network(request.scope, auth.trusted_proxies)
    async with auth.refreshes.turn(network), database.session() as session:
        token = body.refresh_token.get_secret_value()
        spent = await commands.spend_refresh_token(session, token, by=actor_of(request, None))
        if spent is not None:
            return await _issue_pair(
                session, auth, settings, request, response, spent.user_id, spent.session_id
            )
    # Raised here: inside the session, it would roll back the revocation of the family.
    raise Unauthorized


@router.get(
    "/users/me",
    operation_id="getCurrentUser",
    summary="Get your account",
    response_description="The signed-in user",
    responses=problems.responses(Unauthorized, DatabaseUnavailable),
)
async def get_current_user(current: AccountReader, auth: AuthDep, session: SessionDep) -> UserView:
    """Returns your account, with the number of requests made with your tokens."""
    await auth.usage.write()  # so that the count includes this request
    user = await queries.get_user(session, current.id)
    if user is None:
        raise Unauthorized
    return UserView.model_validate(user)


def _ensure_may_register(
    settings: Settings, creator: Identity | None, role: Role | None, invitation: str | None
) -> None:
    """Raise unless this setting lets someone who is no administrator create this account."""
    if role is not None:
        raise Unauthorized if creator is None else PermissionDenied(permission=str(Permission.ADMIN))
    match settings.registration:
        case Registration.CLOSED:
            raise RegistrationClosed
        case Registration.INVITATION if invitation is None:
            raise InvitationNeeded
        case _:
            return


async def _count_sign_up(auth: AuthServices, database: Database, network: str) -> None:
    rules = auth.rate_limits.sign_up_rules()
    auth.rate_limits.check_blocked(rules, network)
    async with database.connection() as connection:
        await auth.rate_limits.check(connection, rules, network)
        await auth.rate_limits.record(connection, rules, network)


async def _issue_pair(
    session: AsyncSession,
    auth: AuthServices,
    settings: Settings,
    request: Request,
    response: Response,
    user_id: UUID,
    session_id: UUID | None = None,
) -> TokenPair:
    """Issue both tokens, in a new session unless one is given. Raises Unauthorized if it has ended."""
    issued = await commands.issue_refresh_token(
        session,
        user_id,
        session_id=session_id,
        lifetime=timedelta(seconds=settings.refresh_token_seconds),
        client=request.headers.get("user-agent"),
        network=client_network(request.scope, auth.trusted_proxies),
    )
    response.headers["Cache-Control"] = "no-store"  # RFC 6749, section 5.1
    return TokenPair(
        access_token=auth.tokens.issue_access(user_id, issued.session_id),
        expires_in=settings.access_token_seconds,
        refresh_token=issued.refresh_token,
    )
