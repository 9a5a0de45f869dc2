"""Every guard whose loss would be a bug in silence, and who has to notice."""

from typing import Final

from tests.mutants.mutant import Mutant

TRANSITIONS: Final = "app/jobs/transitions.py"
MIGRATION: Final = "alembic/versions/0002_jobs.py"
LEASES: Final = "app/jobs/leases.py"
QUOTA: Final = "app/jobs/quota.py"
DATABASE: Final = "app/core/database.py"
CONTACT: Final = "app/keeper/contact.py"
RESCUE: Final = "app/keeper/rescue.py"
KEEPER: Final = "app/keeper/keeper.py"
LEASE: Final = "worker/lease.py"
LEDGER: Final = "worker/ledger.py"
RUN_NEXT: Final = "worker/run_next.py"
TENANCY: Final = "worker/children/tenancy.py"

_TENANCY_TESTS: Final = "tests/worker/children/test_tenancy.py"
_CONFINED: Final = "tests/worker/children/test_confinement.py"
_FOLDER: Final = "tests/worker/test_worker_folder.py"

_FENCE = "AND j.attempt = r.attempt AND j.status = 'running' AND j.next_batch = r.first_batch"
_LEAVE_ONE = "WHERE id = $9 AND attempt = $10 AND status = 'running' FOR UPDATE"
_CLAIM = "WHERE queue = $1 AND status = 'pending' AND kind = ANY ($2::text[])"
_CANCEL = "WHERE j.id = $1 AND j.status IN ('pending', 'running') AND j.cancel_requested_at IS NULL"
_RETRY = "WHERE j.id = $1 AND j.status IN ('failed', 'cancelled') AND j.pruned_at IS NULL"
_BUDGET = "WHEN $4::boolean AND h.failures + 1 < h.max_attempts THEN 'pending'"
_COUNTERS = """    IF NEW.attempt < OLD.attempt OR NEW.last_seq < OLD.last_seq
        OR NEW.next_batch < OLD.next_batch
"""


def _transition(test: str) -> str:
    return f"tests/jobs/test_transitions.py::{test}"


def _guard(test: str) -> str:
    return f"tests/mutants/test_guards.py::{test}"


_STALE: Final = _transition("test_a_write_of_an_attempt_that_is_over_changes_nothing")
_REFUSED: Final = _transition("test_the_database_refuses_a_job_that_makes_no_sense")
_ENDED: Final = _transition("test_a_job_that_has_ended_does_not_change")
_MOVES: Final = _transition("test_the_database_accepts_the_legal_moves_and_no_others")
_FALLS: Final = _transition("test_the_counters_of_a_job_never_fall")
_ONCE: Final = _guard("test_the_database_itself_keeps_nothing_twice")
_FATE: Final = _guard("test_the_standing_of_a_job_tells_what_became_of_a_report")


def _sql(name: str, text: str, replacement: str, *tests: str) -> Mutant:
    return Mutant(name, TRANSITIONS, text, replacement, tests)


def _shape(name: str, text: str, replacement: str, *tests: str) -> Mutant:
    return Mutant(f"shape: {name}", MIGRATION, text, replacement, tests)


MUTANTS: Final = (
    # Claim
    _sql(
        "claim: any status",
        _CLAIM,
        _CLAIM.replace(" AND status = 'pending'", ""),
        _transition("test_many_claims_at_once_give_each_job_to_one_worker"),
    ),
    _sql(
        "claim: any queue",
        _CLAIM,
        _CLAIM.replace("queue = $1", "$1::text IS NOT NULL"),
        _transition("test_a_worker_gets_nothing_from_another_queue"),
    ),
    _sql(
        "claim: any kind",
        _CLAIM,
        _CLAIM.replace("kind = ANY ($2::text[])", "$2::text[] IS NOT NULL"),
        _transition("test_a_worker_gets_no_kind_that_it_does_not_know"),
    ),
    _sql(
        "claim: due or not",
        "AND sort_key <= now() AND run_at <= now()",
        "AND sort_key <= now()",
        _transition("test_a_delayed_job_is_not_claimed_before_it_is_due"),
    ),
    _sql(
        "claim: waits for others' locks",
        "LIMIT $4\n    FOR UPDATE SKIP LOCKED",
        "LIMIT $4\n    FOR UPDATE",
        _transition("test_two_workers_that_claim_at_once_get_different_jobs"),
    ),
    _sql(
        "claim: takes no locks",
        "LIMIT $4\n    FOR UPDATE SKIP LOCKED",
        "LIMIT $4",
        _transition("test_two_workers_that_claim_at_once_get_different_jobs"),
    ),
    _sql(
        "claim: in no order",
        "ORDER BY sort_key, id\n    LIMIT $4",
        "ORDER BY id\n    LIMIT $4",
        _guard("test_a_single_slot_gets_the_most_urgent_job"),
    ),
    _sql(
        "claim: the same attempt again",
        "attempt = j.attempt + 1",
        "attempt = greatest(j.attempt, 1)",
        _STALE,
    ),
    _sql(
        "claim: its event has no number of its own",
        "worker_id = $3, last_seq = j.last_seq + 1",
        "worker_id = $3, last_seq = j.last_seq",
        _transition("test_a_claim_gives_the_worker_all_it_needs"),
    ),
    _sql(
        "create: a start in the past",
        "greatest($16, now() + $17::interval, now())",
        "greatest($16, now() + $17::interval, CASE WHEN $16 IS NULL THEN now() END)",
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
    _sql("leave: any attempt", _LEAVE_ONE, _LEAVE_ONE.replace("attempt = $10", "$10::int > 0"), _STALE),
    _sql("leave: any status", _LEAVE_ONE, _LEAVE_ONE.replace("AND status = 'running' ", ""), _STALE),
    _sql(
        "leave: without the row's lock",
        _LEAVE_ONE,
        _LEAVE_ONE.removesuffix(" FOR UPDATE"),
        _guard("test_an_attempt_that_two_end_at_once_ends_once"),
    ),
    _sql(
        "leave: again after a cancel",
        "WHEN h.cancel_requested_at IS NOT NULL OR $8::boolean THEN 'cancelled'",
        "WHEN $8::boolean THEN 'cancelled'",
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
        _BUDGET.replace("$4::boolean", "($4::boolean OR true)"),
        _transition("test_an_error_that_is_never_retried_fails_the_job_at_once"),
    ),
    _sql(
        "leave: a release costs the budget",
        "failures = j.failures + $3::boolean::int",
        "failures = j.failures + 1",
        _transition("test_a_release_costs_nothing_of_the_budget"),
    ),
    _sql(
        "leave: a release can fail the job",
        "WHEN NOT $3::boolean THEN 'pending'",
        "WHEN false THEN 'pending'",
        _transition("test_a_release_costs_nothing_of_the_budget"),
    ),
    # Rescue
    _sql(
        "rescue: any status",
        "WHERE j.status = 'running'\n        AND now()",
        "WHERE now()",
        _guard("test_a_rescue_leaves_alone_what_does_not_run"),
    ),
    _sql(
        "rescue: whoever was ever seen",
        "WHERE w.id = j.worker_id AND w.seen_at > now() - $9::interval",
        "WHERE w.id = j.worker_id",
        _transition("test_the_jobs_of_a_silent_worker_go_on_elsewhere"),
    ),
    _sql(
        "rescue: from the living",
        "WHERE w.id = j.worker_id AND w.seen_at > now() - $9::interval",
        "WHERE w.id = j.worker_id AND w.seen_at > now() + $9::interval",
        _guard("test_a_worker_is_alive_until_a_lease_has_passed"),
    ),
    _sql(
        "rescue: by anybody's lease",
        "WHERE w.id = j.worker_id AND w.seen_at > now() - $9::interval",
        "WHERE w.seen_at > now() - $9::interval",
        _transition("test_the_jobs_of_a_living_worker_are_left_alone"),
    ),
    _sql(
        "rescue: right after a start of Postgres",
        "        AND now() > pg_postmaster_start_time() + $9::interval\n",
        "",
        _transition("test_nobody_is_rescued_from_while_postgres_is_up_for_less_than_a_lease"),
    ),
    _sql(
        "rescue: waits for others' locks",
        "LIMIT $10\n    FOR UPDATE SKIP LOCKED",
        "LIMIT $10\n    FOR UPDATE",
        _guard("test_a_rescue_passes_over_a_job_that_is_being_settled"),
    ),
    _sql(
        "rescue: takes no locks",
        "LIMIT $10\n    FOR UPDATE SKIP LOCKED",
        "LIMIT $10",
        _guard("test_a_rescue_passes_over_a_job_that_is_being_settled"),
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
        _guard("test_a_job_whose_rows_are_pruned_is_not_tried_again"),
    ),
    _sql(
        "retry: the cancel stays asked for",
        "status = 'pending', failures = 0, cancel_requested_at = NULL",
        "status = 'pending', failures = 0",
        _guard("test_a_cancelled_job_that_is_tried_again_can_complete"),
    ),
    _sql(
        "retry: the old batches stay",
        "DELETE FROM job_batches b USING moved j WHERE b.job_id = j.id AND $2",
        "DELETE FROM job_batches b USING moved j WHERE b.job_id = j.id AND $2 AND false",
        _transition("test_a_job_that_is_tried_from_its_start_has_nothing_left_of_what_it_did"),
    ),
    _sql(
        "retry: the old checkpoint stays",
        "DELETE FROM job_checkpoints c USING moved j WHERE c.job_id = j.id AND $2",
        "DELETE FROM job_checkpoints c USING moved j WHERE c.job_id = j.id AND $2 AND false",
        _transition("test_a_job_that_is_tried_from_its_start_has_nothing_left_of_what_it_did"),
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
    _shape(
        "runs nowhere",
        "CHECK ((status = 'running') = (worker_id IS NOT NULL))",
        "CHECK (true)",
        _REFUSED,
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
        '"SELECT FROM users WHERE id = $1 FOR NO KEY UPDATE"',
        '"SELECT FROM users WHERE id = $1"',
        (_guard("test_requests_at_the_same_moment_do_not_get_past_the_quota"),),
    ),
    Mutant(
        "quota: one too many",
        QUOTA,
        "if active + jobs > self._limit:",
        "if active > self._limit:",
        (_guard("test_requests_at_the_same_moment_do_not_get_past_the_quota"),),
    ),
    Mutant(
        "quota: always far below",
        QUOTA,
        "return count + SLACK < self._limit and",
        "return",
        (_guard("test_requests_at_the_same_moment_do_not_get_past_the_quota"),),
    ),
    # The lease, and who may judge it
    Mutant(
        "lease: seen only once",
        LEASES,
        "DO UPDATE SET seen_at = now()",
        "DO NOTHING",
        (_guard("test_a_renewal_says_that_the_worker_is_alive"),),
    ),
    Mutant(
        "lease: hears of everybody's jobs",
        LEASES,
        "FROM jobs WHERE worker_id = $1 AND status = 'running'",
        "FROM jobs WHERE status = 'running'",
        (_guard("test_a_worker_hears_of_its_own_jobs_only"),),
    ),
    Mutant(
        "grace: none",
        CONTACT,
        "self.clock() - self._since >= 2 * self.lease_seconds",
        "self.clock() - self._since >= 0",
        (_guard("test_whoever_has_just_come_may_not_judge"),),
    ),
    Mutant(
        "grace: one lease",
        CONTACT,
        ">= 2 * self.lease_seconds",
        ">= self.lease_seconds",
        (_guard("test_whoever_has_just_come_may_not_judge"),),
    ),
    Mutant(
        "grace: in spite of a break",
        CONTACT,
        "if self._last is None or now - self._last > self.lease_seconds / 2:",
        "if self._last is None:",
        (_guard("test_whoever_was_out_of_touch_starts_anew"),),
    ),
    Mutant(
        "grace: not asked for",
        RESCUE,
        "if not self.contact.is_long_enough:",
        "if False:",
        (_guard("test_a_keeper_that_has_just_started_rescues_nobody"),),
    ),
    Mutant(
        "grace: only whoever gets to do it is in touch",
        KEEPER,
        "rescue, rescue.contact.touch)",
        "rescue)",
        (_guard("test_a_keeper_that_leaves_the_duty_to_others_is_in_touch_all_the_same"),),
    ),
    Mutant(
        "lease: fenced jobs run on",
        LEASE,
        "if key not in listed:",
        "if False:",
        (_guard("test_a_job_that_was_taken_away_is_revoked"),),
    ),
    Mutant(
        "lease: cancels go unheard",
        LEASE,
        "elif listed[key].is_cancel_requested:",
        "elif False:",
        (_guard("test_a_job_whose_cancel_was_asked_for_is_revoked"),),
    ),
    Mutant(
        "lease: revokes what was not asked about",
        LEASE,
        "asked.items():",
        "list(self._held.items()):",
        (_guard("test_a_job_claimed_while_the_question_was_on_its_way_stays"),),
    ),
    Mutant(
        "lease: revokes what has ended",
        LEASE,
        "if key not in self._held:",
        "if False:",
        (_guard("test_a_job_that_ended_while_the_question_was_on_its_way_is_left_alone"),),
    ),
    Mutant(
        "lease: gives back what it does not know the first time",
        LEASE,
        "in unknown & self._unknown:",
        "in unknown:",
        (_guard("test_a_claim_that_nobody_here_knows_of_is_given_back_the_second_time"),),
    ),
    Mutant(
        "lease: never gives back what it does not know",
        LEASE,
        "in unknown & self._unknown:",
        "in unknown - unknown:",
        (_guard("test_a_claim_that_nobody_here_knows_of_is_given_back_the_second_time"),),
    ),
    Mutant(
        "lease: gives back what waits for its child",
        LEASE,
        " - self._held.keys() - self._claimed",
        " - self._held.keys()",
        (_guard("test_a_job_that_waits_for_its_child_is_not_given_back"),),
    ),
    Mutant(
        "transactions: a frozen process keeps its locks",
        DATABASE,
        '"idle_in_transaction_session_timeout": f"{IDLE_IN_TRANSACTION_SECONDS}s"',
        '"idle_in_transaction_session_timeout": "0"',
        (_guard("test_a_process_that_is_frozen_in_mid_transaction_loses_its_locks"),),
    ),
    Mutant(
        "database: a dying connection is an error like any other",
        DATABASE,
        "    asyncpg.InternalClientError,  #",
        "    #",
        (_guard("test_a_connection_that_was_told_of_its_end_counts_as_away"),),
    ),
    # What a worker makes of a lost reply, of a drain and of its child
    Mutant(
        "fate: any attempt",
        LEDGER,
        "if standing is None or standing.attempt != report.attempt:",
        "if standing is None:",
        (_FATE,),
    ),
    Mutant(
        "fate: any end is ours",
        LEDGER,
        "if report.is_final and standing.status in FINAL:",
        "if standing.status in FINAL:",
        (_FATE,),
    ),
    Mutant(
        "fate: no end is ours",
        LEDGER,
        "if report.is_final and standing.status in FINAL:",
        "if False:",
        (_FATE,),
    ),
    Mutant(
        "fate: whether it runs or not",
        LEDGER,
        "if standing.status is not Status.RUNNING:",
        "if False:",
        (_FATE,),
    ),
    Mutant(
        "fate: never sent again",
        LEDGER,
        "if standing.next_batch == report.first_batch:",
        "if False:",
        (_FATE,),
    ),
    Mutant(
        "fate: always sent again",
        LEDGER,
        "if standing.next_batch == report.first_batch:",
        "if standing.next_batch >= report.first_batch:",
        (_FATE,),
    ),
    Mutant(
        "fate: an end is applied in part",
        LEDGER,
        "if not report.is_final and standing.next_batch == report.first_batch + len(report.batches):",
        "if standing.next_batch == report.first_batch + len(report.batches):",
        (_FATE,),
    ),
    Mutant(
        "ledger: what was not applied counts as applied",
        LEDGER,
        "                    again.append(waiting)",
        "                    waiting.answer.set_result(None)",
        (_guard("test_a_report_that_was_lost_on_its_way_is_sent_again"),),
    ),
    Mutant(
        "ledger: whoever is fenced hears nothing of it",
        LEDGER,
        "waiting.answer.set_exception(Fenced())",
        "waiting.answer.set_result(None)",
        (_guard("test_a_report_of_an_attempt_that_is_over_is_answered_as_fenced"),),
    ),
    Mutant(
        "drain: jobs are still taken",
        RUN_NEXT,
        "        if self._is_draining:\n            return False",
        "        if False:\n            return False",
        (_guard("test_a_worker_that_drains_takes_nothing_more"),),
    ),
    Mutant(
        "worker: one attempt hides another at the same job",
        RUN_NEXT,
        "del self._running[job.id, job.attempt]",
        "self._running = {key: value for key, value in self._running.items() if key[0] != job.id}",
        (_guard("test_two_attempts_at_one_job_on_one_worker_are_kept_apart"),),
    ),
    Mutant(
        "child: batches in any order",
        RUN_NEXT,
        "if batch.index != first_batch + position:",
        "if False:",
        (_guard("test_a_child_that_leaves_a_batch_out_is_not_believed"),),
    ),
    # Children
    Mutant(
        "tenancy: a child serves any owner",
        TENANCY,
        "return (self.owner_id, self.permissions) == (other.owner_id, other.permissions)",
        "return self.permissions == other.permissions",
        (f"{_TENANCY_TESTS}::test_a_child_is_covered_by_owner_permissions_and_files_alike",),
    ),
    Mutant(
        "tenancy: a user's file binds nobody",
        TENANCY,
        "and not kind.permissions and not has_state",
        "and not kind.permissions",
        (f"{_TENANCY_TESTS}::test_whatever_comes_from_a_user_binds_the_child_to_the_owner",),
    ),
    Mutant(
        "tenancy: every kind shares children",
        TENANCY,
        "is_shared = kind.shares_children and",
        "is_shared =",
        (f"{_TENANCY_TESTS}::test_a_plugins_kind_is_bound_unless_it_says_otherwise",),
    ),
    Mutant(
        "pool: any idle child will do",
        "worker/children/pool.py",
        "child.tenancy is not None and child.tenancy.covers(tenancy)",
        "child.tenancy is not None",
        (f"{_CONFINED}::test_a_child_that_has_had_a_file_serves_one_owner",),
    ),
    Mutant(
        "pool: a child that failed works on",
        "worker/children/pool.py",
        "if child.has_failed and tenancy.owner_id is not None:",
        "if False:",
        (f"{_CONFINED}::test_a_child_whose_attempt_failed_is_not_used_again",),
    ),
    Mutant(
        "child: no filter of system calls",
        "app/core/sandbox/confinement.py",
        "    seccomp.apply(permissions)",
        "    pass",
        (f"{_CONFINED}::test_what_a_job_does_not_need_is_refused",),
    ),
    Mutant(
        "child: no Landlock",
        "app/core/sandbox/landlock.py",
        "    if not version():\n        return",
        "    if version():\n        return",
        (f"{_CONFINED}::test_what_a_job_does_not_need_is_refused",),
    ),
    Mutant(
        "child: files of any size",
        "app/core/sandbox/confinement.py",
        "    resource.setrlimit(resource.RLIMIT_FSIZE, (max_bytes, max_bytes))",
        "    pass",
        (f"{_CONFINED}::test_what_a_job_does_not_need_is_refused",),
    ),
    Mutant(
        "fork server: orphans live on",
        "worker/children/forkserver.py",
        "while orphans := _own_children() - self._children:",
        "while orphans := set[int]():",
        (f"{_CONFINED}::test_no_process_outlives_its_job",),
    ),
    Mutant(
        "child: starts before it is confined",
        "worker/children/child_handle.py",
        "            if not self.is_confined:\n                raise",
        "            if False:\n                raise",
        (f"{_CONFINED}::test_no_job_starts_in_a_child_that_is_not_confined",),
    ),
    Mutant(
        "files: a child's link is followed",
        "worker/files.py",
        "os.open(last, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=here)",
        "os.open(last, os.O_RDONLY | os.O_NONBLOCK, dir_fd=here)",
        (f"{_FOLDER}::test_only_a_plain_file_in_the_attempts_folder_is_kept",),
    ),
    Mutant(
        "files: an open folder will do",
        "worker/files.py",
        "if status.st_mode & 0o077:",
        "if False:",
        (f"{_FOLDER}::test_a_folder_that_others_may_enter_is_refused",),
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
        ("tests/worker/test_telemetry.py::test_the_import_of_onnx_runtime_stores_nothing",),
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
        ("tests/embedded/test_roles.py::test_nobody_gets_in_without_the_password",),
    ),
)
