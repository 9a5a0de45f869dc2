"""The guards of shards and their parents: no row lost or stored twice, and one end."""

from typing import Final

from tests.mutants.mutant import Mutant

STATEMENTS: Final = "app/jobs/shards/transition_statements.py"
TRANSITIONS: Final = "app/jobs/shards/transitions.py"
DECISIONS: Final = "app/jobs/shards/decisions.py"
PLAN: Final = "app/jobs/shards/plan.py"
JOB_STATEMENTS: Final = "app/jobs/transition_statements.py"
MIGRATION: Final = "alembic/versions/0036_shards.py"

_LOCK: Final = (
    "    FOR UPDATE SKIP LOCKED\n), changed AS (\n    UPDATE jobs j SET\n        status = 'cancelled'"
)
_OPEN: Final = (
    "        AND NOT EXISTS (SELECT FROM jobs s WHERE s.parent_id = j.id"
    " AND s.status IN ('pending', 'running'))\n"
)


def _shards(test: str) -> str:
    return f"tests/jobs/shards/test_transitions.py::{test}"


def _decided(test: str) -> str:
    return f"tests/jobs/shards/test_decisions.py::{test}"


def _submitted(test: str) -> str:
    return f"tests/jobs/shards/test_submitting.py::{test}"


_PLAN_REFUSED: Final = _shards("test_the_database_refuses_what_would_lose_rows")
_SHAPE_REFUSED: Final = _shards("test_the_database_refuses_a_shard_or_a_parent_that_is_none")
_WRITTEN: Final = _shards("test_a_shard_that_is_being_written_is_left_to_the_next_roll_up")


def _of(name: str, path: str, text: str, replacement: str, *tests: str) -> Mutant:
    return Mutant(f"shards: {name}", path, text, replacement, tests)


def _shape(name: str, text: str) -> Mutant:
    return _of(name, MIGRATION, text, "", _SHAPE_REFUSED)


def _unguarded(name: str, text: str, replacement: str, test: str) -> Mutant:
    path = "alembic/versions/0039_lighter_shards.py"
    return _of(
        f"the guard is not called: {name}", path, text, replacement, f"tests/jobs/test_transitions.py::{test}"
    )


SHARD_GUARDS: Final = (
    # What a request may ask for
    _of(
        "a limit of row errors that no bigint holds stops the roll-up",
        "app/jobs/shards/tallies.py",
        "least((p.params ->> 'max_row_errors')::numeric, p.total)::bigint",
        "(p.params ->> 'max_row_errors')::bigint",
        _shards("test_a_limit_of_row_errors_that_no_bigint_holds_limits_nothing"),
    ),
    _of(
        "a retry counts as one job",
        "app/jobs/quota.py",
        "len(job_ids) + reopened",
        "len(job_ids)",
        _submitted("test_a_retry_counts_with_the_shards_that_it_makes_pending"),
    ),
    _of(
        "a retry from the start counts as one that resumes",
        "app/jobs/routes.py",
        "[job_id], from_start=from_start)",
        "[job_id])",
        _submitted("test_a_retry_from_the_start_counts_with_all_shards"),
    ),
    _of(
        "each shard is a job that needs the dataset",
        "app/datasets/queries.py",
        " AND j.parent_id IS NULL\n            AND EXISTS (SELECT FROM jsonb_each",
        "\n            AND EXISTS (SELECT FROM jsonb_each",
        _submitted("test_a_job_with_shards_is_one_that_needs_its_dataset"),
    ),
    # Parents take no slot
    _of(
        "a claim takes a parent",
        "app/jobs/turns.py",
        '    " AND j.shards IS NULL"\n',
        "",
        _shards("test_a_parent_is_never_claimed"),
    ),
    _of(
        "a rescue takes a parent",
        JOB_STATEMENTS,
        "WHERE j.status = 'running' AND j.shards IS NULL\n",
        "WHERE j.status = 'running'\n",
        _shards("test_a_rescue_takes_shards_and_never_their_parent"),
    ),
    _of(
        "a parent is due",
        "app/maintenance/queries.py",
        "AND run_at <= now() AND shards IS NULL LIMIT :limit",
        "AND run_at <= now() LIMIT :limit",
        "tests/maintenance/test_token_refill.py::test_each_shard_gets_a_token_and_its_parent_none",
    ),
    # Ending from outside
    _of("ending shards waits for locks", STATEMENTS, _LOCK, _LOCK.replace(" SKIP LOCKED", ""), _WRITTEN),
    _of(
        "ending shards leaves those that run",
        STATEMENTS,
        "WHERE s.parent_id = ANY (:parent_ids) AND s.status IN ('pending', 'running')\n    FOR UPDATE",
        "WHERE s.parent_id = ANY (:parent_ids) AND s.status = 'pending'\n    FOR UPDATE",
        _shards("test_a_cancel_marks_the_parent_and_the_roll_up_ends_pending_and_running_shards"),
    ),
    _of(
        "the count after shards were ended is that from before",
        TRANSITIONS,
        "        await end_shards(unit, doomed)\n"
        "        found = await tallies.tally(unit.connection, parent_ids)\n",
        "        await end_shards(unit, doomed)\n",
        _shards("test_a_cancel_marks_the_parent_and_the_roll_up_ends_pending_and_running_shards"),
    ),
    _of(
        "a shard is cancelled by itself",
        JOB_STATEMENTS,
        "AND j.cancel_requested_at IS NULL\n        AND j.parent_id IS NULL\n",
        "AND j.cancel_requested_at IS NULL\n",
        _shards("test_a_shard_cannot_be_cancelled_or_retried_by_itself"),
    ),
    _of(
        "a pending parent is cancelled before its shards",
        JOB_STATEMENTS,
        "_ENDS_AT_ONCE: Final = \"j.status = 'pending' AND j.shards IS NULL\"",
        "_ENDS_AT_ONCE: Final = \"j.status = 'pending'\"",
        _shards("test_a_cancel_marks_the_parent_and_the_roll_up_ends_pending_and_running_shards"),
    ),
    _of(
        "a cancel ends the shards of a job that was retried meanwhile",
        "app/jobs/shards/rollup.py",
        "if locked is None or not locked.is_cancel_requested:",
        "if locked is None:",
        "tests/jobs/shards/test_rollup.py::test_a_cancel_leaves_a_job_alone_that_was_retried_meanwhile",
    ),
    # The end of a parent
    _of(
        "a job completes after a cancel",
        STATEMENTS,
        "        AND (d.status = 'cancelled') = (j.cancel_requested_at IS NOT NULL)\n",
        "",
        _shards("test_an_end_that_was_decided_before_a_cancel_or_a_shard_changes_nothing"),
    ),
    _of(
        "a job ends while a shard is open",
        STATEMENTS,
        _OPEN,
        "",
        _shards("test_an_end_that_was_decided_before_a_cancel_or_a_shard_changes_nothing"),
    ),
    _of(
        "a cancel does not decide before a failure",
        DECISIONS,
        "    if tally.is_cancel_requested:\n        return Settlement(Status.CANCELLED)\n",
        "",
        _decided("test_a_requested_cancel_decides_before_everything_else"),
    ),
    _of(
        "one failed shard too many",
        DECISIONS,
        "tally.failed > tally.max_failed_shards",
        "tally.failed > tally.max_failed_shards + 1",
        _decided("test_a_parent_is_doomed_once_it_cannot_complete"),
    ),
    _of(
        "a job completes without a shard",
        DECISIONS,
        "    if tally.completed < tally.shards:\n",
        "    if tally.failed > tally.max_failed_shards:\n",
        _decided("test_one_failed_shard_fails_the_job_although_the_others_were_allowed_to_go_on"),
    ),
    # Begin and progress
    _of(
        "progress falls",
        STATEMENTS,
        " AND p.done > j.done\n",
        "\n",
        _shards("test_a_roll_up_without_news_writes_nothing"),
    ),
    _of(
        "a job begins twice",
        STATEMENTS,
        " AND j.status = 'pending' AND j.cancel_requested_at IS NULL\n    RETURNING",
        " AND j.cancel_requested_at IS NULL\n    RETURNING",
        _shards("test_a_begin_that_was_decided_before_another_one_changes_nothing"),
    ),
    _of(
        "a job begins after a cancel",
        STATEMENTS,
        " AND j.status = 'pending' AND j.cancel_requested_at IS NULL\n    RETURNING",
        " AND j.status = 'pending'\n    RETURNING",
        _shards("test_a_begin_that_was_decided_before_another_one_changes_nothing"),
    ),
    _of(
        "a start of an earlier run begins the next one",
        "app/jobs/shards/tallies.py",
        " FILTER (WHERE s.attempt_started_at >= p.run_at) AS began_at",
        " AS began_at",
        _shards("test_a_retried_job_begins_with_its_next_shard"),
    ),
    # Retry
    _of(
        "a retry computes completed shards again",
        STATEMENTS,
        ":from_start::boolean AND s.status = 'completed'",
        ":from_start::boolean IS NOT NULL AND s.status = 'completed'",
        _shards("test_a_retry_reopens_what_did_not_complete"),
    ),
    _of(
        "a retry from the start keeps completed shards",
        STATEMENTS,
        " OR :from_start::boolean AND s.status = 'completed')",
        " OR :from_start::boolean AND false)",
        _shards("test_a_retry_from_the_start_computes_every_shard_again"),
    ),
    _of(
        "a retry from the start keeps batches",
        STATEMENTS,
        "DELETE FROM job_batches b USING changed j WHERE b.job_id = j.id AND :from_start\n",
        "DELETE FROM job_batches b USING changed j WHERE b.job_id = j.id AND false\n",
        _shards("test_a_retry_from_the_start_computes_every_shard_again"),
    ),
    # Rows
    _of(
        "the first row is off by one",
        STATEMENTS,
        "SELECT s.id, p.id, s.no - 1, (s.no - 1) * :rows::bigint,",
        "SELECT s.id, p.id, s.no - 1, (s.no - 1) * :rows::bigint + (s.no > 1)::int,",
        _shards("test_shards_are_jobs_for_ranges_of_rows"),
    ),
    _of(
        "a shard computes the first rows of the dataset",
        "worker/rows.py",
        "    return range(job.first_row, end)\n",
        "    return range(end - job.first_row)\n",
        "tests/e2e/test_shards.py::test_two_workers_compute_the_same_results_as_one",
    ),
    _of(
        "shards end within a batch",
        PLAN,
        "rows = ceil(ceil(total / wanted) / divisible.batch_rows) * divisible.batch_rows",
        "rows = ceil(total / wanted)",
        "tests/jobs/shards/test_plan.py::test_shards_have_whole_batches_and_cover_all_rows",
    ),
    # What is of the parent alone
    _of(
        "a shard's event reaches its owner",
        JOB_STATEMENTS,
        'EVENT_OWNER: Final = "CASE WHEN j.parent_id IS NULL THEN j.owner_id END"',
        'EVENT_OWNER: Final = "j.owner_id"',
        _shards("test_events_of_shards_are_in_no_log_of_the_owner"),
    ),
    _of(
        "a shard's event is published",
        "app/jobs/publishing.py",
        "    if transition.parent_id is None:\n        hints.publish_events",
        "    if transition:\n        hints.publish_events",
        "tests/maintenance/test_roll_up.py"
        "::test_the_events_of_the_parent_are_published_and_those_of_shards_are_not",
    ),
    _of(
        "a shard is delivered",
        "app/jobs/outbox.py",
        "        AND j.parent_id IS NULL\n",
        "",
        _shards("test_no_subscription_hears_of_a_shard"),
    ),
    _of(
        "a shard ends a job in the statistics",
        JOB_STATEMENTS,
        "STATUS_OF_ATTEMPT: Final = \"CASE WHEN j.parent_id IS NULL THEN j.status ELSE 'pending' END\"",
        'STATUS_OF_ATTEMPT: Final = "j.status"',
        _shards("test_the_end_of_a_shard_is_not_the_end_of_a_job"),
    ),
    _of(
        "a shard expires alone",
        "app/jobs/commands.py",
        "        AND parent_id IS NULL\n    ORDER BY expires_at",
        "    ORDER BY expires_at",
        "tests/maintenance/test_prune.py::test_a_shard_does_not_expire_before_its_job",
    ),
    _of(
        "the results of shards stay",
        "app/jobs/commands.py",
        "    SELECT s.id FROM chosen c JOIN jobs s ON s.parent_id = c.id\n",
        "    SELECT s.id FROM chosen c JOIN jobs s ON s.parent_id = c.id AND false\n",
        "tests/maintenance/test_prune.py::test_a_shard_does_not_expire_before_its_job",
    ),
    _of(
        "no quota of shards",
        "app/jobs/service.py",
        "        await quota.check(unit.connection, owner_id, new.jobs)\n",
        "        pass\n",
        _submitted("test_a_job_counts_as_itself_and_its_unfinished_shards"),
    ),
    _of(
        "shards do not count for the quota",
        "app/quotas/queries.py",
        "owner_id = :owner_id AND status IN ('pending', 'running')\"\n",
        "owner_id = :owner_id AND status IN ('pending', 'running') AND parent_id IS NULL\"\n",
        _submitted("test_a_job_counts_as_itself_and_its_unfinished_shards"),
    ),
    _of(
        "shards that have ended count for the quota",
        "app/quotas/queries.py",
        "owner_id = :owner_id AND status IN ('pending', 'running')\"\n",
        "owner_id = :owner_id AND (parent_id IS NOT NULL OR status IN ('pending', 'running'))\"\n",
        _submitted("test_a_job_counts_as_itself_and_its_unfinished_shards"),
    ),
    _of(
        "a worker of an older version gets a shard",
        "app/jobs/service.py",
        "    if not found.can_run_shards:\n        return job\n",
        "",
        _submitted("test_no_job_is_divided_while_a_worker_serves_its_queue_that_does_not_know_shards"),
    ),
    # What the database itself refuses
    _unguarded(
        "attempt falls", "NEW.attempt >= OLD.attempt AND ", "", "test_the_counters_of_a_job_never_fall"
    ),
    _unguarded(
        "last_seq falls", "NEW.last_seq >= OLD.last_seq AND ", "", "test_the_counters_of_a_job_never_fall"
    ),
    _unguarded(
        "next_batch falls",
        " AND NEW.next_batch >= OLD.next_batch",
        "",
        "test_the_counters_of_a_job_never_fall",
    ),
    _unguarded(
        "a pending job completes",
        "NEW.status IN ('pending', 'running', 'cancelled')",
        "NEW.status <> 'paused'",
        "test_the_database_accepts_the_legal_moves_and_no_others",
    ),
    _unguarded(
        "a job that has ended changes",
        "OR OLD.status = 'running'\n",
        "OR OLD.status <> 'pending'\n",
        "test_a_job_that_has_ended_does_not_change",
    ),
    _of(
        "a parent has a worker",
        MIGRATION,
        "(status = 'running' AND shards IS NULL) = (worker_id IS NOT NULL)",
        "status <> 'running' OR shards IS NOT NULL OR worker_id IS NOT NULL",
        _PLAN_REFUSED,
    ),
    _shape("a shard without a number", "        AND (shard_no IS NULL OR shard_no >= 0)\n"),
    _shape(
        "shards without a limit of failures", "        AND (shards IS NULL) = (max_failed_shards IS NULL)\n"
    ),
    _shape("any number of shards", "        AND (shards IS NULL OR shards BETWEEN 2 AND 1000)\n"),
    _shape("a parent without a number of rows", "        AND (shards IS NULL OR total IS NOT NULL)\n"),
    _shape(
        "a negative limit of failures",
        "        AND (max_failed_shards IS NULL OR max_failed_shards >= 0)\n",
    ),
    _of(
        "a shard in a group, or with a key",
        MIGRATION,
        " AND group_id IS NULL AND idempotency_key IS NULL)",
        ")",
        _PLAN_REFUSED,
    ),
    _of("a shard of a shard", MIGRATION, "OR shards IS NULL AND group_id", "OR group_id", _SHAPE_REFUSED),
    _shape("a shard without a number of rows", "        AND (parent_id IS NULL OR total IS NOT NULL)\n"),
    _shape(
        "a job that begins later than its first row",
        "        AND first_row >= 0 AND (parent_id IS NOT NULL OR first_row = 0)\n",
    ),
    _of(
        "one shard twice",
        MIGRATION,
        "CREATE UNIQUE INDEX uq_jobs_shard_of_parent",
        "CREATE INDEX uq_jobs_shard_of_parent",
        _SHAPE_REFUSED,
    ),
    _of(
        "a plan changes",
        MIGRATION,
        "    RAISE EXCEPTION 'the plan of job % and of its shards never changes', OLD.id\n"
        "        USING ERRCODE = 'check_violation', CONSTRAINT = 'jobs_guard_plan';\n",
        "    RETURN NEW;\n",
        _PLAN_REFUSED,
    ),
    _of(
        "the database lets a parent end before its shards",
        MIGRATION,
        "WHERE parent_id = NEW.id AND status IN ('pending', 'running')) THEN",
        "WHERE parent_id = NEW.id AND false) THEN",
        _PLAN_REFUSED,
    ),
    _of(
        "the database lets a parent complete without a shard",
        MIGRATION,
        "IF NEW.status = 'completed' AND NEW.shards <> (",
        "IF false AND NEW.shards <> (",
        _shards("test_a_parent_cannot_complete_without_all_its_shards"),
    ),
    _of(
        "the database lets a worker run a shard that it does not know",
        MIGRATION,
        "WHERE id = NEW.worker_id AND NOT runs_shards) THEN",
        "WHERE id = NEW.worker_id AND false) THEN",
        _shards("test_a_shard_is_not_run_by_a_worker_that_does_not_know_its_rows"),
    ),
    _of(
        "any job leaves completed",
        MIGRATION,
        " AND NEW.parent_id IS NOT NULL AND NEW.next_batch = 0\\n    ) THEN",
        " AND NEW.next_batch = 0\\n    ) THEN",
        _shards("test_only_shards_leave_completed_and_only_for_their_first_batch"),
    ),
    _of(
        "results of a shard expire before those of its parent",
        JOB_STATEMENTS,
        "CASE WHEN j.parent_id IS NULL THEN now() + make_interval(secs => j.retention_seconds) END",
        "now() + make_interval(secs => j.retention_seconds)",
        _shards("test_results_of_shards_have_no_time_of_their_own_at_which_they_expire"),
    ),
    # What Postgres refuses
    _of(
        "a roll-up that Postgres refuses fails an attempt",
        "app/jobs/shards/rollup.py",
        "except (DatabaseUnavailable, asyncpg.PostgresError) as error:",
        "except DatabaseUnavailable as error:",
        "tests/jobs/shards/test_rollup.py"
        "::test_a_roll_up_that_postgres_refuses_is_left_to_the_loop_and_fails_no_attempt",
    ),
    _of(
        "a parent that Postgres refuses holds up the others",
        "app/maintenance/roll_up.py",
        "            await self._roll_up_each(unit, parent_ids)\n",
        "            raise\n",
        "tests/jobs/shards/test_rollup.py::test_a_parent_that_postgres_refuses_holds_up_no_other",
    ),
)
