"""The guards of the statistics: each attempt counts once, and figures show what their reader may see."""

from typing import Final

from tests.mutants.mutant import Mutant

FOLDING: Final = "app/analytics/folding.py"
QUERIES: Final = "app/analytics/queries.py"
FACTS: Final = "app/analytics/facts.py"


def _mutant(name: str, path: str, text: str, replacement: str, *tests: str) -> Mutant:
    return Mutant(f"analytics: {name}", path, text, replacement, tuple(f"tests/{test}" for test in tests))


def _fold(name: str, text: str, replacement: str, test: str) -> Mutant:
    return _mutant(name, FOLDING, text, replacement, f"analytics/test_folding.py::{test}")


ANALYTICS_GUARDS: Final = (
    _fold(
        "the watermark is not locked",
        "FROM system_stats FOR UPDATE",
        "FROM system_stats",
        "test_two_processes_that_fold_at_once_count_once",
    ),
    _fold(
        "the watermark stays",
        "await _MOVE.execute(connection, until=until)\n        return until",
        "return until",
        "test_a_fold_whose_reply_is_lost_is_not_repeated",
    ),
    _fold(
        "transactions that write are passed",
        "least(now() - :longest::interval, o.writing_since)",
        "now() - :longest::interval",
        "test_an_attempt_that_commits_late_is_not_skipped",
    ),
    _fold(
        "open transactions are passed",
        "least(now() - :margin::interval, o.since)",
        "now() - :margin::interval",
        "test_the_fold_stays_behind_a_transaction_that_may_still_write",
    ),
    _fold(
        "ends are kept",
        "DELETE FROM job_ends WHERE {_WITHIN}",
        "SELECT FROM job_ends WHERE {_WITHIN}",
        "test_two_processes_that_fold_at_once_count_once",
    ),
    _fold(
        "a round is as long as it is",
        "            until = halved\n",
        "            break\n",
        "test_a_round_is_bounded_and_the_next_one_goes_on",
    ),
    _mutant(
        "a moved watermark is not noticed",
        QUERIES,
        'if rows[0]["folded_until"] == folded_until:',
        "if rows:",
        "analytics/test_reading.py::test_a_fold_between_the_watermark_and_the_figures_changes_nothing",
    ),
    _mutant(
        "attempts that are not folded yet are left out",
        QUERIES,
        'NOT_FOLDED: Final = "ended_at >= :folded_until AND',
        'NOT_FOLDED: Final = "ended_at >= :folded_until AND false AND',
        "analytics/test_exact.py::test_a_job_that_has_just_ended_counts_at_once_and_once",
    ),
    _mutant(
        "attempts of other users count",
        QUERIES,
        'OR owner_id = :owner_id)"',
        'OR :owner_id IS NOT NULL)"',
        "analytics/test_http.py::test_nobody_sees_names_ids_or_errors_of_others",
    ),
    _mutant(
        "jobs cancelled while they waited are left out",
        "app/jobs/transition_statements.py",
        "FROM changed j WHERE j.status = 'cancelled'\n), logged",
        "FROM changed j WHERE false\n), logged",
        "analytics/test_http.py::test_task_analytics",
    ),
    _mutant(
        "jobs that are not folded are deleted",
        "app/jobs/commands.py",
        "WHERE {selected} AND {_IS_FOLDED} AND parent_id",
        "WHERE {selected} AND parent_id",
        "analytics/test_folding.py::test_jobs_that_are_not_folded_are_not_pruned",
    ),
    _mutant(
        "everyone sees the figures of all users",
        "app/analytics/service.py",
        "    caller.ensure(Permission.OPERATE)\n",
        "",
        "analytics/test_http.py::test_all_users_are_for_operators",
    ),
    _mutant(
        "ids of the jobs of others are shown",
        "app/jobs/workers/routes.py",
        "job.id if user.reach in (None, job.owner_id) else None",
        "job.id",
        "analytics/test_http.py::test_workers",
    ),
    _mutant(
        "host and process are shown to everyone",
        "app/jobs/workers/routes.py",
        "    if user.is_admin:\n",
        "    if user:\n",
        "analytics/test_http.py::test_workers",
    ),
)
