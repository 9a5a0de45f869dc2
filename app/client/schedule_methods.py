"""The methods of both clients for schedules: the same, with and without await."""

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import Any, Unpack

from app.client.methods import AsyncMethods, Methods
from app.client.schedule_values import AnySchedule, Firing, Preview, Schedule, ScheduleGroup
from app.client.schedules import (
    JobTemplate,
    ScheduleChanges,
    ScheduleFilters,
    ScheduleOptions,
    Trigger,
    WindowOptions,
)
from app.client.values import Job


class ScheduleMethods(Methods):
    """The methods of `Headrace` for schedules."""

    def create_schedule(
        self,
        name: str,
        trigger: Trigger,
        job: JobTemplate,
        *,
        idempotency_key: str | None = None,
        **options: Unpack[ScheduleOptions],
    ) -> Schedule:
        """Create a schedule, which submits a job at each tick of its trigger. Retried as `submit` is.

            template = {"kind": "batch_predict", "dataset": "reviews", "model": "reviews@best"}
            client.create_schedule("nightly", {"daily": {"at": "02:30"}}, template)

        Raises Conflict if you have a schedule of that name.
        """
        return self._run(self._core.schedules.create(name, trigger, job, idempotency_key, options))

    def put_schedule(
        self, name: str, trigger: Trigger, job: JobTemplate, **options: Unpack[ScheduleOptions]
    ) -> Schedule:
        """Create your schedule with this name, or replace its definition: see `is_new`."""
        return self._run(self._core.schedules.put(name, trigger, job, options))

    def apply_schedule(self, definition: Mapping[str, Any]) -> Schedule:
        """Create or replace a schedule as a document defines it: the body of `POST /schedules`."""
        return self._run(self._core.schedules.apply(definition))

    def preview_schedule(
        self, trigger: Trigger, *, count: int = 5, **window: Unpack[WindowOptions]
    ) -> Preview:
        """Say what a trigger means, and compute its next ticks. Creates nothing."""
        return self._run(self._core.schedules.preview(trigger, count, window))

    def schedules(self, *, page_size: int = 100, **filters: Unpack[ScheduleFilters]) -> Iterator[Schedule]:
        """Iterate over your schedules, newest first; operators name another `owner`."""
        return self._iterate(self._core.schedules.list(filters, page_size))

    def schedule(self, schedule: AnySchedule) -> Schedule:
        """Return a schedule with its next ticks, its active jobs and its last firing. Raises NotFound."""
        return self._run(self._core.schedules.get(schedule))

    def change_schedule(
        self, schedule: AnySchedule, *, if_revision: int | None = None, **changes: Unpack[ScheduleChanges]
    ) -> Schedule:
        """Change fields of a schedule; None removes an optional one.

        With `if_revision`, raises BadRequest if the schedule has another revision; such a change is not
        retried.
        """
        return self._run(self._core.schedules.change(schedule, if_revision, changes))

    def pause_schedule(self, schedule: AnySchedule) -> Schedule:
        """Pause a schedule: it has no ticks until it is resumed. Its jobs go on."""
        return self._run(self._core.schedules.pause(schedule))

    def resume_schedule(self, schedule: AnySchedule) -> Schedule:
        """Resume a schedule at its first tick after now."""
        return self._run(self._core.schedules.resume(schedule))

    def run_schedule(self, schedule: AnySchedule, *, force: bool = False) -> Job:
        """Create a job of a schedule now, and return it. Raises Conflict if one runs, unless `force`.

        Never retried: if the connection breaks, look in `firings` whether the job was created.
        """
        return self._run(self._core.schedules.run(schedule, force))

    def delete_schedule(self, schedule: AnySchedule, *, cancel_jobs: bool = False) -> None:
        """Delete a schedule. Its jobs stay; `cancel_jobs` cancels those that have not ended."""
        self._run(self._core.schedules.delete(schedule, cancel_jobs))

    def firings(
        self, schedule: AnySchedule, *, outcome: str | None = None, page_size: int = 100
    ) -> Iterator[Firing]:
        """Iterate over what became of the ticks of a schedule, newest first."""
        return self._iterate(self._core.schedules.firings(schedule, outcome, page_size))

    def schedule_groups(self) -> Sequence[ScheduleGroup]:
        """Return the groups of your schedules, by name."""
        return self._run(self._core.schedules.groups())

    def pause_schedule_group(self, group: str) -> int:
        """Pause your schedules of a group, and return how many are paused by it. Raises NotFound."""
        return self._run(self._core.schedules.change_group(group, "pause"))

    def resume_schedule_group(self, group: str) -> int:
        """Resume your schedules of a group, and return how many are active by it. Raises NotFound."""
        return self._run(self._core.schedules.change_group(group, "resume"))

    def run_schedule_group(self, group: str) -> int:
        """Create a job of each idle schedule of a group now, and return how many. Never retried."""
        return self._run(self._core.schedules.run_group(group))

    def delete_schedule_group(self, group: str, *, cancel_jobs: bool = False) -> int:
        """Delete your schedules of a group, and return how many. Their jobs stay."""
        return self._run(self._core.schedules.delete_group(group, cancel_jobs))


class AsyncScheduleMethods(AsyncMethods):
    """The methods of `AsyncHeadrace` for schedules."""

    async def create_schedule(
        self,
        name: str,
        trigger: Trigger,
        job: JobTemplate,
        *,
        idempotency_key: str | None = None,
        **options: Unpack[ScheduleOptions],
    ) -> Schedule:
        """Create a schedule, which submits a job at each tick of its trigger. Retried as `submit` is.

            template = {"kind": "batch_predict", "dataset": "reviews", "model": "reviews@best"}
            await client.create_schedule("nightly", {"daily": {"at": "02:30"}}, template)

        Raises Conflict if you have a schedule of that name.
        """
        return await self._run(self._core.schedules.create(name, trigger, job, idempotency_key, options))

    async def put_schedule(
        self, name: str, trigger: Trigger, job: JobTemplate, **options: Unpack[ScheduleOptions]
    ) -> Schedule:
        """Create your schedule with this name, or replace its definition: see `is_new`."""
        return await self._run(self._core.schedules.put(name, trigger, job, options))

    async def apply_schedule(self, definition: Mapping[str, Any]) -> Schedule:
        """Create or replace a schedule as a document defines it: the body of `POST /schedules`."""
        return await self._run(self._core.schedules.apply(definition))

    async def preview_schedule(
        self, trigger: Trigger, *, count: int = 5, **window: Unpack[WindowOptions]
    ) -> Preview:
        """Say what a trigger means, and compute its next ticks. Creates nothing."""
        return await self._run(self._core.schedules.preview(trigger, count, window))

    def schedules(
        self, *, page_size: int = 100, **filters: Unpack[ScheduleFilters]
    ) -> AsyncIterator[Schedule]:
        """Iterate over your schedules, newest first; operators name another `owner`."""
        return self._iterate(self._core.schedules.list(filters, page_size))

    async def schedule(self, schedule: AnySchedule) -> Schedule:
        """Return a schedule with its next ticks, its active jobs and its last firing. Raises NotFound."""
        return await self._run(self._core.schedules.get(schedule))

    async def change_schedule(
        self, schedule: AnySchedule, *, if_revision: int | None = None, **changes: Unpack[ScheduleChanges]
    ) -> Schedule:
        """Change fields of a schedule; None removes an optional one.

        With `if_revision`, raises BadRequest if the schedule has another revision; such a change is not
        retried.
        """
        return await self._run(self._core.schedules.change(schedule, if_revision, changes))

    async def pause_schedule(self, schedule: AnySchedule) -> Schedule:
        """Pause a schedule: it has no ticks until it is resumed. Its jobs go on."""
        return await self._run(self._core.schedules.pause(schedule))

    async def resume_schedule(self, schedule: AnySchedule) -> Schedule:
        """Resume a schedule at its first tick after now."""
        return await self._run(self._core.schedules.resume(schedule))

    async def run_schedule(self, schedule: AnySchedule, *, force: bool = False) -> Job:
        """Create a job of a schedule now, and return it. Raises Conflict if one runs, unless `force`.

        Never retried: if the connection breaks, look in `firings` whether the job was created.
        """
        return await self._run(self._core.schedules.run(schedule, force))

    async def delete_schedule(self, schedule: AnySchedule, *, cancel_jobs: bool = False) -> None:
        """Delete a schedule. Its jobs stay; `cancel_jobs` cancels those that have not ended."""
        await self._run(self._core.schedules.delete(schedule, cancel_jobs))

    def firings(
        self, schedule: AnySchedule, *, outcome: str | None = None, page_size: int = 100
    ) -> AsyncIterator[Firing]:
        """Iterate over what became of the ticks of a schedule, newest first."""
        return self._iterate(self._core.schedules.firings(schedule, outcome, page_size))

    async def schedule_groups(self) -> Sequence[ScheduleGroup]:
        """Return the groups of your schedules, by name."""
        return await self._run(self._core.schedules.groups())

    async def pause_schedule_group(self, group: str) -> int:
        """Pause your schedules of a group, and return how many are paused by it. Raises NotFound."""
        return await self._run(self._core.schedules.change_group(group, "pause"))

    async def resume_schedule_group(self, group: str) -> int:
        """Resume your schedules of a group, and return how many are active by it. Raises NotFound."""
        return await self._run(self._core.schedules.change_group(group, "resume"))

    async def run_schedule_group(self, group: str) -> int:
        """Create a job of each idle schedule of a group now, and return how many. Never retried."""
        return await self._run(self._core.schedules.run_group(group))

    async def delete_schedule_group(self, group: str, *, cancel_jobs: bool = False) -> int:
        """Delete your schedules of a group, and return how many. Their jobs stay."""
        return await self._run(self._core.schedules.delete_group(group, cancel_jobs))
