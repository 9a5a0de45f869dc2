"""Routes that change passwords: one's own, or with a reset token from an administrator."""

from dataclasses import replace
from datetime import timedelta
from typing import Final
from uuid import UUID

from fastapi import APIRouter, Request, Response
from starlette.status import HTTP_201_CREATED, HTTP_204_NO_CONTENT

from app.audit import commands as audit
from app.audit.actions import Action, AuditOutcome, ObjectType
from app.audit.values import Entry
from app.auth import passwords, usernames
from app.auth import queries as accounts
from app.auth.actors import actor_of
from app.auth.deps import AccountOwner, AuthDep, CredentialsAdministrator
from app.auth.errors import (
    InvalidPasswordReset,
    TooManyAttempts,
    TooManySignIns,
    UserNotFound,
    WeakPassword,
    WrongPassword,
)
from app.auth.password_resets import commands, queries
from app.auth.password_resets.schemas import PasswordChange, PasswordReset, PasswordResetIssued
from app.auth.users import queries as users
from app.core.errors import DatabaseUnavailable, Unauthorized
from app.http import problems
from app.http.addresses import client_network
from app.http.deps import DatabaseDep
from app.http.routing import BoundedRoute

LIFETIME: Final = timedelta(hours=24)

_WEAK: Final = WeakPassword(reason="it needs 8 to 128 characters")

router = APIRouter(route_class=BoundedRoute, tags=["users"])


@router.post(
    "/users/me/password",
    operation_id="changePassword",
    summary="Change your password",
    status_code=HTTP_204_NO_CONTENT,
    responses=problems.responses(WrongPassword, _WEAK, TooManyAttempts(retry_after=900), TooManySignIns),
)
async def change_password(
    body: PasswordChange, request: Request, user: AccountOwner, auth: AuthDep, database: DatabaseDep
) -> None:
    """Needs the current password, and ends your other sessions. API keys are not affected.

    Wrong passwords count as failed sign-ins.
    """
    async with database.session() as session:
        account = await accounts.get_user(session, user.id)
    if account is None:
        raise Unauthorized
    new_password = body.new_password.get_secret_value()
    passwords.accept(new_password, account.username)
    actor = actor_of(request, user)
    network = client_network(request.scope, auth.trusted_proxies)
    rules = auth.rate_limits.sign_in_rules(account.username)
    auth.rate_limits.check_blocked(rules, network)
    async with auth.passwords.turn(network) as turn:
        async with database.connection() as connection:
            await auth.rate_limits.check(connection, rules, network)
        if not await turn.check(body.current_password.get_secret_value(), account.password_hash):
            async with database.connection() as connection:
                await auth.rate_limits.record(connection, rules, network)
            await auth.refusals.record(
                actor, Action.PASSWORD_CHANGED, AuditOutcome.FAILED, usernames.key(account.username)
            )
            raise WrongPassword
        password_hash = await turn.hash(new_password, account.username)
    async with database.transaction() as connection:
        await auth.rate_limits.clear(connection, rules[0], network)
        await commands.change_password(
            connection,
            user.id,
            earlier_hash=account.password_hash,
            password_hash=password_hash,
            session_id=user.session_id,
        )
        changed = Entry(Action.PASSWORD_CHANGED, ObjectType.USER, str(user.id))
        await audit.record(connection, actor, changed)


@router.post(
    "/users/{user_id}/password-reset",
    operation_id="createPasswordReset",
    summary="Let a user set a new password",
    status_code=HTTP_201_CREATED,
    response_description="The reset token",
    responses=problems.responses(UserNotFound(user="019aa7c1-f3e2-7bd0-8c5d-3f1e2a4b6c8d")),
)
async def create_password_reset(
    user_id: UUID,
    request: Request,
    user: CredentialsAdministrator,
    database: DatabaseDep,
    response: Response,
) -> PasswordResetIssued:
    """Returns a token that is valid once, for 24 hours. It revokes earlier ones; the password stays valid."""
    async with database.transaction() as connection:
        account = await users.get(connection, user_id)
        token, expires_at = await commands.issue(connection, user_id, LIFETIME)
        entry = Entry(
            Action.PASSWORD_RESET_ISSUED,
            ObjectType.USER,
            str(user_id),
            details={"username": account.username},
        )
        await audit.record(connection, actor_of(request, user), entry)
    response.headers["Cache-Control"] = "no-store"
    return PasswordResetIssued(token=token, expires_at=expires_at)


@router.post(
    "/password-resets",
    operation_id="resetPassword",
    summary="Set a new password with a reset token",
    status_code=HTTP_204_NO_CONTENT,
    responses=problems.responses(InvalidPasswordReset, _WEAK, TooManySignIns, DatabaseUnavailable),
)
async def reset_password(body: PasswordReset, request: Request, auth: AuthDep, database: DatabaseDep) -> None:
    """Sets the password and ends all sessions of the user. A rejected password does not use up the token."""
    token, new_password = body.token.get_secret_value(), body.new_password.get_secret_value()
    network = client_network(request.scope, auth.trusted_proxies)
    async with database.connection() as connection:
        # Before the password is hashed, which is slow: a token that is not valid must cost little.
        username = await queries.username_of(connection, token)
    if username is None:
        raise InvalidPasswordReset
    passwords.accept(new_password, username)
    async with auth.passwords.turn(network) as turn:
        password_hash = await turn.hash(new_password, username)
    async with database.transaction() as connection:
        user_id = await commands.use(connection, token, password_hash)
        actor = replace(actor_of(request, None), user_id=user_id)
        await audit.record(connection, actor, Entry(Action.PASSWORD_RESET, ObjectType.USER, str(user_id)))
