"""The guards of paused queues: what is not claimed, who may pause, and what else looks at the pause."""

from typing import Final

from tests.mutants.mutant import Mutant

_TURNS: Final = "app/jobs/turns.py"
_HTTP: Final = "tests/jobs/queues/test_http.py::"
_CLAIM: Final = f"{_HTTP}test_no_job_of_a_paused_queue_is_claimed_until_it_is_resumed"
_ROUTES: Final = "app/jobs/queues/routes.py"
_NOT_PAUSED: Final = "AND NOT EXISTS (SELECT FROM paused_queues p WHERE p.name = "

QUEUE_GUARDS: Final = (
    Mutant(
        "paused queue: claimed in turn",
        _TURNS,
        "WHERE NOT is_at_limit AND {OPEN}",
        "WHERE NOT is_at_limit",
        (_CLAIM,),
    ),
    Mutant(
        "paused queue: claimed in order",
        _TURNS,
        "WHERE {OPEN} AND {CLAIMABLE}",
        "WHERE {CLAIMABLE}",
        (_CLAIM,),
    ),
    Mutant("paused queue: pauses every queue", _TURNS, " p WHERE p.name = :queue)", " p)", (_CLAIM,)),
    Mutant(
        "paused queue: gets wake tokens for ever",
        "app/maintenance/queries.py",
        f" {_NOT_PAUSED}q.name)",
        "",
        ("tests/maintenance/test_token_refill.py::test_a_paused_queue_gets_its_tokens_when_it_is_resumed",),
    ),
    Mutant(
        "paused queue: needs attention for want of a worker",
        "app/attention/queries.py",
        f"    {_NOT_PAUSED}queues.name)\n",
        "",
        (
            "tests/attention/test_routes.py"
            "::test_a_paused_queue_needs_the_attention_of_those_whose_jobs_wait_in_it",
        ),
    ),
    Mutant(
        "paused queue: needs everybody's attention",
        "app/attention/queries.py",
        "WHERE waiting.count > 0 ORDER BY p.paused_at",
        "ORDER BY p.paused_at",
        (
            "tests/attention/test_routes.py"
            "::test_a_paused_queue_needs_the_attention_of_those_whose_jobs_wait_in_it",
        ),
    ),
    Mutant(
        "paused queue: its jobs have an estimated start",
        "app/jobs/explanations.py",
        "    if EngineState.READY not in found.engine_states or found.pause is not None:",
        "    if EngineState.READY not in found.engine_states and found.pause is None:",
        (f"{_HTTP}test_the_owner_is_told_who_paused_the_queue_and_why",),
    ),
    Mutant(
        "paused queue: the autoscaler starts workers for it",
        "alembic/versions/0032_paused_queues.py",
        f"            {_NOT_PAUSED}wanted.queue)\n        ORDER BY",
        "        ORDER BY",
        (
            "tests/k8s/test_autoscaling_functions.py"
            "::test_due_jobs_of_a_paused_queue_need_no_slot_and_running_ones_do",
        ),
    ),
    Mutant(
        "paused queue: pages somebody at night",
        "app/operations/queries.py",
        "CASE WHEN p.name IS NULL THEN oldest_due_at END AS oldest_due_at",
        "oldest_due_at",
        (
            "tests/operations/test_metrics.py::test_due_jobs_of_a_paused_queue_are_not_late_and_need_no_worker",
        ),
    ),
    Mutant(
        "paused queue: is not recorded",
        _ROUTES,
        "            await audit.record(connection, actor_of(request, user), paused)\n",
        "            del paused\n",
        (f"{_HTTP}test_pausing_and_resuming_are_recorded_once_with_their_reason",),
    ),
    Mutant(
        "attention: everybody hears of loops and volumes",
        "app/attention/routes.py",
        "    if user.allows(Permission.ADMIN):",
        "    if True:",
        ("tests/attention/test_routes.py::test_administrators_hear_of_late_loops_and_of_a_full_volume",),
    ),
)
