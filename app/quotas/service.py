"""Enforces the quotas of stored bytes and of models: exactly near the limit, without a query far below it.

A user is far below the limit if no writes of the next second could reach it; there, the last count is good
enough. Near the limit, the bytes are counted before and after the write, in its transaction and under a lock
on the user's row, so that concurrent writes cannot exceed the quota together.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from time import monotonic
from typing import Final, Self
from uuid import UUID

import asyncpg

from app.core.config import Settings
from app.quotas import queries
from app.quotas.errors import ModelQuotaExceeded, QuotaExceeded
from app.quotas.values import OwnQuotas

SLACK_BYTES: Final = 2 * 1024**3
COUNT_LIFETIME_SECONDS: Final = 1.0
"""For so long an administrator's change of a quota may go unnoticed."""

MAX_REMEMBERED: Final = 10_000


@dataclass(frozen=True, slots=True)
class _Limits:
    stored: int
    models: int


@dataclass(frozen=True, slots=True)
class _Count:
    used: int
    limits: _Limits
    counted_at: float


class StorageQuota:
    """The quotas of stored bytes, with the counts that this process has cached.

    The arguments are the quotas of users for whom no others are set; 0 means no limit.
    """

    def __init__(self, limit_bytes: int, model_bytes: int = 0) -> None:
        self._defaults = _Limits(limit_bytes, model_bytes)
        self._counts: dict[UUID, _Count] = {}

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """The quotas that the settings give to all users."""
        return cls(settings.max_user_bytes, settings.max_user_model_bytes)

    def is_far_below(self, owner_id: UUID) -> bool:
        """Whether the next write can go unchecked."""
        count = self._counts.get(owner_id)
        if count is None or monotonic() - count.counted_at >= COUNT_LIFETIME_SECONDS:
            return False
        return not count.limits.stored or count.used + SLACK_BYTES < count.limits.stored

    @asynccontextmanager
    async def checked(self, connection: asyncpg.Connection, owner_id: UUID) -> AsyncIterator[None]:
        """Check what the body writes.

        Raises QuotaExceeded or ModelQuotaExceeded, to roll back the caller's transaction.
        """
        limits = self._limits(await queries.lock(connection, owner_id))
        before = await _used(connection, owner_id, limits)
        yield
        after = await _used(connection, owner_id, limits)
        if limits.stored and after.stored > limits.stored and after.stored > before.stored:
            raise QuotaExceeded(used=before.stored, limit=limits.stored)
        if limits.models and after.models > limits.models and after.models > before.models:
            raise ModelQuotaExceeded(used=before.models, limit=limits.models)
        self._remember(owner_id, _Count(after.stored, limits, monotonic()))

    async def bytes_left(
        self, connection: asyncpg.Connection, owner_id: UUID, *, for_model: bool = False
    ) -> tuple[int, QuotaExceeded] | None:
        """How many bytes a user may still upload, and the error for more; None if there is no limit."""
        all_limits = self._limits(await queries.get(connection, owner_id))
        limits = all_limits if for_model else _Limits(all_limits.stored, 0)
        used = await _used(connection, owner_id, limits)
        self._remember(owner_id, _Count(used.stored, all_limits, monotonic()))
        left: list[tuple[int, QuotaExceeded]] = []
        if limits.stored:
            error = QuotaExceeded(used=used.stored, limit=limits.stored)
            left.append((max(0, limits.stored - used.stored), error))
        if limits.models:
            error = ModelQuotaExceeded(used=used.models, limit=limits.models)
            left.append((max(0, limits.models - used.models), error))
        return min(left, key=lambda one: one[0], default=None)

    def _limits(self, own: OwnQuotas | None) -> _Limits:
        own = own or OwnQuotas()  # a deleted user has the defaults; writes for one are refused elsewhere
        return _Limits(
            self._defaults.stored if own.max_stored_bytes is None else own.max_stored_bytes,
            self._defaults.models if own.max_model_bytes is None else own.max_model_bytes,
        )

    def _remember(self, owner_id: UUID, count: _Count) -> None:
        if len(self._counts) >= MAX_REMEMBERED:
            self._counts.clear()
        self._counts[owner_id] = count


@dataclass(frozen=True, slots=True)
class _Used:
    stored: int
    models: int


async def _used(connection: asyncpg.Connection, owner_id: UUID, limits: _Limits) -> _Used:
    """Count what is limited."""
    return _Used(
        await queries.used_bytes(connection, owner_id) if limits.stored else 0,
        await queries.model_bytes(connection, owner_id) if limits.models else 0,
    )
