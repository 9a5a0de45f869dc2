"""Routes for signing up, and of your own account."""

from fastapi import APIRouter, Request
from starlette.status import HTTP_201_CREATED

from app.auth import commands, passwords, queries
from app.auth.actors import actor_of
from app.auth.deps import AccountReader, AuthDep, CallerDep, SourceDep, bearer
from app.auth.errors import (
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
from app.auth.schemas import CreateUser, UserView
from app.auth.services import AuthServices
from app.core.config import Registration, Settings
from app.core.database import Database
from app.core.errors import DatabaseUnavailable, PermissionDenied, Unauthorized
from app.http import problems
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
    source: SourceDep,
    settings: SettingsDep,
    auth: AuthDep,
    database: DatabaseDep,
    creator: CallerDep,
) -> UserView:
    """Creates an account. Usernames are not case-sensitive.

    Administrators create accounts with any role; others according to the setting `REGISTRATION`.
    """
    password = body.password.get_secret_value()
    invitation = None if body.invitation is None else body.invitation.get_secret_value()
    is_admin = creator is not None and creator.is_admin
    if not is_admin:
        _ensure_may_register(settings, creator, body.role, invitation)
    if creator is not None and body.role is Role.ADMIN:
        creator.ensure(Permission.CREDENTIALS)
    passwords.accept(password, body.username)
    if not is_admin:
        await _count_sign_up(auth, database, source.network)
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
            network=source.network,
            by=actor_of(request, creator),
        )
    return UserView.model_validate(user)


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
