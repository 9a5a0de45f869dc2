"""What the commands of `headrace schedules` do."""

import sys
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from typing import Any, Final, cast

from app.cli.errors import UsageError
from app.cli.jobs.connection import account, client_errors, connect
from app.cli.jobs.options import ServerOptions
from app.cli.output import print_json
from app.cli.schedules.inputs import read_definitions, read_job
from app.cli.schedules.table import print_firings, print_preview, print_schedule, print_schedules, when
from app.cli.tables import local
from app.client import HeadraceError, Schedule
from app.client.schedules import ScheduleFilters, ScheduleOptions, WindowOptions

PAGE_SIZE: Final = 100


@client_errors()
def create(
    server: ServerOptions,
    *,
    name: str,
    trigger: Mapping[str, Any],
    job: str,
    options: Mapping[str, Any],
    as_json: bool,
) -> None:
    """Create a schedule, and print its id."""
    template = read_job(job)
    with connect(account(server)) as client:
        schedule = client.create_schedule(name, trigger, template, **cast("ScheduleOptions", options))
    if as_json:
        print_json(schedule.raw)
        return
    print(schedule.id, flush=True)
    print(f"{when(schedule)}{_next(schedule)}", file=sys.stderr)


@client_errors()
def apply(server: ServerOptions, *, file: str, as_json: bool) -> None:
    """Create or replace the schedules that a file defines, and print each."""
    definitions = read_definitions(file)
    with connect(account(server)) as client:
        for definition in definitions:
            try:
                schedule = client.apply_schedule(definition)
            except HeadraceError:
                if not as_json:
                    print(f"headrace: {definition['name']} was not applied:", file=sys.stderr)
                raise
            if as_json:
                print_json({**schedule.raw, "is_new": schedule.is_new})
            else:
                change = "created" if schedule.is_new else "applied"
                print(f"{schedule.name} {change}{_next(schedule)}", flush=True)


@client_errors()
def list_schedules(server: ServerOptions, *, filters: Mapping[str, Any], limit: int, as_json: bool) -> None:
    """Print schedules, newest first."""
    with connect(account(server)) as client:
        found = client.schedules(page_size=min(limit, PAGE_SIZE), **cast("ScheduleFilters", filters))
        schedules = list(islice(found, limit))
    if as_json:
        print_json({"items": [schedule.raw for schedule in schedules]})
    else:
        print_schedules(schedules)


@client_errors()
def show(server: ServerOptions, *, schedule: str, as_json: bool) -> None:
    """Print a schedule."""
    with connect(account(server)) as client:
        found = client.schedule(schedule)
    if as_json:
        print_json(found.raw)
    else:
        print_schedule(found)


@client_errors()
def preview(
    server: ServerOptions,
    *,
    trigger: Mapping[str, Any],
    window: Mapping[str, Any],
    count: int,
    as_json: bool,
) -> None:
    """Print what a trigger means, and its next ticks."""
    with connect(account(server)) as client:
        found = client.preview_schedule(trigger, count=count, **cast("WindowOptions", window))
    if as_json:
        print_json(found.raw)
    else:
        print_preview(found)


@client_errors()
def pause(server: ServerOptions, *, schedules: Sequence[str], group: str | None, as_json: bool) -> None:
    """Pause schedules, and print the state of each."""
    _ensure_one_target(schedules, group)
    with connect(account(server)) as client:
        if group is not None:
            _print_group(group, "paused", client.pause_schedule_group(group), as_json=as_json)
        else:
            _print_each(schedules, client.pause_schedule, as_json=as_json)


@client_errors()
def resume(server: ServerOptions, *, schedules: Sequence[str], group: str | None, as_json: bool) -> None:
    """Resume schedules, and print the state of each."""
    _ensure_one_target(schedules, group)
    with connect(account(server)) as client:
        if group is not None:
            _print_group(group, "resumed", client.resume_schedule_group(group), as_json=as_json)
        else:
            _print_each(schedules, client.resume_schedule, as_json=as_json)


@client_errors()
def run(
    server: ServerOptions, *, schedules: Sequence[str], group: str | None, force: bool, as_json: bool
) -> None:
    """Create a job of each schedule now, and print its id."""
    _ensure_one_target(schedules, group)
    if group is not None and force:
        raise UsageError("--force: only applies to single schedules.")
    with connect(account(server)) as client:
        if group is not None:
            _print_group(group, "ran", client.run_schedule_group(group), as_json=as_json)
            return
        for schedule in schedules:
            job = client.run_schedule(schedule, force=force)
            if as_json:
                print_json(job.raw)
            else:
                print(job.id, flush=True)


@client_errors()
def delete(
    server: ServerOptions, *, schedules: Sequence[str], group: str | None, cancel_jobs: bool, as_json: bool
) -> None:
    """Delete schedules, and print each."""
    _ensure_one_target(schedules, group)
    with connect(account(server)) as client:
        if group is not None:
            deleted = client.delete_schedule_group(group, cancel_jobs=cancel_jobs)
            _print_group(group, "deleted", deleted, as_json=as_json)
            return
        for schedule in schedules:
            client.delete_schedule(schedule, cancel_jobs=cancel_jobs)
            if as_json:
                print_json({"schedule": schedule, "deleted": True})
            else:
                print(f"{schedule} deleted", flush=True)


@client_errors()
def firings(server: ServerOptions, *, schedule: str, outcome: str | None, limit: int, as_json: bool) -> None:
    """Print what became of the ticks of a schedule, newest first."""
    with connect(account(server)) as client:
        found = list(
            islice(client.firings(schedule, outcome=outcome, page_size=min(limit, PAGE_SIZE)), limit)
        )
    if as_json:
        print_json({"items": [firing.raw for firing in found]})
    else:
        print_firings(found)


def _ensure_one_target(schedules: Sequence[str], group: str | None) -> None:
    if bool(schedules) == (group is not None):
        raise UsageError("Name schedules, or a group with --group.")


def _print_each(schedules: Sequence[str], change: Callable[[str], Schedule], *, as_json: bool) -> None:
    for name in schedules:
        schedule = change(name)
        if as_json:
            print_json(schedule.raw)
        else:
            print(f"{schedule.name} {schedule.status}{_next(schedule)}", flush=True)


def _print_group(group: str, change: str, count: int, *, as_json: bool) -> None:
    if as_json:
        print_json({"group": group, "schedules": count})
    else:
        print(f"{group}: {count} {change}")


def _next(schedule: Schedule) -> str:
    return "" if schedule.next_fire_at is None else f", next at {local(schedule.next_fire_at)}"
