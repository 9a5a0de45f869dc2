"""Changes of users, sessions and refresh tokens. The caller owns the transaction."""

from datetime import timedelta
from typing import Final
from uuid import UUID

from sqlalchemy import delete, exists, func, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import aliased
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from app.audit import commands as audit
from app.audit.actions import Action, AuditOutcome, ObjectType
from app.audit.values import Actor, Detail, Entry
from app.auth import tables, tokens, usernames
from app.auth.errors import InvalidInvitation, UsernameTaken
from app.auth.passwords import Passwords
from app.auth.roles import Role
from app.auth.tables import Invitation, RefreshToken, RetiredUsername, SignInSession
from app.auth.values import IssuedToken, SpentToken, User
from app.core import ids
from app.core.config import MAX_ACCESS_TOKEN_SECONDS
from app.core.errors import Unauthorized

MAX_CLIENT_LENGTH: Final = 200

REUSE_GRACE: Final = timedelta(seconds=10)
"""A browser may send the same cookie again for this long after its first use: from other tabs, or if the
response is lost."""

LONGEST_ACCESS_TOKEN: Final = timedelta(seconds=MAX_ACCESS_TOKEN_SECONDS)


async def create_user(
    session: AsyncSession,
    passwords: Passwords,
    *,
    username: str,
    password: str,
    email: str | None = None,
    role: Role = Role.USER,
    invitation: str | None = None,
    network: str = "",
    by: Actor,
) -> User:
    """Create an account. An invitation decides its role, and is spent.

    Raises WeakPassword, UsernameTaken, InvalidInvitation, TooManySignIns, and ValueError for an invalid
    username. The caller rolls back what raises.
    """
    accepted = usernames.accept(username)
    values = {
        "id": ids.new_id(),
        "username": accepted,
        "username_key": usernames.key(accepted),
        "email": email,
        "role": role,
    }
    # Hashed before the first statement: only then does the session take a connection.
    async with passwords.turn(network) as turn:
        values["password_hash"] = await turn.hash(password, accepted)
    if invitation is not None:
        values["role"] = await _spend_invitation(session, invitation)
    if await session.get(RetiredUsername, usernames.retired_key(accepted)) is not None:
        raise UsernameTaken
    created = await session.exec(
        insert(tables.User)
        .values(values)
        .on_conflict_do_nothing(index_elements=["username_key"])
        .returning(tables.User)
    )
    row: tables.User | None = created.scalars().one_or_none()
    if row is None:
        raise UsernameTaken
    user = User.from_row(row)
    details: dict[str, Detail] = {
        "username": user.username,
        "role": str(user.role),
        "is_invited": invitation is not None,
    }
    entry = Entry(Action.USER_CREATED, ObjectType.USER, str(user.id), details=details)
    await audit.record_in_session(session, by, entry)
    return user


async def _spend_invitation(session: AsyncSession, token: str) -> Role:
    """Spend an invitation, and return the role of its account. Raises InvalidInvitation."""
    spent = await session.exec(
        delete(Invitation)
        .where(
            col(Invitation.token_hash) == tokens.hash_opaque_token(token),
            col(Invitation.expires_at) > func.now(),
        )
        .returning(col(Invitation.role))
    )
    role: Role | None = spent.scalars().one_or_none()
    if role is None:
        raise InvalidInvitation
    return role


async def lock_password(session: AsyncSession, user: User) -> bool:
    """Lock the password that was read with a user until the commit. Return whether it is still the same."""
    locked = await session.exec(
        select(tables.User.id)
        .where(
            tables.User.id == user.id,
            tables.User.password_hash == user.password_hash,
            col(tables.User.is_active),
        )
        .with_for_update(read=True)
    )
    return locked.one_or_none() is not None


async def issue_refresh_token(
    session: AsyncSession,
    user_id: UUID,
    *,
    lifetime: timedelta,
    session_id: UUID | None = None,
    client: str | None = None,
    network: str | None = None,
    in_cookie: bool = False,
) -> IssuedToken:
    """Issue a refresh token, in a new session unless one is given. Deletes the user's expired tokens.

    With `in_cookie`, it is accepted from a cookie only, otherwise never from one. `client` and `network` say
    where the session is used. Raises Unauthorized if the session has ended.
    """
    token = tokens.new_opaque_token()
    for table in (RefreshToken, SignInSession):
        expired = select(table.id).where(table.user_id == user_id, col(table.expires_at) < func.now())
        # Without waiting for other requests of the user, which hold locks in another order.
        deletable = expired.with_for_update(skip_locked=True)
        await session.exec(delete(table).where(col(table.id).in_(deletable)))
    used_in = await _use_session(session, session_id or ids.new_id(), user_id, lifetime, client, network)
    await session.exec(
        insert(RefreshToken).values(
            id=ids.new_id(),
            family_id=used_in,
            user_id=user_id,
            token_hash=tokens.hash_opaque_token(token),
            expires_at=func.now() + lifetime,
            in_cookie=in_cookie,
        )
    )
    return IssuedToken(token, used_in)


async def _use_session(
    session: AsyncSession,
    session_id: UUID,
    user_id: UUID,
    lifetime: timedelta,
    client: str | None,
    network: str | None,
) -> UUID:
    """Create the session, or extend it. Raises Unauthorized if it has ended.

    The lock on the row makes a concurrent end wait, or this see it.
    """
    new = insert(SignInSession).values(
        id=session_id,
        user_id=user_id,
        client=None if client is None else _printable(client)[:MAX_CLIENT_LENGTH],
        network=network,
        # Access tokens refer to the session, so it is kept for as long as one can be valid.
        expires_at=func.now() + max(lifetime, LONGEST_ACCESS_TOKEN),
    )
    used = await session.exec(
        new.on_conflict_do_update(
            index_elements=["id"],
            set_={
                "last_used_at": func.now(),
                "expires_at": new.excluded.expires_at,
                "client": func.coalesce(new.excluded.client, col(SignInSession.client)),
                "network": func.coalesce(new.excluded.network, col(SignInSession.network)),
            },
            where=(col(SignInSession.user_id) == user_id) & col(SignInSession.ended_at).is_(None),
        ).returning(col(SignInSession.id))
    )
    if used.scalars().one_or_none() is None:
        raise Unauthorized
    return session_id


def _printable(header: str) -> str:
    return "".join(character for character in header if character.isprintable())


async def spend_refresh_token(
    session: AsyncSession, token: str, *, in_cookie: bool = False, by: Actor
) -> SpentToken | None:
    """Mark a refresh token as used; None if it is invalid for any reason.

    A token in a cookie may be used again for `REUSE_GRACE`. Any other second use means that the token is
    stolen, and so does a use outside of a cookie: its whole session ends. The caller must commit that,
    although the request is rejected.
    """
    token_hash = tokens.hash_opaque_token(token)
    # One revoked token invalidates its family: a revocation cannot see a successor that is being added.
    relative = aliased(RefreshToken)
    is_condemned = exists().where(
        col(relative.family_id) == col(RefreshToken.family_id), col(relative.revoked_at).is_not(None)
    )
    is_in_grace = col(RefreshToken.in_cookie) & (col(RefreshToken.used_at) > func.now() - REUSE_GRACE)
    spent = await session.exec(
        update(RefreshToken)
        .where(
            col(RefreshToken.token_hash) == token_hash,
            col(RefreshToken.in_cookie) == in_cookie,
            col(RefreshToken.used_at).is_(None) | is_in_grace,
            ~is_condemned,
            col(RefreshToken.expires_at) > func.now(),
            col(RefreshToken.user_id) == col(tables.User.id),
            col(tables.User.is_active),
        )
        # The first use starts the grace; further ones do not prolong it.
        .values(used_at=func.coalesce(col(RefreshToken.used_at), func.now()))
        .returning(RefreshToken)
    )
    row: RefreshToken | None = spent.scalars().one_or_none()
    if row is None:
        await _revoke_family_if_stolen(session, token_hash, in_cookie=in_cookie, by=by)
        return None
    return SpentToken.from_row(row)


async def _revoke_family_if_stolen(
    session: AsyncSession, token_hash: bytes, *, in_cookie: bool, by: Actor
) -> None:
    """End the session of a token that is used again or in the wrong place, with all tokens of its family."""
    family = select(RefreshToken.family_id).where(
        RefreshToken.token_hash == token_hash,
        col(RefreshToken.used_at).is_not(None) | (col(RefreshToken.in_cookie) != in_cookie),
    )
    await session.exec(
        update(RefreshToken)
        .where(col(RefreshToken.family_id).in_(family), col(RefreshToken.revoked_at).is_(None))
        .values(revoked_at=func.now())
    )
    ended = await session.exec(
        update(SignInSession)
        .where(col(SignInSession.id).in_(family), col(SignInSession.ended_at).is_(None))
        .values(ended_at=func.now())
        .returning(col(SignInSession.id), col(SignInSession.user_id))
    )
    for session_id, user_id in ended.all():
        # Who sent the token is not known: the user, or the thief.
        entry = Entry(
            Action.REFRESH_TOKEN_REUSED,
            ObjectType.SESSION,
            str(session_id),
            AuditOutcome.DENIED,
            {"user_id": str(user_id)},
        )
        await audit.record_in_session(session, by, entry)
