"""Routes of quotas."""

from typing import Final
from uuid import UUID

import asyncpg
from fastapi import APIRouter, Request

from app.auth.actors import actor_of
from app.auth.deps import AccountReader, Administrator
from app.auth.errors import UserNotFound
from app.core.config import Settings
from app.core.errors import Unauthorized
from app.http import problems
from app.http.deps import DatabaseDep, SettingsDep
from app.http.routing import BoundedRoute
from app.quotas import commands, queries
from app.quotas.deps import CountStreams, CountStreamsDep
from app.quotas.schemas import QuotasChange, QuotasView, StorageView
from app.quotas.values import OwnQuotas, Quotas

_UNKNOWN: Final = UserNotFound(user="019aa7c1-f3e2-7bd0-8c5d-3f1e2a4b6c8d")

router = APIRouter(route_class=BoundedRoute, tags=["users"])


@router.get("/quota", operation_id="getQuota", summary="Get your storage quota", response_model=StorageView)
async def get_quota(user: AccountReader, database: DatabaseDep, settings: SettingsDep) -> StorageView:
    """Returns the bytes that you store: datasets, models, and payloads, results and checkpoints of jobs."""
    async with database.connection() as connection:
        used = await queries.used_bytes(connection, user.id)
        own = await queries.get(connection, user.id) or OwnQuotas()
    limit_bytes = own.over(Quotas.from_settings(settings)).max_stored_bytes
    return StorageView(used_bytes=used, limit_bytes=limit_bytes or None)


@router.get(
    "/users/me/quotas",
    operation_id="getOwnQuotas",
    summary="Get your quotas",
    response_description="Your quotas",
)
async def get_own_quotas(
    user: AccountReader, database: DatabaseDep, settings: SettingsDep, count_streams: CountStreamsDep
) -> QuotasView:
    """Returns how much you have and how much you may have."""
    async with database.connection() as connection:
        own = await queries.get(connection, user.id)
        if own is None:
            raise Unauthorized
        return await _view(connection, user.id, own, settings, count_streams)


@router.get(
    "/users/{user_id}/quotas",
    operation_id="getUserQuotas",
    summary="Get the quotas of a user",
    response_description="The quotas of the user",
    responses=problems.responses(_UNKNOWN),
)
async def get_user_quotas(
    user_id: UUID,
    user: Administrator,
    database: DatabaseDep,
    settings: SettingsDep,
    count_streams: CountStreamsDep,
) -> QuotasView:
    """Returns how much the user has and how much they may have."""
    async with database.connection() as connection:
        own = await queries.get(connection, user_id)
        if own is None:
            raise UserNotFound(user=str(user_id))
        return await _view(connection, user_id, own, settings, count_streams)


@router.put(
    "/users/{user_id}/quotas",
    operation_id="setUserQuotas",
    summary="Set the quotas of a user",
    response_description="The quotas of the user",
    responses=problems.responses(_UNKNOWN),
)
async def set_user_quotas(
    user_id: UUID,
    body: QuotasChange,
    user: Administrator,
    request: Request,
    database: DatabaseDep,
    settings: SettingsDep,
    count_streams: CountStreamsDep,
) -> QuotasView:
    """Replaces all quotas of the user; null means the default. Takes effect within a second.

    What a user already has stays, even if it is more than the new quota.
    """
    own = body.to_quotas()
    async with database.transaction() as connection:
        await commands.set_quotas(connection, user_id, own, by=actor_of(request, user))
        return await _view(connection, user_id, own, settings, count_streams)


async def _view(
    connection: asyncpg.Connection,
    user_id: UUID,
    own: OwnQuotas,
    settings: Settings,
    count_streams: CountStreams,
) -> QuotasView:
    usage = await queries.usage(connection, user_id)
    return QuotasView.of(own, Quotas.from_settings(settings), usage, count_streams(user_id))
