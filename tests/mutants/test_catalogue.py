"""The list of mutants stays true: each text is in the source once, each test that is named is there."""

import re

import pytest

from tests.mutants.__main__ import catcher, of_changes, part_of, summary
from tests.mutants.catalogue import MUTANTS
from tests.mutants.forks import KILLED, Ended
from tests.mutants.mutant import ROOT, Mutant


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_the_guard_is_in_the_source_and_its_tests_are_there(mutant: Mutant) -> None:
    assert mutant.is_found_once(), f"{mutant.path} does not hold this exactly once: {mutant.text}"
    assert mutant.replacement != mutant.text
    assert mutant.tests
    for test in mutant.tests:
        path, name = test.split("::")
        assert re.search(rf"^(async )?def {name}\(", (ROOT / path).read_text(), re.MULTILINE), test


def test_no_two_mutants_have_one_name() -> None:
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS)


def test_a_share_is_the_same_for_one_seed_and_every_mutant_comes_in_time() -> None:
    shares = [part_of(MUTANTS, 8, f"commit {number}") for number in range(100)]

    assert part_of(MUTANTS, 8, "commit 0") == shares[0]
    assert all(len(MUTANTS) / 16 < len(share) < len(MUTANTS) / 4 for share in shares)
    assert {mutant.name for share in shares for mutant in share} == {mutant.name for mutant in MUTANTS}


def test_mutants_are_chosen_by_the_files_that_changed() -> None:
    first = MUTANTS[0]
    test = first.tests[0].partition("::")[0]

    assert first in of_changes(MUTANTS, frozenset({first.path}))
    assert first in of_changes(MUTANTS, frozenset({test}))
    assert all(mutant.path == first.path for mutant in of_changes(MUTANTS, frozenset({first.path})))
    assert of_changes(MUTANTS, frozenset({"README.md"})) == []


def test_the_last_line_names_who_survived() -> None:
    assert summary(183, []) == "183 mutants, 183 caught, 0 survived"
    assert summary(183, ["csv: a plus is lost"]) == "183 mutants, 182 caught, 1 survived: csv: a plus is lost"
    assert summary(3, ["one, two", "three"]) == "3 mutants, 1 caught, 2 survived: one, two; three"


@pytest.mark.parametrize(
    ("code", "output", "caught_by"),
    [
        (0, "1 passed", None),
        (1, "FAILED tests/a/test_b.py::test_c[1] - assert False\n1 failed", "test_c[1]"),
        (KILLED, "FAILED tests/a/test_b.py::test_c - assert False\n", "test_c"),
        (KILLED, "", None),
    ],
)
def test_a_mutant_is_caught_by_a_test_that_fails_and_not_by_one_that_never_ends(
    code: int, output: str, caught_by: str | None
) -> None:
    assert catcher(Ended(code, output)) == caught_by
