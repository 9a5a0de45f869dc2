"""Guards of what readers and lists show of jobs with shards."""

from typing import Final

from tests.mutants.mutant import Mutant

_SNAPSHOTS: Final = "app/jobs/snapshots.py"


def _results(name: str) -> tuple[str, ...]:
    return (f"tests/jobs/shards/test_results.py::{name}",)


def _visibility(name: str) -> tuple[str, ...]:
    return (f"tests/jobs/shards/test_visibility.py::{name}",)


SHARD_READING_GUARDS: Final = (
    Mutant(
        "shards: a reader passes a gap while the job runs",
        _SNAPSHOTS,
        "if shard.first_row != rows_ready:",
        "if False:",
        _results("test_while_it_runs_rows_come_up_to_the_first_one_that_is_missing"),
    ),
    Mutant(
        "shards: rows behind a gap are never read",
        _SNAPSHOTS,
        "all_shards if is_complete else all_shards[:ready]",
        "all_shards[:ready]",
        _results("test_after_it_ended_every_row_there_is_comes_with_its_index"),
    ),
    Mutant(
        "shards: rows with a gap look like as many without",
        _SNAPSHOTS,
        'gaps = "" if self.rows == self.rows_ready else "-gaps"',
        'gaps = ""',
        ("tests/jobs/test_snapshots.py::test_rows_with_a_gap_never_have_the_version_of_as_many_without",),
    ),
    Mutant(
        "shards: rows are numbered anew in each shard",
        "app/jobs/results.py",
        "first_row=shard.first_row + batch.first_row",
        "first_row=batch.first_row",
        _results("test_while_it_runs_rows_come_up_to_the_first_one_that_is_missing"),
    ),
    Mutant(
        "results: what is left of deleted ones looks whole",
        "app/jobs/results.py",
        "raise ResultsExpired(job_id=str(shard.job_id))",
        "return",
        _results("test_results_that_are_deleted_during_a_download_break_it_off"),
    ),
    Mutant(
        "shards: a cursor without a shard is taken",
        "app/jobs/exports/routes.py",
        "(position[1] is not None) is not snapshot.is_sharded",
        "False",
        _results("test_a_cursor_names_a_shard_and_may_be_beyond_the_rows"),
    ),
    Mutant(
        "shards: lists have them",
        "app/jobs/selecting.py",
        "= [column.parent_id.is_(None)]",
        "= []",
        _visibility("test_lists_and_counts_have_the_job_alone"),
    ),
    Mutant(
        "shards: they are dead letters",
        "app/jobs/dead_letters/queries.py",
        " AND j.dismissed_at IS NULL AND j.parent_id IS NULL",
        " AND j.dismissed_at IS NULL",
        _visibility("test_a_failed_shard_is_no_dead_letter_and_needs_no_attention"),
    ),
    Mutant(
        "shards: a search finds them",
        "app/search/queries.py",
        "j.parent_id IS NULL AND j.id BETWEEN",
        "j.id BETWEEN",
        _visibility("test_a_shard_is_not_found_by_its_id"),
    ),
    Mutant(
        "shards: one is cancelled alone",
        "app/jobs/service.py",
        "if job.parent_id is not None:",
        "if False:",
        ("tests/jobs/shards/test_routes.py::test_what_is_about_the_whole_job_names_that_job",),
    ),
    Mutant(
        "shards: a bulk action changes one",
        "app/jobs/bulk_actions/service.py",
        "elif candidate.is_shard:",
        "elif False:",
        _visibility("test_a_bulk_action_refuses_a_shard_and_selects_none"),
    ),
    Mutant(
        "shards: workers show them as jobs",
        "app/jobs/workers/queries.py",
        "'id', coalesce(j.parent_id, j.id)",
        "'id', j.id",
        _visibility("test_a_worker_shows_the_job_and_the_number_of_the_shard"),
    ),
    Mutant(
        "shards: each needs attention",
        "app/attention/queries.py",
        "count(DISTINCT id) AS count, min(run_at)",
        "count(*) AS count, min(run_at)",
        _visibility("test_a_queue_that_no_worker_serves_is_told_of_the_job_not_of_each_shard"),
    ),
    Mutant(
        "shards: a reader of the log passes lines that come later",
        "app/jobs/logs/queries.py",
        "(:is_complete OR at < now() - {_HELD_BACK})",
        "(:is_complete OR true)",
        _visibility("test_the_log_of_a_running_job_holds_back_what_other_workers_may_still_precede"),
    ),
    Mutant(
        "shards: a reader of the log misses lines of one instant",
        "app/jobs/logs/queries.py",
        "ROWS WITH TIES",
        "ROWS ONLY",
        _visibility("test_lines_of_one_instant_are_on_one_page"),
    ),
)
