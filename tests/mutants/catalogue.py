"""Every guard whose loss would be a bug in silence, and who has to notice."""

from typing import Final

from tests.mutants import of_data, of_metrics, of_names, of_traces
from tests.mutants.analytics_guards import ANALYTICS_GUARDS
from tests.mutants.audit_guards import AUDIT_GUARDS
from tests.mutants.bulk_guards import BULK_GUARDS
from tests.mutants.client_guards import CLIENT_GUARDS
from tests.mutants.conversion_guards import CONVERSION_GUARDS
from tests.mutants.description_guards import DESCRIPTION_GUARDS
from tests.mutants.direct_guards import DIRECT_GUARDS
from tests.mutants.draft_guards import DRAFT_GUARDS
from tests.mutants.drift_guards import DRIFT_GUARDS
from tests.mutants.engine_guards import ENGINE_GUARDS
from tests.mutants.firing_guards import FIRING_GUARDS
from tests.mutants.fold_guards import FOLD_GUARDS
from tests.mutants.forking_guards import FORKING_GUARDS
from tests.mutants.gpu_guards import GPU_GUARDS
from tests.mutants.key_guards import KEY_GUARDS
from tests.mutants.limit_guards import LIMIT_GUARDS
from tests.mutants.log_guards import LOG_GUARDS
from tests.mutants.mail_guards import MAIL_GUARDS
from tests.mutants.mlflow_guards import MLFLOW_GUARDS
from tests.mutants.models import MODELS
from tests.mutants.mutant import Mutant
from tests.mutants.notification_guards import NOTIFICATION_GUARDS
from tests.mutants.of_plugins import OF_PLUGINS
from tests.mutants.pickup_guards import PICKUP_GUARDS
from tests.mutants.preprocessing_guards import PREPROCESSING_GUARDS
from tests.mutants.queue_guards import QUEUE_GUARDS
from tests.mutants.ray_guards import RAY_GUARDS
from tests.mutants.report_guards import REPORT_GUARDS
from tests.mutants.request_guards import REQUEST_GUARDS
from tests.mutants.result_guards import RESULT_GUARDS
from tests.mutants.role_guards import ROLE_GUARDS
from tests.mutants.rule_guards import RULE_GUARDS
from tests.mutants.schedule_guards import SCHEDULE_GUARDS
from tests.mutants.search_guards import SEARCH_GUARDS
from tests.mutants.session_guards import SESSION_GUARDS
from tests.mutants.shard_guards import SHARD_GUARDS
from tests.mutants.shard_reading_guards import SHARD_READING_GUARDS
from tests.mutants.stream_guards import STREAM_GUARDS
from tests.mutants.subscription_guards import SUBSCRIPTION_GUARDS
from tests.mutants.training_guards import TRAINING_GUARDS
from tests.mutants.turn_guards import TURN_GUARDS
from tests.mutants.usage_guards import USAGE_GUARDS

TRANSITIONS: Final = "app/jobs/transition_statements.py"
MIGRATION: Final = "alembic/versions/0002_jobs.py"
UNIT_OF_WORK: Final = "app/jobs/unit_of_work.py"
COUNTING: Final = "app/jobs/counting.py"
FAULTS: Final = "app/jobs/faults.py"
METRICS: Final = "app/core/metrics.py"
STATS: Final = "app/maintenance/stats.py"
MEASURE: Final = "app/maintenance/commands.py"
MAINTENANCE_QUERIES: Final = "app/maintenance/queries.py"
LEASES: Final = "app/jobs/workers/commands.py"
QUOTA: Final = "app/jobs/quota.py"
DATABASE: Final = "app/core/database.py"
CONTACT: Final = "app/maintenance/connectivity.py"
RESCUE: Final = "app/maintenance/rescue.py"
KEEPER: Final = "app/maintenance/maintenance.py"
LEASE: Final = "worker/lease.py"
LEDGER: Final = "worker/report_writer.py"
RUN_NEXT: Final = "worker/run_next.py"
TENANCY: Final = "worker/children/tenancy.py"

_TENANCY_TESTS: Final = "tests/worker/children/test_tenancy.py"
_CONFINED: Final = "tests/worker/children/test_confinement.py"
_LANDLOCK: Final = "tests/core/sandbox/test_landlock.py"
_FOLDER: Final = "tests/worker/test_worker_folder.py"
TICKETS: Final = "app/streams/tickets.py"
STREAM_ROUTES: Final = "app/streams/routes.py"
METHODS: Final = "app/http/methods.py"
BODY_ERRORS: Final = "app/http/body_errors.py"
ENCODINGS: Final = "app/http/encodings.py"
RECEIVING: Final = "app/uploads/receiving.py"

_FENCE = "AND j.attempt = r.attempt AND j.status = 'running' AND j.next_batch = r.first_batch"
_END_ATTEMPT = "WHERE id = :job_id AND attempt = :attempt AND status = 'running' FOR UPDATE"
_CANCEL = "WHERE j.id = :job_id AND j.status IN ('pending', 'running') AND j.cancel_requested_at IS NULL"
_RETRY = "WHERE j.id = :job_id AND j.status IN ('failed', 'cancelled') AND j.pruned_at IS NULL"
_BUDGET = "WHEN :is_retryable::boolean AND h.failures + 1 < h.max_attempts THEN 'pending'"
_COUNTERS = """    IF NEW.attempt < OLD.attempt OR NEW.last_seq < OLD.last_seq
        OR NEW.next_batch < OLD.next_batch
"""


def _transition(test: str) -> str:
    return f"tests/jobs/test_transitions.py::{test}"


_STALE: Final = _transition("test_a_write_of_an_attempt_that_is_over_changes_nothing")
_REFUSED: Final = _transition("test_the_database_refuses_a_job_that_makes_no_sense")
_ENDED: Final = _transition("test_a_job_that_has_ended_does_not_change")
_MOVES: Final = _transition("test_the_database_accepts_the_legal_moves_and_no_others")
_FALLS: Final = _transition("test_the_counters_of_a_job_never_fall")
_ONCE: Final = "tests/jobs/test_transition_locks.py::test_the_database_itself_keeps_nothing_twice"
_FATE: Final = "tests/worker/test_report_writer.py::test_the_standing_of_a_job_tells_what_became_of_a_report"


def _unit(test: str) -> str:
    return f"tests/jobs/test_unit_of_work.py::{test}"


def _counting(test: str) -> str:
    return f"tests/jobs/test_counting.py::{test}"


def _faults(test: str) -> str:
    return f"tests/jobs/test_faults.py::{test}"


def _metrics(test: str) -> str:
    return f"tests/core/test_metrics.py::{test}"


def _stats(name: str, path: str, text: str, replacement: str, test: str) -> Mutant:
    return Mutant(f"stats: {name}", path, text, replacement, (f"tests/maintenance/test_stats.py::{test}",))


def _resuming(test: str) -> str:
    return f"tests/streams/test_resuming.py::{test}"


def _body_errors(test: str) -> str:
    return f"tests/http/test_body_errors.py::{test}"


def _sql(name: str, text: str, replacement: str, *tests: str) -> Mutant:
    return Mutant(name, TRANSITIONS, text, replacement, tests)


def _shape(name: str, text: str, replacement: str, *tests: str) -> Mutant:
    return Mutant(f"shape: {name}", MIGRATION, text, replacement, tests)


MUTANTS: Final = (
    # Claim
    _sql(
        "claim: the same attempt again",
        "attempt = j.attempt + 1",
        "attempt = greatest(j.attempt, 1)",
        _STALE,
    ),
    _sql(
        "claim: its event has no number of its own",
        "worker_id = :worker_id, last_seq = j.last_seq + 1",
        "worker_id = :worker_id, last_seq = j.last_seq",
        _transition("test_a_claim_gives_the_worker_all_it_needs"),
    ),
    _sql(
        "create: a start in the past",
        "greatest(:run_at, now() + :delay::interval, now())",
        "greatest(:run_at, now() + :delay::interval, CASE WHEN :run_at IS NULL THEN now() END)",
        _transition("test_a_start_in_the_past_does_not_jump_the_queue"),
    ),
    # Advance
    _sql("advance: any attempt", _FENCE, _FENCE.replace("AND j.attempt = r.attempt ", ""), _STALE),
    _sql("advance: any status", _FENCE, _FENCE.replace("AND j.status = 'running' ", ""), _STALE),
    _sql(
        "advance: any batch",
        _FENCE,
        _FENCE.replace(" AND j.next_batch = r.first_batch", ""),
        _transition("test_a_batch_that_is_not_the_next_one_is_refused"),
        _transition("test_a_batch_that_is_sent_twice_is_stored_once"),
    ),
    _sql(
        "advance: the cursor stays",
        "next_batch = j.next_batch + r.batch_count",
        "next_batch = j.next_batch",
        _transition("test_a_batch_that_is_sent_twice_is_stored_once"),
    ),
    _sql(
        "advance: completed after a cancel",
        "WHEN j.cancel_requested_at IS NULL THEN 'completed' ELSE 'cancelled' END",
        "ELSE 'completed' END",
        _transition("test_a_job_never_completes_once_its_cancel_was_asked_for"),
    ),
    _sql(
        "advance: a result after a cancel",
        "result = CASE WHEN j.cancel_requested_at IS NULL THEN r.result::jsonb END",
        "result = r.result::jsonb",
        _transition("test_a_job_never_completes_once_its_cancel_was_asked_for"),
    ),
    _sql(
        "advance: last_seq without the end",
        "last_seq = j.last_seq + r.batch_count + r.is_final::int",
        "last_seq = j.last_seq + r.batch_count",
        _transition("test_each_batch_moves_progress_on_and_the_result_completes_the_job"),
    ),
    _sql(
        "advance: last_seq without the batches",
        "last_seq = j.last_seq + r.batch_count + r.is_final::int",
        "last_seq = j.last_seq + 1",
        _transition("test_batches_that_go_together_have_an_event_each"),
    ),
    _sql(
        "advance: a checkpoint is kept for good",
        "ON CONFLICT (job_id) DO UPDATE\n"
        "        SET next_batch = excluded.next_batch, data = excluded.data, file = excluded.file",
        "ON CONFLICT (job_id) DO NOTHING",
        _transition("test_a_checkpoint_takes_the_place_of_the_one_before"),
    ),
    # Fail, release, stop
    _sql(
        "leave: any attempt",
        _END_ATTEMPT,
        _END_ATTEMPT.replace("attempt = :attempt", ":attempt::int > 0"),
        _STALE,
    ),
    _sql("leave: any status", _END_ATTEMPT, _END_ATTEMPT.replace("AND status = 'running' ", ""), _STALE),
    _sql(
        "leave: without the row's lock",
        _END_ATTEMPT,
        _END_ATTEMPT.removesuffix(" FOR UPDATE"),
        "tests/jobs/test_transition_locks.py::test_an_attempt_that_two_end_at_once_ends_once",
    ),
    _sql(
        "leave: again after a cancel",
        "WHEN h.cancel_requested_at IS NOT NULL OR :is_cancelled::boolean THEN 'cancelled'",
        "WHEN :is_cancelled::boolean THEN 'cancelled'",
        _transition("test_a_job_whose_cancel_was_asked_for_does_not_wait_for_another_attempt"),
    ),
    _sql(
        "leave: one attempt too many",
        _BUDGET,
        _BUDGET.replace("<", "<="),
        _transition("test_a_job_whose_budget_is_used_up_has_failed"),
    ),
    _sql(
        "leave: again whatever the error",
        _BUDGET,
        _BUDGET.replace(":is_retryable::boolean", "(:is_retryable::boolean OR true)"),
        _transition("test_an_error_that_is_never_retried_fails_the_job_at_once"),
    ),
    _sql(
        "leave: a release costs the budget",
        "failures = j.failures + :is_failure::boolean::int",
        "failures = j.failures + 1",
        _transition("test_a_release_costs_nothing_of_the_budget"),
    ),
    _sql(
        "leave: a release can fail the job",
        "WHEN NOT :is_failure::boolean THEN 'pending'",
        "WHEN false THEN 'pending'",
        _transition("test_a_release_costs_nothing_of_the_budget"),
    ),
    # Rescue
    _sql(
        "rescue: any status",
        "WHERE j.status = 'running' AND j.shards IS NULL\n        AND now()",
        "WHERE j.shards IS NULL AND now()",
        "tests/jobs/test_transition_locks.py::test_a_rescue_leaves_alone_what_does_not_run",
    ),
    _sql(
        "rescue: whoever was ever seen",
        "WHERE w.id = j.worker_id AND w.seen_at > now() - :lease::interval",
        "WHERE w.id = j.worker_id",
        _transition("test_the_jobs_of_a_silent_worker_go_on_elsewhere"),
    ),
    _sql(
        "rescue: from the living",
        "WHERE w.id = j.worker_id AND w.seen_at > now() - :lease::interval",
        "WHERE w.id = j.worker_id AND w.seen_at > now() + :lease::interval",
        "tests/jobs/test_transition_locks.py::test_a_worker_is_alive_until_a_lease_has_passed",
    ),
    _sql(
        "rescue: by anybody's lease",
        "WHERE w.id = j.worker_id AND w.seen_at > now() - :lease::interval",
        "WHERE w.seen_at > now() - :lease::interval",
        _transition("test_the_jobs_of_a_living_worker_are_left_alone"),
    ),
    _sql(
        "rescue: right after a start of Postgres",
        "        AND now() > pg_postmaster_start_time() + :lease::interval\n",
        "",
        _transition("test_nobody_is_rescued_from_while_postgres_is_up_for_less_than_a_lease"),
    ),
    _sql(
        "rescue: waits for others' locks",
        "sort_key LIMIT :limit\n    FOR UPDATE SKIP LOCKED",
        "sort_key LIMIT :limit\n    FOR UPDATE",
        "tests/jobs/test_transition_locks.py::test_a_rescue_passes_over_a_job_that_is_being_settled",
    ),
    _sql(
        "rescue: takes no locks",
        "sort_key LIMIT :limit\n    FOR UPDATE SKIP LOCKED",
        "sort_key LIMIT :limit",
        "tests/jobs/test_transition_locks.py::test_a_rescue_passes_over_a_job_that_is_being_settled",
    ),
    # Cancel and retry
    _sql(
        "cancel: any status",
        _CANCEL,
        _CANCEL.replace("j.status IN ('pending', 'running') AND ", ""),
        _transition("test_a_finished_job_is_not_cancelled"),
    ),
    _sql(
        "cancel: twice",
        _CANCEL,
        _CANCEL.removesuffix(" AND j.cancel_requested_at IS NULL"),
        _transition("test_the_cancel_of_a_running_job_is_asked_for_once"),
    ),
    _sql(
        "retry: any status",
        _RETRY,
        _RETRY.replace("AND j.status IN ('failed', 'cancelled') ", ""),
        _transition("test_only_a_job_that_ended_badly_is_tried_again"),
    ),
    _sql(
        "retry: with its rows gone",
        _RETRY,
        _RETRY.removesuffix(" AND j.pruned_at IS NULL"),
        "tests/jobs/test_transition_locks.py::test_a_job_whose_rows_are_pruned_is_not_tried_again",
    ),
    _sql(
        "retry: the cancel stays asked for",
        "status = 'pending', failures = 0, cancel_requested_at = NULL",
        "status = 'pending', failures = 0",
        "tests/jobs/test_transition_locks.py::test_a_cancelled_job_that_is_tried_again_can_complete",
    ),
    _sql(
        "retry: the old batches stay",
        "DELETE FROM job_batches b USING changed j WHERE b.job_id = j.id AND :from_start",
        "DELETE FROM job_batches b USING changed j WHERE b.job_id = j.id AND :from_start AND false",
        _transition("test_a_job_that_is_tried_from_its_start_has_nothing_left_of_what_it_did"),
    ),
    _sql(
        "retry: the old checkpoint stays",
        "DELETE FROM job_checkpoints c USING changed j WHERE c.job_id = j.id AND :from_start",
        "DELETE FROM job_checkpoints c USING changed j WHERE c.job_id = j.id AND :from_start AND false",
        _transition("test_a_job_that_is_tried_from_its_start_has_nothing_left_of_what_it_did"),
    ),
    # What is published, and counted
    Mutant(
        "unit of work: what was rolled back is published",
        UNIT_OF_WORK,
        "            del self._results[recorded:]\n",
        "",
        (_unit("test_what_was_rolled_back_to_a_savepoint_is_not_published"),),
    ),
    Mutant(
        "unit of work: published twice",
        UNIT_OF_WORK,
        "results, self._results = self._results, []",
        "results = self._results",
        (_unit("test_a_transition_is_published_and_counted_once"),),
    ),
    Mutant(
        "unit of work: counted before the commit",
        UNIT_OF_WORK,
        "        self._results += results\n",
        "        for result in (results := list(results)):\n            count_transition(result)\n"
        "        self._results += results\n",
        (_counting("test_what_is_rolled_back_is_not_counted"),),
    ),
    # What is counted, and under which labels
    Mutant(
        "counting: a job that does not end counts as ended",
        COUNTING,
        "elif result.status.is_final:",
        "else:",
        (_counting("test_a_cancellation_that_is_only_requested_ends_nothing"),),
    ),
    Mutant(
        "counting: a failure is nobody's fault",
        COUNTING,
        "    if result.status is not Status.FAILED:\n",
        "    if True:\n",
        (_counting("test_a_job_ends_with_its_status_and_the_fault"),),
    ),
    Mutant(
        "counting: rescued attempts are not counted",
        COUNTING,
        "        count_attempt(result.kind, Outcome.RESCUED, Fault.SYSTEM)\n",
        "        pass\n",
        (_counting("test_a_job_that_a_rescue_returns_to_its_queue_has_not_ended"),),
    ),
    Mutant(
        "counting: every queue has a series",
        COUNTING,
        "    queue = queue_label(result.queue)\n",
        "    queue = result.queue\n",
        (_counting("test_a_thousand_queues_named_by_users_are_one_series"),),
    ),
    Mutant(
        "counting: as many queues with many kinds",
        COUNTING,
        "MAX_PAIRS // max(1, len(kinds))",
        "MAX_PAIRS",
        (_counting("test_with_many_kinds_fewer_queues_have_series"),),
    ),
    Mutant(
        "queue labels: without a bound",
        METRICS,
        "        new = new[: max(0, min(limit, MAX_QUEUES) - len(self._names))]\n",
        "",
        (_metrics("test_no_more_queues_than_the_limit_get_a_label"),),
    ),
    Mutant(
        "queue labels: a caller can raise the bound",
        METRICS,
        "min(limit, MAX_QUEUES)",
        "limit",
        (_metrics("test_the_number_of_labels_is_bounded_whoever_asks"),),
    ),
    Mutant(
        "queue labels: any queue has one",
        METRICS,
        "return name if name in self._names else OTHER_QUEUE",
        "return name",
        (_metrics("test_a_queue_that_nobody_serves_has_no_label_of_its_own"),),
    ),
    Mutant(
        "faults: a lost worker is the user's fault",
        FAULTS,
        '        "worker_lost",\n',
        "",
        (_faults("test_each_code_in_the_source_has_a_fault_and_no_other_is_listed"),),
    ),
    Mutant(
        "faults: what a plugin raises is the system's fault",
        FAULTS,
        "return Fault.SYSTEM if code in SYSTEM else Fault.USER",
        "return Fault.USER if code in USER else Fault.SYSTEM",
        (_faults("test_operators_answer_for_the_system_and_users_for_the_rest"),),
    ),
    Mutant(
        "processor time: a child's report is believed",
        "worker/children/attempt_meter.py",
        "min(cpu_seconds, possible) if cpu_seconds > 0 else 0.0",
        "cpu_seconds",
        ("tests/worker/children/test_attempt_meter.py::test_a_child_cannot_claim_more_time_than_has_passed",),
    ),
    # What is measured for the metrics, and how often
    _stats(
        "every process measures",
        STATS,
        "if not measurement.is_due or self.clock() < self._rests_until:",
        "if self.clock() < self._rests_until:",
        "test_two_processes_measure_once",
    ),
    _stats(
        "a failed measurement is repeated at once",
        STATS,
        " or self.clock() < self._rests_until:",
        ":",
        "test_a_process_whose_measurement_fails_rests_as_long",
    ),
    _stats(
        "no rest after a long measurement",
        MAINTENANCE_QUERIES,
        "greatest(:interval::interval, :rest * make_interval(secs => measured_seconds))",
        "greatest(:interval::interval, 0 * :rest * make_interval(secs => measured_seconds))",
        "test_a_measurement_that_took_long_is_not_repeated_soon",
    ),
    _stats(
        "a clock that was set back stops it",
        MAINTENANCE_QUERIES,
        "        OR measured_at > now(),\n",
        "        ,\n",
        "test_a_clock_that_was_set_back_stops_nothing",
    ),
    _stats(
        "emptied queues stay",
        MEASURE,
        "SELECT FROM measured m WHERE (m.queue",
        "SELECT FROM queue_stats m WHERE (m.queue",
        "test_a_queue_that_has_emptied_is_gone",
    ),
    _stats(
        "no lock",
        MEASURE,
        "ON CONFLICT (is_current) DO UPDATE SET is_current = true\nRETURNING",
        "ON CONFLICT (is_current) DO NOTHING\nRETURNING",
        "test_a_process_waits_for_another_before_it_writes",
    ),
    # What the database itself refuses
    _shape("any move", "IF NEW.status <> OLD.status AND", "IF false AND", _MOVES),
    _shape(
        "back from completed",
        "('failed', 'pending'), ('cancelled', 'pending')\n",
        "('failed', 'pending'), ('cancelled', 'pending'), ('completed', 'pending')\n",
        _MOVES,
    ),
    _shape("attempt falls", _COUNTERS, _COUNTERS.replace("NEW.attempt < OLD.attempt OR ", ""), _FALLS),
    _shape("last_seq falls", _COUNTERS, _COUNTERS.replace(" OR NEW.last_seq < OLD.last_seq", ""), _FALLS),
    _shape(
        "next_batch falls",
        _COUNTERS,
        _COUNTERS.replace("NEW.next_batch < OLD.next_batch", "false"),
        _FALLS,
    ),
    _shape(
        "changes after the end",
        "IF OLD.status IN ('completed'",
        "IF false AND OLD.status IN ('completed'",
        _ENDED,
    ),
    Mutant(
        "shape: runs nowhere",
        "alembic/versions/0036_shards.py",
        "(status = 'running' AND shards IS NULL) = (worker_id IS NOT NULL)",
        "true",
        (_REFUSED,),
    ),
    _shape(
        "an end without a time",
        """CHECK (
        (status IN ('completed', 'failed', 'cancelled')) = (finished_at IS NOT NULL)
    )""",
        "CHECK (true)",
        _REFUSED,
    ),
    _shape(
        "completed in part",
        "CHECK (status <> 'completed' OR total IS NULL OR done = total)",
        "CHECK (true)",
        _transition("test_a_job_cannot_complete_with_rows_missing"),
    ),
    _shape(
        "failed for no reason", "CHECK (status <> 'failed' OR error IS NOT NULL)", "CHECK (true)", _REFUSED
    ),
    _shape("more done than there is", "AND done >= 0 AND (total IS NULL OR done <= total)", "", _REFUSED),
    _shape(
        "a batch twice",
        "CONSTRAINT pk_job_batches PRIMARY KEY (job_id, index)",
        "CONSTRAINT pk_job_batches PRIMARY KEY (job_id, index, attempt)",
        _ONCE,
    ),
    _shape(
        "an event twice",
        "CONSTRAINT pk_job_events PRIMARY KEY (job_id, seq)",
        "CONSTRAINT ck_job_events_seq CHECK (seq > 0)",
        _ONCE,
    ),
    _shape(
        "an attempt that ends twice",
        "CONSTRAINT pk_job_attempts PRIMARY KEY (job_id, attempt),\n",
        "",
        _ONCE,
    ),
    # The quota
    Mutant(
        "quota: without the lock",
        QUOTA,
        "own = await quotas.lock(connection, owner_id)",
        "own = await quotas.get(connection, owner_id)",
        ("tests/jobs/test_quota.py::test_requests_at_the_same_moment_do_not_get_past_the_quota",),
    ),
    Mutant(
        "quota: one too many",
        QUOTA,
        "if count.active + jobs > count.limit:",
        "if count.active > count.limit:",
        ("tests/jobs/test_quota.py::test_requests_at_the_same_moment_do_not_get_past_the_quota",),
    ),
    Mutant(
        "quota: always far below",
        QUOTA,
        "return is_recent and count.active + SLACK < count.limit",
        "return is_recent",
        ("tests/jobs/test_quota.py::test_requests_at_the_same_moment_do_not_get_past_the_quota",),
    ),
    Mutant(
        "quota: never counted is counted at 0.0",
        QUOTA,
        "            return False\n        is_recent",
        "            count = _Count(0, self._limit, 0.0)\n        is_recent",
        (
            "tests/jobs/test_quota.py::"
            "test_a_user_who_was_never_counted_is_counted_however_long_the_machine_has_been_up",
        ),
    ),
    Mutant(
        "account: created by several processes at once",
        "app/embedded/account.py",
        "    with _one_at_a_time():",
        "    if True:",
        (
            "tests/embedded/test_account.py::test_processes_that_create_the_account_concurrently_get_the_same_one",
        ),
    ),
    # The lease, and who may judge it
    Mutant(
        "lease: seen only once",
        LEASES,
        "DO UPDATE SET seen_at = now()",
        "DO NOTHING",
        ("tests/worker/test_lease.py::test_a_renewal_says_that_the_worker_is_alive",),
    ),
    Mutant(
        "lease: hears of everybody's jobs",
        LEASES,
        "FROM jobs WHERE worker_id = :id AND status = 'running'",
        "FROM jobs WHERE status = 'running'",
        ("tests/worker/test_lease.py::test_a_worker_hears_of_its_own_jobs_only",),
    ),
    Mutant(
        "lease: a claim in flight is taken for lost",
        LEASE,
        "self._claiming[claim] = self.clock()",
        "self._claiming[claim] = math.inf",
        ("tests/worker/test_lease.py::test_a_claim_that_is_in_flight_is_not_lost_however_long_it_takes",),
    ),
    Mutant(
        "lease: any claim in flight hides a lost one",
        LEASE,
        "if self._unknown.get(key, math.inf) < oldest_claim}",
        "if key in self._unknown and oldest_claim == math.inf}",
        ("tests/worker/test_lease.py::test_later_claims_do_not_hide_that_one_is_lost",),
    ),
    Mutant(
        "grace: none",
        CONTACT,
        "self.clock() - self._since >= 2 * self.lease_seconds",
        "self.clock() - self._since >= 0",
        ("tests/maintenance/test_connectivity.py::test_whoever_is_in_touch_for_two_leases_may_rescue",),
    ),
    Mutant(
        "grace: one lease",
        CONTACT,
        ">= 2 * self.lease_seconds",
        ">= self.lease_seconds",
        ("tests/maintenance/test_connectivity.py::test_whoever_is_in_touch_for_two_leases_may_rescue",),
    ),
    Mutant(
        "grace: in spite of a break",
        CONTACT,
        "if self._last is None or now - self._last > self.lease_seconds / 2:",
        "if self._last is None:",
        ("tests/maintenance/test_connectivity.py::test_a_break_starts_the_time_anew",),
    ),
    Mutant(
        "grace: not asked for",
        RESCUE,
        "if not self.contact.is_long_enough:",
        "if False:",
        ("tests/maintenance/test_rescue.py::test_a_process_that_has_just_started_rescues_no_job",),
    ),
    Mutant(
        "grace: only whoever gets to do it is in touch",
        KEEPER,
        "rescue, rescue.contact.touch)",
        "rescue)",
        (
            "tests/maintenance/test_rescue.py::test_a_process_that_leaves_the_duty_to_others_counts_as_connected",
        ),
    ),
    Mutant(
        "lease: fenced jobs run on",
        LEASE,
        "if key not in listed:",
        "if False:",
        ("tests/worker/test_lease.py::test_a_job_that_was_taken_away_is_revoked",),
    ),
    Mutant(
        "lease: cancels go unheard",
        LEASE,
        "elif listed[key].is_cancel_requested:",
        "elif False:",
        ("tests/worker/test_lease.py::test_a_job_whose_cancel_was_asked_for_is_revoked",),
    ),
    Mutant(
        "lease: revokes what was not asked about",
        LEASE,
        "asked.items():",
        "list(self._held.items()):",
        ("tests/worker/test_lease.py::test_a_job_claimed_while_the_question_was_on_its_way_stays",),
    ),
    Mutant(
        "lease: revokes what has ended",
        LEASE,
        "if key not in self._held:",
        "if False:",
        (
            "tests/worker/test_lease.py::test_a_job_that_ended_while_the_question_was_on_its_way_is_left_alone",
        ),
    ),
    Mutant(
        "lease: gives back what it does not know the first time",
        LEASE,
        "self._unknown.get(key, math.inf) < oldest_claim",
        "self._unknown.get(key, -math.inf) < oldest_claim",
        ("tests/worker/test_lease.py::test_a_claim_that_nobody_here_knows_of_is_given_back_the_second_time",),
    ),
    Mutant(
        "lease: never gives back what it does not know",
        LEASE,
        "self._unknown.get(key, math.inf) < oldest_claim",
        "False",
        ("tests/worker/test_lease.py::test_a_claim_that_nobody_here_knows_of_is_given_back_the_second_time",),
    ),
    Mutant(
        "lease: gives back what waits for its child",
        LEASE,
        " - self._held.keys() - self._claimed",
        " - self._held.keys()",
        ("tests/worker/test_lease.py::test_a_job_that_waits_for_its_child_is_not_given_back",),
    ),
    Mutant(
        "lease: current for ever",
        LEASE,
        " and self.clock() - self._renewed_at < self.lease_seconds",
        "",
        ("tests/worker/test_lease.py::test_a_lease_is_current_from_a_renewal_until_its_seconds_have_passed",),
    ),
    Mutant(
        "probe: ready without a lease",
        "worker/readiness.py",
        "if self.holds_lease is None or not self.holds_lease():",
        "if False:",
        ("tests/worker/test_readiness.py::test_a_worker_that_waits_for_postgres_is_live_but_not_ready",),
    ),
    Mutant(
        "claimer: claims for a slot that is gone",
        "worker/claimer.py",
        "            if answer in waiting:",
        "            if False:",
        (
            "tests/worker/test_claimer.py::"
            "test_a_slot_that_is_cancelled_while_it_waits_takes_nothing_from_the_others",
        ),
    ),
    Mutant(
        "transactions: a frozen process keeps its locks",
        DATABASE,
        '"idle_in_transaction_session_timeout": f"{IDLE_IN_TRANSACTION_SECONDS}s"',
        '"idle_in_transaction_session_timeout": "0"',
        ("tests/core/test_database.py::test_a_process_that_is_frozen_in_mid_transaction_loses_its_locks",),
    ),
    Mutant(
        "database: a dying connection is an error like any other",
        DATABASE,
        "    asyncpg.InternalClientError,  #",
        "    #",
        ("tests/core/test_database.py::test_a_connection_that_was_told_of_its_end_counts_as_away",),
    ),
    Mutant(
        "database: a plan for an empty table reads the full one",
        DATABASE,
        '    "enable_seqscan": "off",\n',
        "",
        (
            "tests/core/test_database.py::"
            "test_a_plan_that_was_made_for_an_empty_table_serves_it_when_it_is_full",
        ),
    ),
    # What a worker makes of a lost reply, of a drain and of its child
    Mutant(
        "fate: any attempt",
        LEDGER,
        "if state is None or state.attempt != report.attempt:",
        "if state is None:",
        (_FATE,),
    ),
    Mutant(
        "fate: any end is ours",
        LEDGER,
        "if report.is_final and state.status in FINAL:",
        "if state.status in FINAL:",
        (_FATE,),
    ),
    Mutant(
        "fate: no end is ours",
        LEDGER,
        "if report.is_final and state.status in FINAL:",
        "if False:",
        (_FATE,),
    ),
    Mutant(
        "fate: whether it runs or not",
        LEDGER,
        "if state.status is not Status.RUNNING:",
        "if False:",
        (_FATE,),
    ),
    Mutant(
        "fate: never sent again",
        LEDGER,
        "if state.next_batch == report.first_batch:",
        "if False:",
        (_FATE,),
    ),
    Mutant(
        "fate: always sent again",
        LEDGER,
        "if state.next_batch == report.first_batch:",
        "if state.next_batch >= report.first_batch:",
        (_FATE,),
    ),
    Mutant(
        "fate: an end is applied in part",
        LEDGER,
        "if not report.is_final and state.next_batch == report.first_batch + len(report.batches):",
        "if state.next_batch == report.first_batch + len(report.batches):",
        (_FATE,),
    ),
    Mutant(
        "report_writer: what was not applied counts as applied",
        LEDGER,
        "                    not_applied.append(waiting)",
        "                    waiting.answer.set_result(None)",
        ("tests/worker/test_report_writer.py::test_a_report_that_was_lost_on_its_way_is_sent_again",),
    ),
    Mutant(
        "report_writer: whoever is fenced hears nothing of it",
        LEDGER,
        "waiting.answer.set_exception(Fenced())",
        "waiting.answer.set_result(None)",
        (
            "tests/worker/test_report_writer.py::test_a_report_of_an_attempt_that_is_over_is_answered_as_fenced",
        ),
    ),
    Mutant(
        "drain: jobs are still taken",
        RUN_NEXT,
        "        self._claimer.close()\n",
        "",
        ("tests/worker/test_run_next.py::test_a_worker_that_drains_takes_nothing_more",),
    ),
    Mutant(
        "drain: a slot that waits still claims",
        "worker/claimer.py",
        "while len(found) < limit and not self._is_closed:",
        "while len(found) < limit:",
        (
            "tests/worker/test_claimer.py::"
            "test_a_closed_claimer_claims_nothing_not_even_for_a_slot_that_waits",
        ),
    ),
    Mutant(
        "drain: hosts are started for due jobs",
        "worker/claimer.py",
        "        if self._is_closed:\n            return 0",
        "        if False:\n            return 0",
        (
            "tests/worker/test_claimer.py::"
            "test_a_closed_claimer_claims_nothing_not_even_for_a_slot_that_waits",
        ),
    ),
    Mutant(
        "worker: one attempt hides another at the same job",
        RUN_NEXT,
        "del self._running[job.id, job.attempt]",
        "self._running = {key: value for key, value in self._running.items() if key[0] != job.id}",
        ("tests/worker/test_run_next.py::test_two_attempts_at_one_job_on_one_worker_are_kept_apart",),
    ),
    Mutant(
        "child: batches in any order",
        "worker/reports.py",
        "if batch.index != first_batch + position:",
        "if False:",
        ("tests/worker/test_run_next.py::test_a_child_that_leaves_a_batch_out_is_not_believed",),
    ),
    # Stored data
    Mutant(
        "conversion: rows of any size",
        "app/datasets/conversion/row_sizes.py",
        "return None if index < 0 else index",
        "return None",
        ("tests/datasets/test_row_sizes.py::test_a_row_that_is_too_large_is_refused_however_it_is_encoded",),
    ),
    Mutant(
        "conversion: batches of any size",
        "app/datasets/conversion/row_sizes.py",
        "if slice_bytes + size > BATCH_BYTES and number > start:",
        "if False:",
        ("tests/datasets/test_row_sizes.py::test_rows_that_are_large_together_are_decoded_in_parts",),
    ),
    Mutant(
        "conversion: an output of any size",
        "app/datasets/conversion/task.py",
        "resource.setrlimit(resource.RLIMIT_FSIZE, (task.max_output_bytes, task.max_output_bytes))",
        "pass",
        ("tests/datasets/test_bombs.py::test_rows_that_grow_beyond_measure_are_refused_by_name",),
    ),
    Mutant(
        "conversion: any number of rows",
        "app/datasets/conversion/row_groups.py",
        "if self.rows + self._waiting_rows + batch.num_rows > self._max_rows:",
        "if False:",
        ("tests/datasets/test_bombs.py::test_a_file_with_too_many_rows_is_refused_by_name",),
    ),
    Mutant(
        "conversion: any processor time",
        "app/datasets/conversion/task.py",
        "resource.setrlimit(resource.RLIMIT_CPU, (task.cpu_seconds, task.cpu_seconds + 1))",
        "pass",
        ("tests/datasets/test_bombs.py::test_a_conversion_that_takes_too_much_processor_time_is_refused",),
    ),
    Mutant(
        "conversion: one owner takes every place",
        "app/datasets/fair_queue.py",
        "if owner_id in self._inside:",
        "if False:",
        ("tests/datasets/test_fair_queue.py::test_one_owner_never_holds_every_place",),
    ),
    Mutant(
        "preview: any number of bytes",
        "app/datasets/reading.py",
        "if left < 0 and encoded:",
        "if False:",
        ("tests/datasets/test_bombs.py::test_a_preview_has_as_many_rows_as_fit",),
    ),
    Mutant(
        "pages: any number of bytes",
        "app/core/paging.py",
        "WHERE page_row = 1 OR bytes_through <= {max_bytes}",
        "WHERE page_row = 1 OR {max_bytes} > 0",
        (
            "tests/jobs/test_pages.py::test_lists_of_jobs_and_dead_letters_end_early_and_none_is_lost",
            "tests/jobs/test_pages.py::test_a_page_of_events_ends_early_and_a_stream_shows_them_all",
        ),
    ),
    Mutant(
        "results: a page of any number of bytes",
        "app/jobs/exports/routes.py",
        "if items and (len(items) == limit or left_bytes < 0):",
        "if items and len(items) == limit:",
        ("tests/jobs/test_pages.py::test_a_page_of_results_ends_early_and_none_is_lost",),
    ),
    Mutant(
        "quota: without a lock",
        "app/quotas/service.py",
        "self._limits(await queries.lock(connection, owner_id))",
        "self._limits(await queries.get(connection, owner_id))",
        ("tests/quotas/test_quota.py::test_of_two_at_once_the_second_is_counted_after_the_first",),
    ),
    Mutant(
        "quota: whoever was never counted is far below",
        "app/quotas/service.py",
        "        if count is None or",
        "        if count is None:\n            return True\n        if",
        ("tests/quotas/test_quota.py::test_a_user_who_was_never_counted_is_not_taken_for_one_far_below",),
    ),
    Mutant(
        "quota: results are not checked",
        LEDGER,
        "return waiting.completion is not None or not self._quota.is_far_below(owner_id)",
        "return waiting.completion is not None",
        ("tests/quotas/test_quota.py::test_a_batch_beyond_the_quota_is_refused_and_nothing_of_it_is_kept",),
    ),
    _sql(
        "quota: the checkpoint before counts for ever",
        "coalesce(r.checkpoint_bytes - j.checkpoint_bytes, 0)",
        "coalesce(r.checkpoint_bytes, 0)",
        "tests/quotas/test_quota.py::test_every_way_to_store_and_to_delete_is_counted",
    ),
    Mutant(
        "hints: no signature",
        "app/core/signing.py",
        "return message if hmac.compare_digest(signature, self._signature(channel, message)) else None",
        "return message",
        ("tests/streams/test_forged_hints.py::test_a_forged_event_is_not_shown_and_ends_no_stream",),
    ),
    Mutant(
        "hints: a worker looks whoever says so",
        "worker/lease.py",
        'if signer.verify(message["channel"], message["data"]) is None:',
        "if False:",
        ("tests/worker/test_forged_tokens.py::test_a_worker_ignores_unsigned_hints",),
    ),
    Mutant(
        "models: a bare name means a public model",
        "app/models/queries.py",
        "CASE WHEN :owner_key::text IS NULL THEN m.owner_id = :user_id",
        "CASE WHEN :owner_key::text IS NULL THEN m.owner_id = :user_id OR m.visibility = 'public'",
        ("tests/models/test_commands.py::test_a_bare_name_never_means_another_users_model",),
    ),
    Mutant(
        "models: another's private model",
        "app/models/queries.py",
        "ELSE u.username_key = :owner_key AND (m.owner_id = :user_id OR m.visibility = 'public') END",
        "ELSE u.username_key = :owner_key END",
        (
            "tests/models/test_http.py"
            "::test_a_name_that_is_hidden_for_a_moment_never_comes_to_mean_another_users_model",
        ),
    ),
    Mutant(
        "limits: any time limit",
        "app/jobs/limits.py",
        "if (request.time_limit_seconds or 0) > settings.max_job_seconds:",
        "if False:",
        ("tests/jobs/test_limits.py::test_a_user_who_asks_for_too_much_is_told_what_the_limit_is",),
    ),
    Mutant(
        "limits: any priority by default",
        "app/core/config.py",
        '"critical"] = "high"',
        '"critical"] = "critical"',
        ("tests/jobs/test_http.py::test_only_an_administrator_goes_before_everybody_else_by_default",),
    ),
    *MODELS,
    *REQUEST_GUARDS,
    *DIRECT_GUARDS,
    *RESULT_GUARDS,
    *SHARD_READING_GUARDS,
    *DESCRIPTION_GUARDS,
    *MLFLOW_GUARDS,
    *CONVERSION_GUARDS,
    *ROLE_GUARDS,
    *AUDIT_GUARDS,
    *SESSION_GUARDS,
    *CLIENT_GUARDS,
    *KEY_GUARDS,
    *LIMIT_GUARDS,
    *TRAINING_GUARDS,
    *TURN_GUARDS,
    *SHARD_GUARDS,
    *ANALYTICS_GUARDS,
    *SEARCH_GUARDS,
    *STREAM_GUARDS,
    *RULE_GUARDS,
    *MAIL_GUARDS,
    *NOTIFICATION_GUARDS,
    *SUBSCRIPTION_GUARDS,
    *OF_PLUGINS,
    # Children
    Mutant(
        "tenancy: a child serves any owner",
        TENANCY,
        "return own == (other.owner_id, other.permissions, other.may_write)",
        "return own[1:] == (other.permissions, other.may_write)",
        (f"{_TENANCY_TESTS}::test_a_tenancy_covers_by_owner_permissions_and_files",),
    ),
    Mutant(
        "tenancy: a child that may write serves those that may not",
        TENANCY,
        "return own == (other.owner_id, other.permissions, other.may_write)",
        "return own[:2] == (other.owner_id, other.permissions)",
        (f"{_TENANCY_TESTS}::test_a_tenancy_covers_by_owner_permissions_and_files",),
    ),
    Mutant(
        "tenancy: predictions may write",
        "app/jobs/kinds/batch_predict.py",
        "    writes_files=False,\n",
        "",
        (f"{_TENANCY_TESTS}::test_only_kinds_that_store_files_may_write",),
    ),
    Mutant(
        "child: a folder for those that may not write",
        "worker/children/child_handle.py",
        "self.folder = folder if self.tenancy.may_write else None",
        "self.folder = folder",
        (f"{_CONFINED}::test_a_child_without_write_permission_cannot_write_anywhere",),
    ),
    Mutant(
        "child: files grow where Landlock does not look",
        "app/core/sandbox/confinement.py",
        "        limit_files(0)\n",
        "        pass\n",
        (f"{_CONFINED}::test_a_child_without_write_permission_cannot_write_anywhere",),
    ),
    Mutant(
        "tenancy: a user's file binds nobody",
        TENANCY,
        "and not kind.permissions and not has_state",
        "and not kind.permissions",
        (f"{_TENANCY_TESTS}::test_any_input_from_a_user_binds_the_child_to_the_owner",),
    ),
    Mutant(
        "tenancy: every kind shares children",
        TENANCY,
        "is_shared = kind.shares_children and",
        "is_shared =",
        (f"{_TENANCY_TESTS}::test_a_plugin_kind_is_bound_unless_it_shares_children",),
    ),
    Mutant(
        "pool: any idle child will do",
        "worker/children/child_handle.py",
        "self.tenancy is not None and self.tenancy.covers(tenancy)",
        "self.tenancy is not None",
        (f"{_CONFINED}::test_a_child_that_got_a_file_serves_one_owner_only",),
    ),
    Mutant(
        "pool: a child that failed works on",
        "worker/children/pool.py",
        "if child.has_failed and tenancy.owner_id is not None:",
        "if False:",
        (f"{_CONFINED}::test_a_child_is_not_reused_after_a_failed_attempt",),
    ),
    Mutant(
        "child: no filter of system calls",
        "app/core/sandbox/confinement.py",
        "    seccomp.apply(permissions)",
        "    pass",
        (f"{_CONFINED}::test_the_sandbox_refuses_hostile_operations",),
    ),
    Mutant(
        "child: no Landlock",
        "app/core/sandbox/landlock.py",
        "        if not version():\n            return",
        "        if version():\n            return",
        (f"{_CONFINED}::test_the_sandbox_refuses_hostile_operations",),
    ),
    Mutant(
        "sandbox: rules that were given up pass for enforced",
        "app/core/sandbox/landlock.py",
        "        if self._is_closed:\n",
        "        if False:\n",
        (f"{_LANDLOCK}::test_rules_that_were_given_up_are_not_enforced_in_silence",),
    ),
    Mutant(
        "sandbox: rules with the descriptor 0 are none",
        "app/core/sandbox/landlock.py",
        "        if self._descriptor is not None:\n            _check",
        "        if self._descriptor:\n            _check",
        (f"{_LANDLOCK}::test_rules_hold_in_a_process_whose_first_descriptor_they_are",),
    ),
    Mutant(
        "child: files of any size",
        "app/core/sandbox/confinement.py",
        "    resource.setrlimit(resource.RLIMIT_FSIZE, (max_bytes, max_bytes))",
        "    pass",
        (f"{_CONFINED}::test_the_sandbox_refuses_hostile_operations",),
    ),
    Mutant(
        "child: many files of any size together",
        "worker/children/disk_usage.py",
        "if size > max_bytes or files > max_files:",
        "if files > max_files:",
        ("tests/worker/children/test_disk_usage.py::test_files_in_nested_folders_are_counted",),
    ),
    Mutant(
        "child: any number of files",
        "worker/children/disk_usage.py",
        "if size > max_bytes or files > max_files:",
        "if size > max_bytes:",
        ("tests/worker/children/test_disk_usage.py::test_empty_files_are_counted_too",),
    ),
    Mutant(
        "child: nobody looks at what it writes",
        "worker/children/pool.py",
        "exceeds_limit, folder, self._max_scratch_bytes)",
        "exceeds_limit, folder, 2**62, 2**62)",
        ("tests/worker/children/test_pool.py::test_a_child_above_the_disk_limit_is_killed",),
    ),
    Mutant(
        "child: the rules of every child are without permissions",
        "app/core/sandbox/confinement.py",
        "        if permissions:\n",
        "        if False:\n",
        (f"{_CONFINED}::test_a_permission_allows_its_operation_and_no_other",),
    ),
    Mutant(
        "child: the folders of all files are readable",
        "app/core/sandbox/confinement.py",
        "        ruleset.allow_reading(files)\n",
        "        ruleset.allow_reading(path.parent for path in files)\n",
        (f"{_CONFINED}::test_a_child_cannot_read_the_files_of_another_child",),
    ),
    Mutant(
        "fork server: nothing is run before the first child",
        "worker/children/forkserver.py",
        "        if callable(preloaded):\n",
        "        if False:\n",
        ("tests/worker/children/test_pool.py::test_preloads_run_once_in_the_fork_server",),
    ),
    Mutant(
        "fork server: orphans live on",
        "worker/children/forkserver.py",
        "while orphans := _child_pids() - self._children:",
        "while orphans := set[int]():",
        (f"{_CONFINED}::test_no_process_outlives_its_job",),
    ),
    Mutant(
        "worker: as PID 1 it leaves the orphans of its fork server as zombies",
        "worker/children/forking.py",
        "            self._orphans.append(pid)\n",
        "",
        (
            "tests/worker/children/test_pool.py"
            "::test_a_worker_that_is_pid_1_reaps_the_orphans_of_a_dead_fork_server",
        ),
    ),
    Mutant(
        "streams: an event of a newer version ends the stream",
        "app/jobs/events.py",
        """    seq: int
    type: str
    at: datetime
    data: msgspec.Raw
""",
        """    seq: int
    type: EventType
    at: datetime
    data: msgspec.Raw
""",
        (
            "tests/streams/test_hub.py"
            "::test_an_event_of_a_newer_version_is_passed_on_from_a_hint_and_from_the_log",
        ),
    ),
    Mutant(
        "child: starts before it is confined",
        "worker/children/child_handle.py",
        "            if not self.is_confined:\n                raise",
        "            if False:\n                raise",
        (f"{_CONFINED}::test_a_job_cannot_start_in_an_unconfined_child",),
    ),
    Mutant(
        "files: a child's link is followed",
        "worker/folders.py",
        "os.open(last, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=here)",
        "os.open(last, os.O_RDONLY | os.O_NONBLOCK, dir_fd=here)",
        ("tests/worker/test_files.py::test_nothing_outside_the_scratch_folder_is_stored",),
    ),
    Mutant(
        "files: an open folder will do",
        "worker/folders.py",
        "if status.st_mode & 0o077:",
        "if False:",
        (f"{_FOLDER}::test_a_folder_that_others_may_access_is_refused",),
    ),
    Mutant(
        "secrets: the worker is open to its user",
        "worker/__main__.py",
        "    hardening.make_undumpable()  # before any setting is read",
        "",
        ("tests/core/test_hardening.py::test_no_process_of_the_same_user_reads_the_secrets_of_ours",),
    ),
    Mutant(
        "secrets: the API is open to its user",
        "app/cli/main.py",
        "    hardening.make_undumpable()  # before any setting is read",
        "",
        ("tests/core/test_hardening.py::test_no_process_of_the_same_user_reads_the_secrets_of_ours",),
    ),
    Mutant(
        "telemetry is on",
        "worker/__init__.py",
        'os.environ["ORT_DISABLE_TELEMETRY"] = "1"',
        "",
        ("tests/worker/test_telemetry.py::test_importing_onnx_runtime_stores_no_device_id",),
    ),
    Mutant(
        "postgres: the application is a superuser",
        "app/embedded/roles.py",
        "LOGIN NOSUPERUSER",
        "LOGIN SUPERUSER",
        ("tests/embedded/test_roles.py::test_the_applications_role_is_no_superuser_and_runs_no_program",),
    ),
    Mutant(
        "postgres: whoever reaches the socket is trusted",
        "app/embedded/roles.py",
        "local all all scram-sha-256",
        "local all all trust",
        ("tests/embedded/test_roles.py::test_a_connection_without_the_password_is_rejected",),
    ),
    # Streams
    Mutant(
        "ticket: opens a second socket",
        TICKETS,
        "DELETE FROM stream_tickets held USING users u\n"
        "WHERE held.ticket_hash = :ticket_hash AND held.resume_hash IS NULL AND",
        "DELETE FROM stream_tickets held USING users u\nWHERE held.ticket_hash = :ticket_hash AND",
        (_resuming("test_a_stream_is_not_resumed_without_its_resume_token"),),
    ),
    Mutant(
        "ticket: opens a second stream",
        TICKETS,
        "now() + :window::interval FROM users u\n"
        "WHERE held.ticket_hash = :ticket_hash AND held.resume_hash IS NULL AND",
        "now() + :window::interval FROM users u\nWHERE held.ticket_hash = :ticket_hash AND",
        ("tests/streams/test_tickets.py::test_of_fifty_streams_with_a_ticket_at_once_one_is_opened",),
    ),
    Mutant(
        "ticket: resumed with any token",
        TICKETS,
        "held.resume_hash = :resume_hash AND",
        ":resume_hash::bytea IS NOT NULL AND",
        (_resuming("test_a_stream_is_not_resumed_without_its_resume_token"),),
    ),
    Mutant(
        "ticket: opens a stream after its token has expired",
        TICKETS,
        " AND coalesce(held.token_expires_at > now(), true)",
        "",
        ("tests/streams/test_tickets.py::test_a_ticket_is_worth_nothing_once_its_token_has_expired",),
    ),
    Mutant(
        "ticket: resumes a stream after its token has expired",
        TICKETS,
        " AND coalesce(held.token_expires_at > now(), true)",
        "",
        (_resuming("test_a_stream_is_not_resumed_once_the_token_of_its_ticket_has_expired"),),
    ),
    Mutant(
        "stream: one by a ticket outlives its token",
        TICKETS,
        "None if expires_at is None else expires_at.timestamp()",
        "None",
        (
            "tests/streams/test_admission.py"
            "::test_streams_opened_by_a_ticket_end_when_the_token_behind_it_has_expired",
        ),
    ),
    Mutant(
        "ticket: resumes another stream",
        TICKETS,
        'f"{resume_token} {path}"',
        "resume_token",
        (_resuming("test_a_stream_is_not_resumed_without_its_resume_token"),),
    ),
    Mutant(
        "stream: an ended one that was seen is opened again",
        STREAM_ROUTES,
        "    if follower is None:",
        "    if False:",
        (
            "tests/streams/test_sse.py::"
            "test_a_finished_job_that_was_seen_to_its_end_is_answered_with_no_content",
        ),
    ),
    # HTTP
    Mutant(
        "HEAD: the body goes on for ever",
        METHODS,
        '            if message.get("more_body", False):\n                raise _HeadSent',
        "            return",
        ("tests/http/test_methods.py::test_head_does_not_read_what_it_will_not_send",),
    ),
    Mutant(
        "body: any content type",
        BODY_ERRORS,
        "    if (wrong := _wrong_media_type(scope)) is not None:",
        "    if (wrong := None) is not None:",
        (_body_errors("test_a_body_that_is_not_said_to_be_json_is_told_what_to_say"),),
    ),
    Mutant(
        "body: inflates beyond its limit",
        ENCODINGS,
        "            if self._inflated_bytes > limit:",
        "            if False:",
        (_body_errors("test_the_limit_of_a_body_holds_for_what_it_inflates_to"),),
    ),
    Mutant(
        "body: what it inflates to is not counted",
        ENCODINGS,
        "            self._hold(self._inflated_bytes)\n",
        "",
        ("tests/http/test_held_bodies.py::test_a_body_counts_with_what_is_held_of_it",),
    ),
    Mutant(
        "body: one that may be large is not counted as a small one",
        "app/http/middleware.py",
        "body.allow(max_bytes, body.bounds.seconds, counted_bytes=body.bounds.max_bytes)",
        "body.allow(max_bytes, body.bounds.seconds)",
        ("tests/http/test_held_bodies.py::test_a_body_counts_with_what_is_held_of_it",),
    ),
    Mutant(
        "body: inflates to any multiple",
        ENCODINGS,
        "            if self._inflated_bytes > FREE_BYTES + MAX_RATIO * self._received_bytes:",
        "            if False:",
        (_body_errors("test_a_body_that_inflates_to_far_more_than_was_sent_is_refused"),),
    ),
    Mutant(
        "upload: what is no text is read as one",
        RECEIVING,
        "            if (reason := signatures.foreign(piece)) is not None:",
        "            if (reason := None) is not None:",
        ("tests/datasets/test_causes.py::test_what_is_no_text_is_named",),
    ),
    *of_data.MUTANTS,
    *PREPROCESSING_GUARDS,
    *of_traces.MUTANTS,
    *of_metrics.MUTANTS,
    *of_names.MUTANTS,
    *REPORT_GUARDS,
    *SCHEDULE_GUARDS,
    *ENGINE_GUARDS,
    *FIRING_GUARDS,
    *FOLD_GUARDS,
    *FORKING_GUARDS,
    *GPU_GUARDS,
    *USAGE_GUARDS,
    *DRAFT_GUARDS,
    *DRIFT_GUARDS,
    *BULK_GUARDS,
    *QUEUE_GUARDS,
    *RAY_GUARDS,
    *LOG_GUARDS,
    *PICKUP_GUARDS,
)
