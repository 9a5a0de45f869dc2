"""Creates schedules without the API, fires them on a virtual clock, and reads what became of their ticks."""

from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

from app.auth.roles import Role
from app.core import ids
from app.core.config import Settings
from app.core.database import Database
from app.core.sql import Statement
from app.jobs.kinds import registry
from app.jobs.quota import Quota
from app.jobs.unit_of_work import UnitOfWork
from app.quotas.service import StorageQuota
from app.schedules import rules, zones
from app.schedules.firing import Dispatcher, Round
from app.schedules.plan import DueSchedule
from app.schedules.rules import Interval, Rule
from app.schedules.states import CatchUp, Overlap, ScheduleStatus
from app.schedules.values import ScheduleRow
from tests.support import rows

NOON: Final = datetime(2027, 1, 1, 12, tzinfo=UTC)
JOB: Final = {"texts": ["good"]}
MINUTELY: Final = Interval(NOON, 60, includes_anchor=True)

COLUMNS: Final = ScheduleRow.__struct_fields__

_INSERT: Final = Statement(
    f"INSERT INTO schedules ({', '.join(COLUMNS)}) VALUES ({', '.join(f':{name}' for name in COLUMNS)})"
)


def schedule(rule: Rule = MINUTELY, *, next_fire_at: datetime | None = NOON, **columns: Any) -> ScheduleRow:
    """A schedule of each minute from noon on, unless these columns say otherwise."""
    schedule_id = ids.new_id()
    values: dict[str, Any] = {
        "id": schedule_id,
        "owner_id": ids.new_id(),
        "name": schedule_id.hex,
        "group_name": None,
        "trigger": {},
        "rule": rules.encode(rule),
        "timezone": getattr(rule, "zone", "UTC"),
        "tz_version": zones.VERSION if rules.is_zoned(rule) else None,
        "starts_at": None,
        "ends_at": None,
        "max_runs": None,
        "pause_after_failures": None,
        "misfire_grace_seconds": 60,
        "catch_up": CatchUp.LAST,
        "catch_up_limit": 10,
        "catch_up_window_seconds": 86_400,
        "overlap": Overlap.SKIP,
        "queue_limit": 1,
        "jitter_seconds": 0,
        "kind": "batch_predict",
        "job": JOB,
        "status": ScheduleStatus.ACTIVE if next_fire_at is not None else ScheduleStatus.PAUSED,
        "reason": None,
        "next_fire_at": next_fire_at,
        "last_fire_at": None,
        "fired": 0,
        "resumed_at": None,
        "revision": 1,
        "request_digest": None,
        "created_at": NOON,
        "updated_at": NOON,
    }
    return ScheduleRow(**(values | columns))


def due(rule: Rule = MINUTELY, **columns: Any) -> DueSchedule:
    """A schedule that is due, of an active owner. `is_busy`, `waiting` and `failures` are not columns."""
    state = {
        name: columns.pop(name, default)
        for name, default in {
            "owner_role": Role.USER,
            "owner_is_active": True,
            "is_busy": False,
            "waiting": 0,
            "waiting_since": None,
            "failures": 0,
        }.items()
    }
    return DueSchedule(schedule=schedule(rule, **columns), **state)


async def add(database: Database, owner_id: UUID, rule: Rule = MINUTELY, **columns: Any) -> ScheduleRow:
    """Store a schedule of this owner."""
    new = schedule(rule, owner_id=owner_id, **columns)
    async with database.connection() as connection:
        await _INSERT.execute(connection, **{name: getattr(new, name) for name in COLUMNS})
    return new


async def read(database: Database, schedule_id: UUID) -> ScheduleRow:
    """The schedule as it is stored."""
    [row] = await rows.fetch(database, "SELECT * FROM schedules WHERE id = $1", schedule_id)
    return ScheduleRow.from_row(row)


async def outcomes(database: Database, schedule_id: UUID) -> list[tuple[datetime, str]]:
    """The firings of a schedule, oldest first, each with its outcome."""
    found = await rows.fetch(
        database,
        "SELECT fire_at, outcome FROM schedule_firings WHERE schedule_id = $1 ORDER BY fire_at",
        schedule_id,
    )
    return [(row["fire_at"], row["outcome"]) for row in found]


async def jobs_of(database: Database, schedule_id: UUID) -> list[Any]:
    """The jobs of a schedule, by tick."""
    return await rows.fetch(
        database, "SELECT * FROM jobs WHERE schedule_id = $1 ORDER BY fire_at, id", schedule_id
    )


class VirtualTime:
    """Fires schedules at the time that a test sets."""

    def __init__(self, settings: Settings, database: Database, **options: Any) -> None:
        self.now = NOON
        self._database = database
        quota = Quota(database, settings.max_active_jobs, StorageQuota.from_settings(settings))
        kinds = options.pop("kinds", registry.BUILT_IN)
        self.dispatcher = Dispatcher(settings, kinds, quota, clock=lambda: self.now, **options)

    async def fire(self, seconds: float = 0.0) -> Round:
        """Let time pass, and do one round."""
        self.now += timedelta(seconds=seconds)
        async with self._database.transaction() as connection:
            return await self.dispatcher.fire(UnitOfWork(connection))

    async def promote(self) -> Round:
        """Do one round of promotions."""
        async with self._database.transaction() as connection:
            return await self.dispatcher.promote(UnitOfWork(connection))

    async def renew(self) -> None:
        """Compute again what is outdated."""
        async with self._database.transaction() as connection:
            await self.dispatcher.renew(connection)
