"""The list of mutants stays true: each text is in the source once, each test that is named is there."""

import re

import pytest

from tests.mutants.catalogue import MUTANTS
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
