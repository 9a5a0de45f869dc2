"""Guards of which data and which version of a model a name stands for."""

from typing import Final

from tests.mutants.mutant import Mutant

PROMOTION: Final = "tests/jobs/trainings/test_promotion.py"

MUTANTS: Final = (
    Mutant(
        "promotion: a worse version takes the alias",
        "app/jobs/trainings/promotion.py",
        "return self in (Verdict.FIRST, Verdict.BETTER)",
        "return self is not Verdict.NO_VALUE",
        (f"{PROMOTION}::test_the_alias_follows_the_best_version",),
    ),
    Mutant(
        "promotion: a version without a value counts as the worst",
        "app/jobs/trainings/promotion.py",
        "        return Verdict.NOT_COMPARABLE",
        "        return Verdict.FIRST",
        (f"{PROMOTION}::test_an_uploaded_version_keeps_its_alias",),
    ),
    Mutant(
        "promotion: the alias of any model is compared",
        "app/models/queries.py",
        "AND a.model_id = (SELECT model_id FROM model_versions WHERE id = :sibling_id)",
        "AND :sibling_id::uuid IS NOT NULL",
        (f"{PROMOTION}::test_the_alias_of_another_model_is_not_compared_with",),
    ),
    Mutant(
        "datasets: a name means the oldest",
        "app/datasets/queries.py",
        "WHERE owner_id = :owner_id AND name = :name ORDER BY id DESC LIMIT 1",
        "WHERE owner_id = :owner_id AND name = :name ORDER BY id LIMIT 1",
        ("tests/datasets/test_http.py::test_a_name_means_the_newest_dataset_of_that_name",),
    ),
    Mutant(
        "datasets: a name means those of other users too",
        "app/datasets/queries.py",
        "WHERE owner_id = :owner_id AND name = :name",
        "WHERE :owner_id::uuid IS NOT NULL AND name = :name",
        ("tests/datasets/test_http.py::test_a_name_means_the_newest_dataset_of_that_name",),
    ),
    Mutant(
        "datasets: a name is given up if its newest is deleted",
        "app/datasets/queries.py",
        "    while (newest := await _NEWEST_ID",
        "    if (newest := await _NEWEST_ID",
        ("tests/datasets/test_http.py::test_while_the_newest_is_deleted_its_name_means_the_one_before",),
    ),
)
