"""The guards of requests about schedules."""

from typing import Final

from tests.mutants.mutant import Mutant

SERVICE: Final = "app/schedules/service.py"
COMMANDS: Final = "app/schedules/commands.py"
DEFINITIONS: Final = "app/schedules/definitions.py"
TEMPLATES: Final = "app/schedules/templates.py"
QUERIES: Final = "app/schedules/queries.py"


def _http(test: str) -> str:
    return f"tests/schedules/test_http.py::{test}"


SCHEDULE_GUARDS: Final = (
    Mutant(
        "schedule: the id of another user's is enough",
        SERVICE,
        "        found = await queries.schedule(connection, caller.reach, schedule_id)",
        "        found = await queries.schedule(connection, None, schedule_id)",
        (_http("test_the_schedule_of_another_user_does_not_exist_on_any_route"),),
    ),
    Mutant(
        "schedule: a change does not lock the row",
        COMMANDS,
        '"SELECT * FROM schedules WHERE id = :schedule_id FOR UPDATE"',
        '"SELECT * FROM schedules WHERE id = :schedule_id"',
        (
            _http("test_of_two_runs_at_once_one_finds_the_schedule_busy_unless_it_allows_both"),
            _http("test_a_change_waits_for_a_firing_and_comes_after_it"),
        ),
    ),
    Mutant(
        "schedule: a busy one runs",
        SERVICE,
        "    if not is_forced:\n        await _ensure_idle(unit.connection, schedule)\n",
        "",
        (_http("test_of_two_runs_at_once_one_finds_the_schedule_busy_unless_it_allows_both"),),
    ),
    Mutant(
        "schedule: a run is beyond the quota of the owner",
        SERVICE,
        "    if room.jobs < 1:\n        raise room.jobs_error\n",
        "",
        (_http("test_a_run_counts_towards_the_quota_of_the_owner"),),
    ),
    Mutant(
        "schedule: any number of them",
        SERVICE,
        "    if limit and schedules >= limit:",
        "    if False:",
        (_http("test_parallel_requests_create_as_many_schedules_as_a_user_may_have"),),
    ),
    Mutant(
        "schedule: parallel requests are counted before each other",
        "app/quotas/queries.py",
        'f"{_OWN} FOR NO KEY UPDATE OF u"',
        "_OWN",
        (_http("test_parallel_requests_create_as_many_schedules_as_a_user_may_have"),),
    ),
    Mutant(
        "schedule: a key names any request",
        SERVICE,
        "            if earlier.request_digest != digest:\n                raise IdempotencyKeyReused\n",
        "",
        (_http("test_the_same_request_with_the_same_key_gives_the_same_schedule"),),
    ),
    Mutant(
        "schedule: If-Match is read and ignored",
        SERVICE,
        "    if not matches(schedule.revision):\n        raise _mismatch(schedule)\n",
        "",
        (_http("test_a_change_for_another_revision_is_refused"),),
    ),
    Mutant(
        "schedule: any change moves the next tick",
        SERVICE,
        "    is_moved = not definition.has_timing_of(Definition.of(schedule))",
        "    is_moved = True",
        (_http("test_a_change_of_the_template_alone_moves_no_tick"),),
    ),
    Mutant(
        "schedule: a change keeps the next tick of the trigger before",
        SERVICE,
        "    upcoming = timing.next_after(now) if is_moved or was_broken else schedule.next_fire_at",
        "    upcoming = schedule.next_fire_at or timing.next_after(now)",
        (_http("test_a_change_of_trigger_zone_or_window_makes_the_next_tick_the_first_one_after_now"),),
    ),
    Mutant(
        "schedule: resumed after its last run",
        SERVICE,
        " or not has_runs_left or schedule.status is ScheduleStatus.FINISHED:",
        ":",
        (_http("test_what_has_finished_is_neither_paused_nor_resumed"),),
    ),
    Mutant(
        "schedule: seconds from now start again with each change",
        DEFINITIONS,
        '    if "in_seconds" in once and definition.trigger == schedule.trigger:',
        "    if False:",
        ("tests/schedules/test_definitions.py::test_seconds_from_now_do_not_move_with_zone_and_window",),
    ),
    Mutant(
        "schedule: any jitter",
        DEFINITIONS,
        "        if isinstance(rule, Interval) and definition.jitter_seconds * 2 > rule.seconds:",
        "        if False:",
        ("tests/schedules/test_definitions.py::test_a_jitter_is_at_most_half_of_an_interval",),
    ),
    Mutant(
        "template: it has a start of its own",
        TEMPLATES,
        "        if getattr(request, field) is not None:",
        "        if False:",
        (_http("test_what_cannot_be_scheduled_is_refused_at_once"),),
    ),
    Mutant(
        "template: of any size",
        TEMPLATES,
        "    if size > MAX_BYTES:",
        "    if False:",
        (_http("test_what_cannot_be_scheduled_is_refused_at_once"),),
    ),
    Mutant(
        "template: many jobs at each tick",
        TEMPLATES,
        "    if kind.fan_out(request) is not None:",
        "    if False:",
        (_http("test_what_cannot_be_scheduled_is_refused_at_once"),),
    ),
    Mutant(
        "template: looked at when it fires, and not before",
        SERVICE,
        "        await offload(jobs.new_job, self.settings, owner_id, kind, request, found)\n",
        "",
        ("tests/schedules/test_templates.py::test_a_template_is_planned_when_it_is_stored",),
    ),
    Mutant(
        "template: beyond the limits of a user",
        SERVICE,
        "        limits.ensure_allowed(self.settings, caller, [request])\n",
        "",
        (_http("test_what_cannot_be_scheduled_is_refused_at_once"),),
    ),
    Mutant(
        "user removal: schedules go on",
        "app/maintenance/user_removal.py",
        "        if not await schedules.delete_of_owner(connection, user_id, limit=FIRINGS_AT_ONCE):\n"
        "            return\n",
        "",
        ("tests/maintenance/test_user_removal.py::test_the_schedules_of_a_deleted_user_go_first",),
    ),
)
