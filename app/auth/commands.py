"""Signing up, signing in, staying signed in. Whoever calls owns the transaction."""

from datetime import timedelta
from uuid import UUID

from sqlalchemy import delete, exists, func, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import aliased
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from app.auth import tokens, usernames
from app.auth.errors import UsernameTaken
from app.auth.passwords import Passwords
from app.auth.roles import Role
from app.auth.tables import RefreshToken, User
from app.core import ids


async def create_user(
    session: AsyncSession,
    passwords: Passwords,
    *,
    username: str,
    password: str,
    email: str | None = None,
    role: Role = Role.USER,
    network: str = "",
) -> User:
    """Add an account.

    Raises WeakPassword, UsernameTaken, TooManySignIns, and ValueError for a username that will not do.
    """
    accepted = usernames.accept(username)
    values = {
        "id": ids.new_id(),
        "username": accepted,
        "username_key": usernames.key(accepted),
        "email": email,
        "role": role,
    }
    # Before the first statement: the session takes a connection only then.
    async with passwords.turn(network) as turn:
        values["password_hash"] = await turn.hash(password, accepted)
    added = await session.exec(
        insert(User).values(values).on_conflict_do_nothing(index_elements=["username_key"]).returning(User)
    )
    user: User | None = added.scalars().one_or_none()
    if user is None:
        raise UsernameTaken
    return user


async def find_user(session: AsyncSession, username: str) -> User | None:
    """The account with this name, however it is spelt."""
    found = await session.exec(select(User).where(User.username_key == usernames.key(username)))
    return found.one_or_none()


async def get_user(session: AsyncSession, user_id: UUID) -> User | None:
    """The account with this id."""
    return await session.get(User, user_id)


async def issue_refresh_token(
    session: AsyncSession, user_id: UUID, *, lifetime: timedelta, family_id: UUID | None = None
) -> str:
    """Add a refresh token to a family, or begin one with it, and forget what the user let expire."""
    token = tokens.new_refresh_token()
    await session.exec(
        delete(RefreshToken).where(
            col(RefreshToken.user_id) == user_id, col(RefreshToken.expires_at) < func.now()
        )
    )
    await session.exec(
        insert(RefreshToken).values(
            id=ids.new_id(),
            family_id=family_id or ids.new_id(),
            user_id=user_id,
            token_hash=tokens.hash_refresh_token(token),
            expires_at=func.now() + lifetime,
        )
    )
    return token


async def spend_refresh_token(session: AsyncSession, token: str) -> RefreshToken | None:
    """Retire a refresh token; None if it was not good, whatever the reason.

    Whoever presents a retired one has a copy, or was robbed of theirs: nobody can tell which, so the
    whole family is revoked. That has to be committed although the answer is a refusal.
    """
    token_hash = tokens.hash_refresh_token(token)
    # One revoked token condemns its family: the revocation cannot see a successor that is being added.
    relative = aliased(RefreshToken)
    is_condemned = exists().where(
        col(relative.family_id) == col(RefreshToken.family_id), col(relative.revoked_at).is_not(None)
    )
    spent = await session.exec(
        update(RefreshToken)
        .where(
            col(RefreshToken.token_hash) == token_hash,
            col(RefreshToken.used_at).is_(None),
            ~is_condemned,
            col(RefreshToken.expires_at) > func.now(),
            col(RefreshToken.user_id) == col(User.id),
            col(User.is_active),
        )
        .values(used_at=func.now())
        .returning(RefreshToken)
    )
    retired = spent.scalars().one_or_none()
    if retired is None:
        await _revoke_family_of_retired(session, token_hash)
    return retired


async def _revoke_family_of_retired(session: AsyncSession, token_hash: bytes) -> None:
    family = select(RefreshToken.family_id).where(
        RefreshToken.token_hash == token_hash, col(RefreshToken.used_at).is_not(None)
    )
    await session.exec(
        update(RefreshToken)
        .where(col(RefreshToken.family_id).in_(family), col(RefreshToken.revoked_at).is_(None))
        .values(revoked_at=func.now())
    )
