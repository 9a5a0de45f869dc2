"""The guards of folds over many workers: what a fold holds out, who settles a trial, and what it is worth."""

from typing import Final

from tests.mutants.mutant import Mutant

LEADER: Final = "app/jobs/searches/leader.py"
LEADERBOARD: Final = "app/jobs/searches/leaderboard.py"
SCORES: Final = "app/jobs/searches/fold_scores.py"
COMPLETION: Final = "app/jobs/trainings/completion.py"
QUERIES: Final = "app/jobs/groups/queries.py"
REQUEST: Final = "app/jobs/kinds/train_model.py"
SPLIT: Final = "worker/training/split.py"


def _leader(*tests: str) -> tuple[str, ...]:
    return tuple(f"tests/jobs/searches/test_leader.py::{test}" for test in tests)


def _search(test: str) -> tuple[str, ...]:
    return (f"tests/jobs/test_searches.py::{test}",)


_AT_ONCE: Final = "test_of_two_jobs_that_complete_at_the_same_moment_the_second_settles_the_trial"
_MEAN: Final = "test_the_mean_over_the_folds_is_the_value_of_a_trial"
_NO_VALUE: Final = "test_a_fold_without_the_metric_leaves_the_trial_without_a_value"

FOLD_GUARDS: Final = (
    Mutant(
        "folds: jobs of a trial do not wait for each other",
        LEADER,
        "        await groups.lock_search(connection, job.group_id)\n",
        "        pass\n",
        _leader("test_jobs_of_many_trials_that_complete_at_once_settle_each_trial"),
    ),
    Mutant(
        "folds: a trial is settled before its last job",
        LEADER,
        "if len(others) < part.folds:",
        "if len(others) < part.folds - 1:",
        _leader(_MEAN),
    ),
    Mutant(
        "folds: a fold of another trial counts",
        QUERIES,
        "AND (j.params #>> '{part,trial}')::int = :trial",
        "AND :trial::int IS NOT NULL",
        _leader("test_the_metric_of_the_search_says_which_trial_is_best"),
    ),
    Mutant(
        "folds: a job that has not completed counts",
        QUERIES,
        "AND j.status = 'completed' AND j.id <> :job_id",
        "AND j.id <> :job_id",
        _leader(_MEAN),
    ),
    Mutant(
        "folds: a deleted version becomes the best",
        LEADER,
        "        return  # deleted in the meantime\n",
        "        pass\n",
        _leader("test_a_version_that_was_deleted_in_the_meantime_is_not_the_best"),
    ),
    Mutant(
        "folds: a worse mean takes the alias",
        LEADER,
        'if score is None or not is_better(metric, score.mean, search.get("best_value")):',
        "if score is None:",
        _leader("test_jobs_of_many_trials_that_complete_at_once_settle_each_trial"),
    ),
    Mutant(
        "folds: a mean leaves out folds",
        SCORES,
        "if not found or len(found) < len(values):",
        "if not found:",
        _leader(_NO_VALUE),
    ),
    Mutant(
        "folds: a trial is ranked before its last job",
        LEADERBOARD,
        "is_complete = status is Status.COMPLETED and len(jobs) == folds + 1",
        "is_complete = True",
        _leader("test_a_trial_has_no_value_without_its_version_or_without_one_of_its_folds"),
    ),
    Mutant(
        "folds: a trial of which a fold is deleted is ranked",
        LEADERBOARD,
        "status is Status.COMPLETED and len(jobs) == folds + 1",
        "status is Status.COMPLETED",
        _leader("test_a_trial_has_no_value_without_its_version_or_without_one_of_its_folds"),
    ),
    Mutant(
        "folds: the job of a fold registers a model",
        COMPLETION,
        "        return result\n",
        "        pass\n",
        _leader("test_a_fold_registers_nothing"),
    ),
    Mutant(
        "folds: inside one job and over many at once",
        REQUEST,
        '        if self.cv is not None:\n            raise ValueError(\n                "folds:',
        '        if False:\n            raise ValueError(\n                "folds:',
        _search("test_folds_that_do_not_fit_the_rest_are_refused"),
    ),
    Mutant(
        "folds: more than 1000 jobs",
        REQUEST,
        "if (jobs := trials * (self.folds + 1)) > MAX_JOBS:",
        "if (jobs := trials * self.folds) > MAX_JOBS:",
        _search("test_folds_that_do_not_fit_the_rest_are_refused"),
    ),
    Mutant(
        "folds: a fold promotes and keeps its rows",
        REQUEST,
        "changes = {} if part.fold is None else _ONLY_MEASURES",
        "changes: dict[str, Any] = {}",
        _search("test_a_training_with_folds_becomes_a_job_that_trains_and_one_for_each_fold"),
    ),
    Mutant(
        "folds: a fold is restored as a training",
        REQUEST,
        "if params.held_out_fold is not None:",
        "if False:",
        _search("test_the_request_of_a_fold_is_not_restored_but_that_of_the_training_is"),
    ),
    Mutant(
        "folds: all jobs hold out the same fold",
        SPLIT,
        "list(self.cross_validation(rows, of))[fold - 1]",
        "list(self.cross_validation(rows, of))[0]",
        ("tests/worker/training/test_split.py::test_the_folds_of_jobs_partition_the_rows",),
    ),
)
