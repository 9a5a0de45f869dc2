"""The marks by which the make targets choose: each test has them from its fixtures and its folder."""

import subprocess
import sys

import pytest

from tests.support.processes import ROOT

FILES = (
    "tests/core/test_backoff.py",
    "tests/faults/test_failpoints.py",
    "tests/jobs/test_quota.py",
    "tests/worker/children/test_hardening.py",
)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("fast", {"tests/core/test_backoff.py"}),
        ("server", {"tests/jobs/test_quota.py"}),
        ("long", {"tests/faults/test_failpoints.py"}),
        ("not long", set(FILES) - {"tests/faults/test_failpoints.py"}),
    ],
)
def test_a_mark_chooses_tests_by_what_they_need(expression: str, expected: set[str]) -> None:
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider"]
    said = subprocess.run(
        [*command, "-m", expression, *FILES], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout

    assert {line.partition("::")[0] for line in said.splitlines() if "::" in line} == expected
