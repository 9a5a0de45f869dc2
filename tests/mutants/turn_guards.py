"""The guards of the claim: which jobs it may take, and whose turn it is. Both orders share what is due."""

from typing import Final

from tests.mutants.mutant import Mutant

TURNS: Final = "app/jobs/turns.py"
QUEUES: Final = "app/jobs/queues/queries.py"
_LANE: Final = "tests/e2e/test_lane.py::"

_DUE: Final = "j.queue = :queue AND j.status = 'pending' AND j.sort_key <= now() AND j.run_at <= now()\""
_KIND: Final = "AND j.kind = ANY (:kinds::text[])"
_IN_ORDER: Final = "ORDER BY j.sort_key, j.id LIMIT {limit}\n    FOR UPDATE SKIP LOCKED"
_IN_TURN: Final = "ORDER BY c.place LIMIT :limit\n    FOR UPDATE OF j SKIP LOCKED"
_AT_ONCE: Final = ("tests/jobs/test_transitions.py::test_two_workers_that_claim_at_once_get_different_jobs",)


def _transition(test: str) -> str:
    return f"tests/jobs/test_transitions.py::{test}"


def _turns(test: str) -> str:
    return f"tests/jobs/test_turns.py::{test}"


def _claim(name: str, text: str, replacement: str, *tests: str) -> Mutant:
    return Mutant(f"claim: {name}", TURNS, text, replacement, tests)


TURN_GUARDS: Final = (
    # What may be claimed, in both orders
    _claim(
        "any status",
        _DUE,
        _DUE.replace(" AND j.status = 'pending'", ""),
        _transition("test_many_claims_at_once_give_each_job_to_one_worker"),
    ),
    _claim(
        "any queue",
        _DUE,
        _DUE.replace("j.queue = :queue", ":queue::text IS NOT NULL"),
        _transition("test_a_worker_gets_nothing_from_another_queue"),
    ),
    _claim(
        "any kind",
        _KIND,
        "AND :kinds::text[] IS NOT NULL",
        _transition("test_a_worker_gets_no_kind_that_it_does_not_know"),
    ),
    _claim(
        "due or not",
        _DUE,
        _DUE.replace(" AND j.run_at <= now()", ""),
        _transition("test_a_delayed_job_is_not_claimed_before_it_is_due"),
    ),
    # Locks
    _claim("in order, waits for others' locks", _IN_ORDER, _IN_ORDER.replace(" SKIP LOCKED", ""), *_AT_ONCE),
    _claim("in order, takes no locks", _IN_ORDER, _IN_ORDER.partition("\n")[0], *_AT_ONCE),
    _claim("in turn, waits for others' locks", _IN_TURN, _IN_TURN.replace(" SKIP LOCKED", ""), *_AT_ONCE),
    _claim("in turn, takes no locks", _IN_TURN, _IN_TURN.partition("\n")[0], *_AT_ONCE),
    _claim(
        "in turn, what was claimed meanwhile",
        "ON j.id = c.id AND j.status = 'pending'",
        "ON j.id = c.id",
        _turns("test_a_job_that_was_claimed_between_choosing_and_locking_is_not_claimed_again"),
    ),
    # Order
    _claim(
        "in no order",
        _IN_ORDER,
        _IN_ORDER.replace("j.sort_key, ", ""),
        "tests/jobs/test_transition_locks.py::test_a_single_slot_gets_the_most_urgent_job",
    ),
    _claim(
        "in turn, an owner's jobs in no order",
        "row_number() OVER (ORDER BY j.sort_key, j.id)",
        "row_number() OVER (ORDER BY j.id)",
        _turns("test_within_an_owner_jobs_start_by_priority_and_due_time"),
    ),
    _claim(
        "in turn, the last start does not count",
        "greatest(head.run_at, latest.attempt_started_at)",
        "head.run_at",
        _turns("test_ten_owners_take_turns_on_one_slot_however_long_their_jobs_have_been_due"),
    ),
    _claim(
        "in turn, running jobs do not count",
        "+ held.jobs / u.share * interval '1 hour' AS turn",
        "AS turn",
        _turns("test_running_jobs_of_all_queues_count"),
        _turns("test_short_and_long_jobs_hold_the_slots_equally_long"),
    ),
    _claim(
        "in turn, all shares are equal",
        "+ held.jobs / u.share * interval",
        "+ held.jobs * interval",
        _turns("test_of_six_slots_one_with_twice_the_share_gets_four"),
    ),
    _claim(
        "in turn, a long wait is good for several jobs at once",
        "ELSE now() + (t.held",
        "ELSE t.turn + (t.held",
        _turns("test_one_who_has_waited_for_hours_gets_no_more_of_what_is_claimed_at_once"),
    ),
    _claim(
        "in turn, owners at their limit are among the candidates",
        "SELECT * FROM turns WHERE NOT is_at_limit",
        "SELECT * FROM turns WHERE true",
        _turns("test_owners_at_their_limit_have_no_turn_however_many_they_are"),
    ),
    _claim(
        "in order, owners at their limit",
        "others if is_limited else UNLIMITED",
        "'true'",
        _turns("test_owners_at_their_limit_have_no_turn_however_many_they_are"),
    ),
    Mutant(
        "claim: slots stay idle while the candidates are locked",
        "app/jobs/transitions.py",
        "    if len(rows) < limit and not _are_all(rows):",
        "    if order is ClaimOrder.PRIORITY:",
        (
            _turns("test_a_slot_does_not_stay_idle_while_another_claim_locks_the_candidates"),
            _turns("test_more_owners_than_can_take_turns_are_served_in_order"),
        ),
    ),
    Mutant(
        "claim: a worker knows one order only",
        "worker/claimer.py",
        "                order=self._order,\n",
        "",
        ("tests/worker/test_claimer.py::test_a_worker_claims_in_the_order_that_is_set",),
    ),
    # The lane of predictions
    Mutant(
        "lane: a worker has none",
        "worker/main.py",
        "((identity.queues, identity.slots), ((lane.QUEUE,), identity.predict_slots))",
        "((identity.queues, identity.slots),)",
        (_LANE + "test_a_prediction_is_answered_while_another_job_takes_the_only_slot",),
    ),
    Mutant(
        "lane: other jobs take its slot",
        "worker/main.py",
        "((lane.QUEUE,), identity.predict_slots)",
        "(identity.queues, identity.predict_slots)",
        (_LANE + "test_a_prediction_is_answered_while_another_job_takes_the_only_slot",),
    ),
    Mutant(
        "lane: a drain does not wait for it",
        "worker/main.py",
        "            for consumer in consumers:\n",
        "            for consumer in consumers[:1]:\n",
        ("tests/worker/test_consumer.py::test_a_drain_waits_for_the_slots_of_all_consumers",),
    ),
    Mutant(
        "lane: predictions enter it while no worker serves it",
        "app/jobs/predictions/service.py",
        "lane.QUEUE if has_lane else None",
        "lane.QUEUE",
        ("tests/jobs/test_lane.py::test_without_such_a_worker_it_waits_with_the_others",),
    ),
    Mutant(
        "lane: a prediction in it takes a slot from other jobs",
        QUEUES,
        "b.jobs - b.in_lane AS slots",
        "b.jobs AS slots",
        ("tests/jobs/test_lane.py::test_a_prediction_in_the_lane_takes_no_slot_from_other_jobs",),
    ),
    Mutant(
        "lane: its slots are told of other queues",
        "app/operations/queries.py",
        "f.slots + CASE WHEN name = '{lane.QUEUE}' THEN f.predict_slots ELSE 0 END AS slots",
        "f.slots + f.predict_slots AS slots",
        ("tests/jobs/test_lane.py::test_the_slots_of_a_queue_are_those_that_it_can_have",),
    ),
    # What is told
    Mutant(
        "position: owners at their limit are ahead",
        QUEUES,
        "WHEN is_at_limit OR NOT is_before THEN 0",
        "WHEN NOT is_before THEN 0",
        (_turns("test_a_position_passes_over_owners_at_their_limit"),),
    ),
    Mutant(
        "position: of equal turns, all are ahead",
        QUEUES,
        "WHEN wins_ties THEN",
        "WHEN true THEN",
        (
            _turns("test_the_positions_are_the_order_in_which_jobs_start"),
            _turns("test_the_positions_are_the_order_in_which_slots_are_filled"),
        ),
    ),
    Mutant(
        "claim: a job that another has locked is forgotten",
        "app/jobs/transitions.py",
        'rows[0]["candidates"] == len(rows) < CANDIDATES',
        'rows[0]["candidates"] < CANDIDATES',
        (_turns("test_a_job_that_another_claim_has_locked_is_looked_for_again"),),
    ),
    Mutant(
        "claim: the candidates are all there is",
        "app/jobs/transitions.py",
        'rows[0]["candidates"] == len(rows) < CANDIDATES',
        'rows[0]["candidates"] == len(rows)',
        (_turns("test_the_rest_is_looked_for_only_where_there_may_be_one"),),
    ),
    Mutant(
        "claim: what is not there is looked for",
        "app/jobs/transitions.py",
        "if len(rows) < limit and not _are_all(rows):",
        "if len(rows) < limit:",
        (_turns("test_the_rest_is_looked_for_only_where_there_may_be_one"),),
    ),
    Mutant(
        "share: an administrator breaks the turns with a share of nothing",
        "app/auth/users/schemas.py",
        "Field(ge=MIN_SHARE, le=MAX_SHARE, allow_inf_nan=False)",
        "Field(le=MAX_SHARE, allow_inf_nan=False)",
        ("tests/auth/users/test_http.py::test_an_administrator_sets_the_share_of_a_user",),
    ),
)
