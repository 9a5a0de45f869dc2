"""The guards of drift: what counts as a difference, and what is counted once."""

from typing import Final

from tests.mutants.mutant import Mutant

STATISTICS: Final = "worker/drift/statistics.py"
COMPARISON: Final = "worker/drift/comparison.py"
PROFILE: Final = "worker/drift/profile.py"

_STATISTICS: Final = "tests/worker/drift/test_statistics.py::"
_COMPARISON: Final = "tests/worker/drift/test_comparison.py::"

DRIFT_GUARDS: Final = (
    Mutant(
        "drift: a shift by chance counts",
        STATISTICS,
        "return Shift(psi, max(MIN_PSI, by_chance))",
        "return Shift(psi, MIN_PSI)",
        (_STATISTICS + "test_few_rows_need_a_larger_index_than_many",),
    ),
    Mutant(
        "drift: a small shift counts",
        STATISTICS,
        "return Shift(psi, max(MIN_PSI, by_chance))",
        "return Shift(psi, by_chance)",
        (_STATISTICS + "test_a_small_shift_of_many_rows_does_not_count",),
    ),
    Mutant(
        "drift: a few rows are compared",
        STATISTICS,
        "    if min(rows_trained, rows_given) < MIN_ROWS:\n        return None\n",
        "    if min(rows_trained, rows_given) < 1:\n        return None\n",
        (_STATISTICS + "test_too_few_rows_are_not_compared",),
    ),
    Mutant(
        "drift: each rare category is compared alone",
        STATISTICS,
        "    bins = _merge_rare(trained, given, rows_given / rows_trained)\n",
        "    bins = list(zip(trained, given, strict=True))\n",
        (_STATISTICS + "test_a_shift_from_a_frequent_category_to_many_rare_ones_counts",),
    ),
    Mutant(
        "drift: a chance of the missing values counts",
        STATISTICS,
        "difference >= MIN_MORE_MISSING and difference > deviation * _normal(FALSE_ALARMS / comparisons)",
        "difference >= MIN_MORE_MISSING",
        (_STATISTICS + "test_missing_values_count_from_five_points_on_that_are_no_chance",),
    ),
    Mutant(
        "drift: new categories count where they are usual",
        STATISTICS,
        "max(MIN_UNSEEN_SHARE, 3 * expected)",
        "MIN_UNSEEN_SHARE",
        (_STATISTICS + "test_where_rare_categories_are_usual_new_ones_are_expected",),
    ),
    Mutant(
        "drift: categories beyond those that are listed are called new",
        COMPARISON,
        "    if not isinstance(known, Categories) or not known.are_all:\n",
        "    if not isinstance(known, Categories):\n",
        (_COMPARISON + "test_with_many_categories_none_is_called_new",),
    ),
    Mutant(
        "drift: new categories are kept without a bound",
        COMPARISON,
        "        if name in counts.unseen or len(counts.unseen) < MAX_UNSEEN:\n",
        "        if True:\n",
        (_COMPARISON + "test_the_counts_have_a_bounded_size",),
    ),
    Mutant(
        "drift: an attempt that resumes begins to count anew",
        "worker/handlers/batch_predict.py",
        "Comparison.from_checkpoint(found, names, job.resume.checkpoint)",
        "Comparison.from_checkpoint(found, names, None)",
        ("tests/worker/handlers/test_drift.py::test_an_attempt_that_resumes_counts_each_row_once",),
    ),
    Mutant(
        "drift: the numbers of a profile need not fit together",
        PROFILE,
        "    return profile if _is_sound(profile) else None\n",
        "    return profile\n",
        (_COMPARISON + "test_what_is_no_profile_is_ignored",),
    ),
    Mutant(
        "evaluations: users see those of others",
        "app/models/evaluations/queries.py",
        "WHERE e.owner_id = :user_id AND",
        "WHERE :user_id::uuid IS NOT NULL AND",
        ("tests/models/test_evaluations.py::test_users_see_their_own_of_a_public_model",),
    ),
)
