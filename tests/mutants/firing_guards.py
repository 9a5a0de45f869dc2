"""The guards of firing: that each tick becomes one job, and that no schedule holds up others."""

from typing import Final

from tests.mutants.mutant import Mutant

STATEMENTS: Final = "app/schedules/firing_statements.py"
FIRING: Final = "app/schedules/firing.py"
PLAN: Final = "app/schedules/plan.py"
EVENTS: Final = "app/schedules/events.py"
OUTBOX: Final = "app/notifications/outbox.py"
PLANNING: Final = "app/schedules/job_planning.py"
QUOTA: Final = "app/jobs/quota.py"


def _firing(test: str) -> str:
    return f"tests/schedules/test_firing.py::{test}"


def _event(test: str) -> str:
    return f"tests/schedules/test_events.py::{test}"


def _plan(test: str) -> str:
    return f"tests/schedules/test_plan.py::{test}"


FIRING_GUARDS: Final = (
    Mutant(
        "firing: no lock",
        STATEMENTS,
        "ORDER BY next_fire_at, id LIMIT :limit\nFOR NO KEY UPDATE SKIP LOCKED",
        "ORDER BY next_fire_at, id LIMIT :limit",
        (_firing("test_a_schedule_that_another_process_fires_is_skipped"),),
    ),
    Mutant(
        "firing: no primary key",
        "alembic/versions/0020_schedules.py",
        "CONSTRAINT pk_schedule_firings PRIMARY KEY (schedule_id, fire_at)",
        "CONSTRAINT ck_schedule_firings_any CHECK (true)",
        (_firing("test_a_tick_that_has_a_firing_already_gets_no_job"),),
    ),
    Mutant(
        "firing: a tick that has a firing gets a job",
        FIRING,
        "for planned in with_jobs for job in planned.jobs if job.id in created",
        "for planned in with_jobs for job in planned.jobs",
        (_firing("test_a_tick_that_has_a_firing_already_gets_no_job"),),
    ),
    Mutant(
        "firing: kinds that the process does not know",
        STATEMENTS,
        "    AND kind = ANY (:kinds::text[])\nORDER BY",
        "    AND (kind = ANY (:kinds::text[]) OR true)\nORDER BY",
        (_firing("test_a_kind_that_this_process_does_not_know_is_left_to_others"),),
    ),
    Mutant(
        "firing: what Postgres refuses ends the round",
        FIRING,
        "    asyncpg.IntegrityConstraintViolationError,\n",
        "",
        (_firing("test_a_firing_that_postgres_refuses_breaks_its_schedule_alone"),),
    ),
    Mutant(
        "firing: an error in a plugin ends the round",
        PLANNING,
        "        except Exception as error:\n            return _reason(wanted.due, error)",
        "        except AppError as error:\n            return _reason(wanted.due, error)",
        (_firing("test_a_kind_whose_plan_raises_refuses_the_tick"),),
    ),
    Mutant(
        "firing: a waiting tick of a paused schedule is promoted",
        STATEMENTS,
        "    AND s.status IN ('active', 'finished') AND s.kind",
        "    AND s.kind",
        (_firing("test_what_waits_is_promoted_after_the_schedule_has_finished_but_not_while_it_is_paused"),),
    ),
    Mutant(
        "firing: a refused promotion stays a run",
        STATEMENTS,
        "fired = greatest(s.fired - (r.outcome <> 'fired')::int, 0)",
        "fired = s.fired",
        (_firing("test_a_promotion_that_cannot_be_planned_is_refused_and_is_no_run"),),
    ),
    Mutant(
        "firing: failures before a resume pause it again",
        STATEMENTS,
        "            AND (s.resumed_at IS NULL OR newest.created_at >= s.resumed_at)\n",
        "",
        (
            _firing(
                "test_a_schedule_pauses_after_failures_in_a_row_and_not_again_for_those_before_its_resume"
            ),
        ),
    ),
    Mutant(
        "firing: two versions of zone data take turns",
        STATEMENTS,
        "tz_version < :tz_version",
        "tz_version <> :tz_version",
        (_firing("test_next_ticks_of_older_zone_data_are_computed_again_and_no_others"),),
    ),
    Mutant(
        "firing: schedules of disabled accounts fire",
        PLAN,
        "    if not due.owner_is_active:",
        "    if False:",
        (_firing("test_a_schedule_of_a_disabled_account_is_suspended_and_comes_back_with_it"),),
    ),
    Mutant(
        "firing: no quota of jobs",
        PLANNING,
        "        if self._jobs < job.jobs:",
        "        if False:",
        (_firing("test_ticks_of_one_round_share_the_quota"),),
    ),
    Mutant(
        "firing: no quota of bytes",
        PLANNING,
        "size > self._bytes",
        "False",
        (_firing("test_a_tick_whose_rows_exceed_the_quota_of_storage_is_refused"),),
    ),
    Mutant(
        "firing: no limits of one job",
        PLANNING,
        "            limits.ensure_allowed(self._settings, owner, [request])\n",
        "",
        (_firing("test_a_job_that_its_owner_may_no_longer_request_is_refused"),),
    ),
    Mutant(
        "firing: many jobs are created unchecked",
        QUOTA,
        "if jobs <= FEW_JOBS and self._is_far_below(owner_id):",
        "if self._is_far_below(owner_id):",
        ("tests/jobs/test_quota_room.py::test_far_below_the_limit_few_jobs_wait_for_no_lock_and_many_do",),
    ),
    Mutant(
        "firing: a rule that cannot be computed loses the tick that is due",
        PLAN,
        "    except RuleFailed as error:\n        # The tick that is due was computed before.",
        "    except ZeroDivisionError as error:\n        # The tick that is due was computed before.",
        (_plan("test_a_zone_that_has_vanished_breaks_the_schedule_after_the_tick_that_is_known"),),
    ),
    Mutant(
        "firing: more runs than `max_runs`",
        PLAN,
        "        if self.runs_left == 0:\n            return\n",
        "",
        (_plan("test_a_schedule_is_finished_after_its_last_run"),),
    ),
    Mutant(
        "firing: queue starts a tick before one that waits",
        PLAN,
        "is_free = not self._is_busy and not self._waiting",
        "is_free = not self._is_busy",
        (_plan("test_queue_starts_no_tick_before_one_that_waits"),),
    ),
    Mutant(
        "firing: no misfires",
        PLAN,
        "    if first >= on_time_from:\n        return _Misfires()",
        "    if True:\n        return _Misfires()",
        (_plan("test_after_three_hours_the_misfires_are_caught_up_as_the_schedule_says"),),
    ),
    Mutant(
        "firing: a tick that has a firing is reported again",
        EVENTS,
        "if reported is not None and (schedule.id, firing.fire_at) in recorded:",
        "if reported is not None:",
        (_event("test_a_tick_that_has_a_firing_already_is_not_reported"),),
    ),
    Mutant(
        "firing: a refused promotion is not reported",
        FIRING,
        "    await outbox.add(connection, _events_of_ticks(plans, recorded))\n",
        "",
        (_event("test_a_promotion_that_is_refused_is_reported"),),
    ),
    Mutant(
        "firing: schedules that new zone data break are not reported",
        FIRING,
        "[event for schedule, standing in renewed for event in events.of_standing(schedule, standing)]",
        "[]",
        (_event("test_what_becomes_of_a_schedule_is_reported_once_as_it_is_documented"),),
    ),
    Mutant(
        "firing: a refused run of a group is not reported",
        "app/schedules/service.py",
        "        await outbox.add(connection, [events.of_refused_run(schedule, now, reason)])",
        "        pass",
        (_event("test_a_run_of_a_group_that_is_refused_is_reported"),),
    ),
    Mutant(
        "firing: users are told of the schedules of others",
        OUTBOX,
        "s.owner_id = event.owner_id AND s.status = 'active'",
        "s.status = 'active'",
        (_event("test_each_owner_is_told_of_their_own_schedules"),),
    ),
    Mutant(
        "firing: subscriptions to other schedules are told",
        OUTBOX,
        " OR s.schedule_id = event.schedule_id)",
        " OR true)",
        (_event("test_a_subscription_to_one_schedule_is_told_of_no_other"),),
    ),
    Mutant(
        "firing: gathered events lose their order",
        OUTBOX,
        " + event.position * interval '1 microsecond'",
        " - event.position * interval '1 microsecond'",
        (_event("test_the_ticks_come_before_the_end_of_their_schedule"),),
    ),
    Mutant(
        "firing: a round without events asks for subscriptions",
        OUTBOX,
        "    if not events:\n        return 0\n",
        "",
        (_event("test_a_round_writes_all_its_events_in_one_statement_and_none_without_events"),),
    ),
)
