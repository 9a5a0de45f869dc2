"""The quotas of a user: the defaults from the settings, and what an administrator has set instead."""

from dataclasses import dataclass, fields
from typing import Self

from app.core.config import Settings
from app.core.rows import Row


@dataclass(frozen=True, slots=True)
class Quotas:
    """How much a user may have.

    0 means no limit on running jobs, stored bytes, model bytes, schedules and subscriptions.
    """

    max_active_jobs: int
    max_running_jobs: int
    max_stored_bytes: int
    max_model_bytes: int
    max_streams: int
    max_schedules: int
    max_subscriptions: int

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """The quotas of users for whom no others are set."""
        return cls(
            max_active_jobs=settings.max_active_jobs,
            max_running_jobs=settings.max_running_jobs_per_user,
            max_stored_bytes=settings.max_user_bytes,
            max_model_bytes=settings.max_user_model_bytes,
            max_streams=settings.max_streams_per_user,
            max_schedules=settings.max_schedules,
            max_subscriptions=settings.max_subscriptions,
        )


@dataclass(frozen=True, slots=True)
class OwnQuotas:
    """The quotas that an administrator has set for one user; None means the default."""

    max_active_jobs: int | None = None
    max_running_jobs: int | None = None
    max_stored_bytes: int | None = None
    max_model_bytes: int | None = None
    max_streams: int | None = None
    max_schedules: int | None = None
    max_subscriptions: int | None = None

    @classmethod
    def from_row(cls, row: Row) -> Self:
        """Read a row of `user_quotas`."""
        return cls(
            max_active_jobs=row["max_active_jobs"],
            max_running_jobs=row["max_running_jobs"],
            max_stored_bytes=row["max_stored_bytes"],
            max_model_bytes=row["max_model_bytes"],
            max_streams=row["max_streams"],
            max_schedules=row["max_schedules"],
            max_subscriptions=row["max_subscriptions"],
        )

    def over(self, defaults: Quotas) -> Quotas:
        """The quotas that apply to the user."""
        own = {one.name: getattr(self, one.name) for one in fields(self)}
        return Quotas(
            **{name: getattr(defaults, name) if value is None else value for name, value in own.items()}
        )


@dataclass(frozen=True, slots=True)
class Usage:
    """How much a user has."""

    active_jobs: int
    running_jobs: int
    stored_bytes: int
    model_bytes: int
    schedules: int
    subscriptions: int

    @classmethod
    def from_row(cls, row: Row) -> Self:
        """Read the row of the statement that counts."""
        return cls(
            active_jobs=row["active_jobs"],
            running_jobs=row["running_jobs"],
            stored_bytes=row["stored_bytes"],
            model_bytes=row["model_bytes"],
            schedules=row["schedules"],
            subscriptions=row["subscriptions"],
        )
