"""Changes of users and refresh tokens. The caller owns the transaction."""

from datetime import timedelta
from uuid import UUID

from sqlalchemy import delete, exists, func, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import aliased
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from app.auth import tables, tokens, usernames
from app.auth.errors import UsernameTaken
from app.auth.passwords import Passwords
from app.auth.roles import Role
from app.auth.tables import RefreshToken
from app.auth.values import SpentToken, User
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
    """Create an account.

    Raises WeakPassword, UsernameTaken, TooManySignIns, and ValueError for an invalid username.
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
    created = await session.exec(
        insert(tables.User)
        .values(values)
        .on_conflict_do_nothing(index_elements=["username_key"])
        .returning(tables.User)
    )
    row: tables.User | None = created.scalars().one_or_none()
    if row is None:
        raise UsernameTaken
    return User.from_row(row)


async def issue_refresh_token(
    session: AsyncSession, user_id: UUID, *, lifetime: timedelta, family_id: UUID | None = None
) -> str:
    """Issue a refresh token, in a new family unless one is given. Deletes the user's expired tokens."""
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


async def spend_refresh_token(session: AsyncSession, token: str) -> SpentToken | None:
    """Mark a refresh token as used; None if it is invalid for any reason.

    A token that is used twice has been stolen, so its whole family is revoked. The caller must commit that,
    although the request is rejected.
    """
    token_hash = tokens.hash_refresh_token(token)
    # One revoked token invalidates its family: a revocation cannot see a successor that is being added.
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
            col(RefreshToken.user_id) == col(tables.User.id),
            col(tables.User.is_active),
        )
        .values(used_at=func.now())
        .returning(RefreshToken)
    )
    row: RefreshToken | None = spent.scalars().one_or_none()
    if row is None:
        await _revoke_family_if_used(session, token_hash)
        return None
    return SpentToken.from_row(row)


async def _revoke_family_if_used(session: AsyncSession, token_hash: bytes) -> None:
    """Revoke all tokens of the family of a token that has been used before."""
    family = select(RefreshToken.family_id).where(
        RefreshToken.token_hash == token_hash, col(RefreshToken.used_at).is_not(None)
    )
    await session.exec(
        update(RefreshToken)
        .where(col(RefreshToken.family_id).in_(family), col(RefreshToken.revoked_at).is_(None))
        .values(revoked_at=func.now())
    )
