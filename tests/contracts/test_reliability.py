"""docs/reliability.md names the tests that prove each promise; they exist, and `make check` runs them all."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "reliability.md").read_text()
NAMED = sorted(set(re.findall(r"`(tests/[^`\s]+)`", PAGE)))
PROMISES = re.findall(r"^\d+\. \*\*.*?(?=^\d+\. |\n\n)", PAGE, re.MULTILINE | re.DOTALL)


def test_every_promise_names_its_tests() -> None:
    assert len(PROMISES) == 7
    for promise in PROMISES:
        assert re.search(r"\*Tests:\* `tests/.*test_\w+\.py", promise, re.DOTALL), promise


@pytest.mark.parametrize("named", NAMED)
def test_what_the_page_names_is_there(named: str) -> None:
    path, _, test = named.partition("::")

    assert (ROOT / path).exists(), path
    if test:
        assert re.search(rf"^(async )?def {test}\(", (ROOT / path).read_text(), re.MULTILINE), named


def test_make_check_runs_every_test_and_every_mutant() -> None:
    """Nothing is chosen and nothing is left out, and no mark of a module or folder skips anything."""
    said = subprocess.run(
        ["make", "--dry-run", "--always-make", "check", "ARGS="],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    [tests] = [line for line in said.splitlines() if "-m pytest" in line]
    arguments = tests.split("-m pytest", 1)[1].split()

    assert arguments == ["-n", "3", "--dist", "worksteal", "-rs"]
    assert said.splitlines()[-1] == tests, "the summary of the tests closes the log"
    assert any("-m tests.mutants" in line for line in said.splitlines())


def test_ci_runs_make_check() -> None:
    assert "exec make check" in (ROOT / ".ci" / "run").read_text()
