"""Guards of preprocessing: what is refused, which rows are kept, and what a resumed job repeats."""

from typing import Final

from tests.mutants.mutant import Mutant

CHECKING: Final = "app/jobs/preprocessing/checking.py"
HANDLER: Final = "worker/handlers/preprocess_dataset.py"


def _checked(test: str) -> tuple[str, ...]:
    return (f"tests/jobs/preprocessing/test_checking.py::{test}",)


def _http(test: str) -> tuple[str, ...]:
    return (f"tests/jobs/preprocessing/test_http.py::{test}",)


def _step(test: str) -> tuple[str, ...]:
    return (f"tests/worker/preprocessing/test_steps.py::{test}",)


_REFUSED: Final = _checked("test_what_does_not_fit_is_refused_with_the_step_and_the_field")
_RESUMED: Final = (
    "tests/worker/preprocessing/test_resume.py::test_wherever_it_was_interrupted_the_files_are_the_same",
)

PREPROCESSING_GUARDS: Final = (
    Mutant(
        "preprocessing: a split may come before other steps",
        CHECKING,
        "        if isinstance(step, Split) and number < len(steps):",
        "        if False:",
        _checked("test_a_split_is_the_last_step"),
    ),
    Mutant(
        "preprocessing: any type can be cast to any other",
        CHECKING,
        "        if step.to not in CASTS[columns[name]]:",
        "        if False:",
        _REFUSED,
    ),
    Mutant(
        "preprocessing: two columns may have the same name",
        CHECKING,
        '    if name in columns:\n        reject(field, f"more than',
        '    if False:\n        reject(field, f"more than',
        _REFUSED,
    ),
    Mutant(
        "preprocessing: the value of a condition is not checked",
        CHECKING,
        "        if value is None or (fault := value_fault(value, kind)) is not None:",
        "        if False:",
        _REFUSED,
    ),
    Mutant(
        "preprocessing: a missing value is not one of those",
        "worker/preprocessing/row_steps.py",
        "pc.and_(pc.invert(flags), pc.is_valid(values))",
        "pc.invert(flags)",
        _step("test_a_filter_keeps_the_rows_that_meet_its_condition"),
    ),
    Mutant(
        "preprocessing: rows of earlier chunks are forgotten",
        "worker/preprocessing/digests.py",
        "            found |= is_in(digests, array)",
        "            pass",
        _step("test_of_equal_rows_the_first_is_kept"),
    ),
    Mutant(
        "preprocessing: a sample goes on counting where its survey ended",
        "worker/preprocessing/row_steps.py",
        '        """Begin with the first row again."""\n        self._position = 0',
        '        """Begin with the first row again."""',
        _step("test_a_sample_has_the_size_that_was_asked_for_and_keeps_the_order"),
    ),
    Mutant(
        "preprocessing: a split divides equal keys",
        "worker/preprocessing/splitting.py",
        "            parts += found >= np.array(cut, found.dtype)",
        "            parts += found > np.array(cut, found.dtype)",
        _step("test_a_split_loses_no_row_and_its_parts_have_their_sizes"),
    ),
    Mutant(
        "preprocessing: a join multiplies rows in silence",
        "worker/preprocessing/joining.py",
        "        if len(repeated):",
        "        if False:",
        _step("test_a_join_that_would_multiply_rows_fails"),
    ),
    Mutant(
        "preprocessing: a cast to an integer reads anything that Python does",
        "worker/preprocessing/casting.py",
        "        if not _INTEGER.fullmatch(text):\n            raise ValueError(value)\n",
        "",
        _step("test_a_value_that_would_lose_something_fails_the_job_or_becomes_missing"),
    ),
    Mutant(
        "preprocessing: a number may differ from its integer",
        "worker/preprocessing/casting.py",
        "if not math.isfinite(number) or (isinstance(value, int) and int(number) != value):",
        "if not math.isfinite(number):",
        _step("test_a_value_that_would_lose_something_fails_the_job_or_becomes_missing"),
    ),
    Mutant(
        "preprocessing: any number of values is counted",
        "worker/preprocessing/filling.py",
        "        if len(counts) > self._max_distinct:",
        "        if False:",
        _step("test_too_many_distinct_values_are_refused"),
    ),
    Mutant(
        "preprocessing: any number of strata is held",
        "worker/preprocessing/splitting.py",
        "        if len(codes) > self._max_distinct:",
        "        if False:",
        _step("test_too_many_distinct_values_are_refused"),
    ),
    Mutant(
        "preprocessing: a resumed job commits units again",
        HANDLER,
        "        if work.unit <= job.resume.batch:",
        "        if False:",
        (
            "tests/worker/preprocessing/test_resume.py"
            "::test_units_since_the_last_checkpoint_are_repeated_but_not_committed_again",
        ),
    ),
    Mutant(
        "preprocessing: a checkpoint lacks the rows so far",
        HANDLER,
        "        checkpoints.write(path, state, (spool.path for spool in self._spools.values()))",
        "        checkpoints.write(path, state, ())",
        _RESUMED,
    ),
    Mutant(
        "preprocessing: a joined dataset can be deleted under its job",
        "app/datasets/queries.py",
        "AND EXISTS (SELECT FROM jsonb_each(j.files) file WHERE file.value ->> 'key' = :rows_key)",
        "AND :rows_key::text IS NULL",
        _http("test_no_dataset_that_an_unfinished_job_reads_can_be_deleted"),
    ),
    Mutant(
        "preprocessing: a job is retried without a joined dataset",
        "app/jobs/inputs.py",
        "WHERE file.value ->> 'key' LIKE 'datasets/%' AND NOT EXISTS (",
        "WHERE false AND NOT EXISTS (",
        _http("test_no_dataset_that_an_unfinished_job_reads_can_be_deleted"),
    ),
    Mutant(
        "quota: what a completion registers goes unchecked far below",
        "worker/report_writer.py",
        "return waiting.completion is not None or not self._quota.is_far_below(owner_id)",
        "return not self._quota.is_far_below(owner_id)",
        (
            "tests/worker/test_completions.py::test_a_completion_is_held_to_the_quota_however_far_below_it_was",
        ),
    ),
)
