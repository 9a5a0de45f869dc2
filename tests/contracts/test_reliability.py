"""The pages on reliability and security name the tests of each promise, and `make check` runs them all."""

import re
import shlex
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
RELIABILITY = (ROOT / "docs" / "reliability.md").read_text()
SECURITY = (ROOT / "docs" / "security.md").read_text()
NAMED = sorted(set(re.findall(r"`(tests/[^`\s]+)`", RELIABILITY + SECURITY)))
PROMISES = re.findall(r"^\d+\. \*\*.*?(?=^\d+\. |\n\n)", RELIABILITY, re.MULTILINE | re.DOTALL)
SECTIONS = dict(re.findall(r"^##+ ([^\n]+)\n\n(.*?)(?=^##|\Z)", SECURITY, re.MULTILINE | re.DOTALL))
ROLLOUTS = RELIABILITY[RELIABILITY.index("**Rollouts.**") :].partition("\n\n")[0]
DRILLS = set(re.findall(r"`(tests/[^`\s]+)`", ROLLOUTS))
"""Tests of minutes, which show that the guarantees hold together while versions and workers come and go."""

LEFT_OUT = re.compile(r"^(pytestmark = .*|@)pytest\.mark\.(huge|drill)\b", re.MULTILINE)
WITHOUT_PROMISES = {
    "Threat model",
    "Children and model files",
    "What an operator must do",
    "What is not promised",
}
"""Headings of docs/security.md; the second has only sections of its own."""


def test_every_promise_names_its_tests() -> None:
    assert len(PROMISES) == 7
    for promise in PROMISES:
        assert re.search(r"\*Tests:\* `tests/.*test_\w+\.py", promise, re.DOTALL), promise


@pytest.mark.parametrize("heading", sorted(set(SECTIONS) - WITHOUT_PROMISES))
def test_every_section_on_security_names_its_tests(heading: str) -> None:
    assert re.search(r"`tests/[^`]+`", SECTIONS[heading])


def test_the_other_headings_exist() -> None:
    assert set(SECTIONS) > WITHOUT_PROMISES


@pytest.mark.parametrize("named", NAMED)
def test_every_test_that_the_page_names_exists(named: str) -> None:
    path, _, test = named.partition("::")

    assert (ROOT / path).exists(), path
    if test:
        assert re.search(rf"^(async )?def {test}\(", (ROOT / path).read_text(), re.MULTILINE), named


def test_make_check_runs_every_test_and_every_mutant() -> None:
    """No test is deselected, and no mark of a module or folder skips one."""
    said = subprocess.run(
        ["make", "--no-print-directory", "--dry-run", "--always-make", "check", "ARGS="],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    [tests] = [line for line in said.splitlines() if "-m pytest" in line]
    arguments = shlex.split(tests.split("-m pytest", 1)[1])

    assert arguments == ["-n", "3", "--dist", "worksteal", "-rsfE", "-m", "not huge and not drill"]
    assert said.splitlines()[-1] == tests, "the summary of the tests closes the log"
    assert any("-m tests.mutants" in line for line in said.splitlines())


def test_what_make_check_leaves_out_proves_no_guarantee() -> None:
    left_out = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "tests").rglob("test_*.py")
        if LEFT_OUT.search(path.read_text(encoding="utf-8"))
    }

    assert left_out == {
        "tests/datasets/test_wide_and_long.py",
        "tests/faults/test_rolling_update.py",
        "tests/faults/test_scaled_fleet.py",
        "tests/monitoring/test_alert_drill.py",
        "tests/worker/preprocessing/test_million.py",
    }
    assert not left_out & {name.partition("::")[0] for name in set(NAMED) - DRILLS}


def test_ci_runs_make_check() -> None:
    assert "exec make check" in (ROOT / ".ci" / "run").read_text()
