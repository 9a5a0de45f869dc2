"""A process that fires schedules on the virtual clock of the table `virtual_time`, until it is killed.

`FAILPOINTS` kills it in the middle of a round. The clock is read once a round, so that two processes may plan
the same ticks by different times.
"""

import asyncio
from datetime import datetime

from app.core.config import Settings, load_settings
from app.core.database import Database
from app.core.resources import open_resources
from app.jobs.kinds import registry
from app.jobs.quota import Quota
from app.jobs.unit_of_work import unit_of_work
from app.schedules.firing import Dispatcher

IDLE_SECONDS = 0.005


class Clock:
    """The virtual time as it was last read."""

    now: datetime | None = None

    def __call__(self) -> datetime | None:
        return self.now

    async def read(self, database: Database) -> None:
        async with database.connection() as connection:
            self.now = await connection.fetchval("SELECT now FROM virtual_time")


async def fire_forever(settings: Settings) -> None:
    """Fire what is due, again and again."""
    async with open_resources(settings) as resources:
        database, clock = resources.database, Clock()
        quota = Quota(database, settings.max_active_jobs)
        dispatcher = Dispatcher(settings, registry.BUILT_IN, quota, clock=clock)
        while True:
            await clock.read(database)
            async with unit_of_work(resources.hints, database.transaction(), failpoint="fire") as unit:
                fired = await dispatcher.fire(unit)
            if not fired.schedules:
                await asyncio.sleep(IDLE_SECONDS)


if __name__ == "__main__":
    asyncio.run(fire_forever(load_settings(_env_file=None)))
